"""The canary: who is in it, what holds for them, and that it is read and written as it was meant."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

import acceptfirst
from acceptfirst.connection_id import is_drawn
from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.middleware import ConfigurationError
from acceptfirst.policy import (
    Canary,
    Policy,
    PolicyError,
    dump_policy_file,
    load_policy_file,
    policy_from_document,
    policy_to_document,
)
from acceptfirst.policy.arm import is_canary

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
MILLISECONDS = st.floats(1, 250, allow_nan=False)
RANDOM = random.Random(20261125)  # noqa: S311 - the same ids in every run, so that a chi-square never fails by chance
IDS = [(1_700_000_000_000 + n << 80 | RANDOM.getrandbits(80)).to_bytes(16, "big") for n in range(20_000)]


@st.composite
def settings(draw: st.DrawFn, environment: str) -> Policy:
    """Settings without routes and canary; both modes are said, as TOML can't take back what an environment says."""
    return Policy(
        environment=environment,
        version=draw(TEXT),
        readiness_mode=draw(st.sampled_from(["event", "polled", "blind"])),
        gate=draw(st.sampled_from(["observe", "hold"])),
        delay_ladder_ms=tuple(draw(st.lists(MILLISECONDS, min_size=1, max_size=3))),
        handshake_timeout_ms=draw(MILLISECONDS),
        sample_rate=draw(st.floats(0, 1)),
        gate_buffer=draw(st.integers(1, 100)),
        gate_timeout_action=draw(st.sampled_from(["open", "close"])),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy with routes and perhaps a canary, which has at least the routes of the baseline."""
    environment = draw(st.sampled_from(ENVIRONMENTS))
    routes = draw(st.dictionaries(TEXT, settings(environment), max_size=2))
    whole = replace(draw(settings(environment)), routes=routes)
    if draw(st.booleans()):
        return whole
    tried = {route: draw(settings(environment)) for route in {*routes, *draw(st.sets(TEXT, max_size=2))}}
    return replace(whole, canary=Canary(draw(st.floats(0, 1)), replace(draw(settings(environment)), routes=tried)))


@given(policies())
def test_canary_that_was_written_to_a_file_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, policy: Policy
) -> None:
    """Share, settings, routes, arms."""
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(dump_policy_file({policy.environment: policy}), encoding="utf-8")

    assert load_policy_file(path, policy.environment) == policy


@given(policies())
def test_document_that_was_written_is_read_back_equal(policy: Policy) -> None:
    """The collector's JSON says everything, the modes that are left open included."""
    policy = replace(policy, readiness_mode=None, gate=None)
    text = json.dumps(policy_to_document(policy))

    assert policy_from_document(text, policy.environment, "here") == policy


@pytest.mark.parametrize("form", ["toml", "json"])
def test_route_that_only_the_baseline_tunes_is_not_taken_over_by_the_canary(tmp_path: Path, form: str) -> None:
    """A canary without the baseline's route treats that route like the rest, also when it is read back."""
    tuned = replace(BASELINE, routes={"/chat": replace(BASELINE, handshake_timeout_ms=9000)})
    policy = replace(tuned, canary=Canary(1, replace(BASELINE, handshake_timeout_ms=7000)))
    if form == "toml":
        (tmp_path / "policy.toml").write_text(dump_policy_file({"testing": policy}))
        read = load_policy_file(tmp_path / "policy.toml", "testing")
    else:
        read = policy_from_document(json.dumps(policy_to_document(policy)), "testing", "here")

    assert read.canary is not None
    assert read.canary.policy.for_route("/chat").handshake_timeout_ms == 7000


def test_canary_in_a_file_inherits_what_it_does_not_say(tmp_path: Path) -> None:
    """Its table is laid over the environment's, route over route."""
    path = tmp_path / "policy.toml"
    path.write_text(
        'schema_version = 1\n[prod]\nversion = "v1"\nsample_rate = 0.5\n[prod.routes."/chat"]\ngate = "observe"\n'
        '[prod.routes."/other"]\npoll_interval_ms = 9\n'
        '[prod.canary]\nshare = 0.1\nversion = "v2"\nhandshake_timeout_ms = 700\n'
        '[prod.canary.routes."/chat"]\nreadiness_mode = "event"\n'
    )
    policy = load_policy_file(path, "production")

    assert policy.canary is not None
    tried = policy.canary.policy
    chat, other = tried.for_route("/chat"), tried.for_route("/other")
    assert (policy.canary.share, policy.handshake_timeout_ms, policy.arm) == (0.1, 1000, "baseline")
    assert (tried.version, tried.sample_rate, tried.arm) == ("v2", 0.5, "canary")
    assert (chat.readiness_mode, chat.gate, chat.handshake_timeout_ms, chat.arm) == ("event", "observe", 700, "canary")
    assert (other.poll_interval_ms, other.handshake_timeout_ms, other.version) == (9, 700, "v2")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[production.canary]\n", r"\[production\] canary: expected a share from 0 to 1, but got none"),
        ("[production.canary]\nshare = 1.5", r"\[production\] canary: expected canary share .* but got 1.5"),
        ("[production.canary]\nshare = 0.1\ndealy = 1", r"\[production\] canary: .* but got dealy"),
        ("[production]\ncanary = 3", r"\[production\] canary: expected a table, but got 3"),
        ("[production.routes.x.canary]\nshare = 1", r"\[production\] route x: .* but got canary"),
        ('[production.canary]\nshare = 1\n[production.canary.routes."/c"]\nwait = 1', r"canary route /c: .* got wait"),
        ("[production.canary]\nshare = 1\ndelay_ladder_ms = [251]", r"\[production\] canary: .* 0 to 250, but got 251"),
        ("[production]\nroutes = 3", r"\[production\] routes: expected a table, but got 3"),
        ("[production]\n[prod]\n", r"expected one table for production, but got another one, \[prod\]"),
    ],
)
def test_mistake_in_a_file_is_told_with_its_place(tmp_path: Path, lines: str, message: str) -> None:
    """Which table, what was expected, what came."""
    path = tmp_path / "policy.toml"
    path.write_text(f"schema_version = 1\n{lines}\n")

    with pytest.raises(PolicyError, match=message):
        load_policy_file(path, "production")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dealy": 1}, "here: expected only .* but got dealy"),
        ({"routes": {"/c": {"wait": 1}}}, "here route /c: expected only .* but got wait"),
        ({"canary": {"share": 0.1}}, "here canary policy: expected a table, but got None"),
        ({"canary": {"policy": {}}}, "here canary: expected a share"),
        ({"canary": {"share": 0.1, "policy": {}, "x": 1}}, "here canary: expected only policy, share, but got x"),
        ({"canary": {"share": 0.1, "policy": {"canary": {}}}}, "here canary policy: .* but got canary"),
        ({"schema_version": 2}, "expected schema_version = 1, but got 2"),
        ({"environment": "staging"}, "expected the policy of testing, but got 'staging'"),
        ({"version": "\ud800"}, "expected version to be a text"),
        ({"handshake_timeout_ms": None}, "expected handshake_timeout_ms to be a number"),
        ({"handshake_timeout_ms": float("nan")}, "expected handshake_timeout_ms to be a number"),
    ],
)
def test_mistake_in_a_document_is_told_with_its_place(change: dict[str, Any], message: str) -> None:
    """As in a file."""
    text = json.dumps({**policy_to_document(Policy(environment="testing")), **change})

    with pytest.raises(PolicyError, match=message):
        policy_from_document(text, "testing", "here")


# -- the draw ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_canary_gets_its_share(share: float) -> None:
    """Neither more nor less than chance allows, by a chi-square test."""
    inside = sum(is_canary(each, share) for each in IDS)
    expected = [share * len(IDS), (1 - share) * len(IDS)]

    assert chisquare([inside, len(IDS) - inside], expected).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_arm_does_not_depend_on_whether_a_connection_is_sampled(share: float, rate: float) -> None:
    """Else a canary would be measured on a slice of it."""
    table = [[0, 0], [0, 0]]
    for each in IDS:
        table[is_canary(each, share)][is_drawn(each, rate)] += 1

    assert chi2_contingency(table).pvalue > 1e-4


def test_arm_does_not_depend_on_the_time_of_day() -> None:
    """The first bits of an id are its time; minutes must not be in or out as a whole."""
    inside = [0] * 20
    for number, each in enumerate(IDS):
        inside[number * 20 // len(IDS)] += is_canary(each, 0.2)

    assert chisquare(inside).pvalue > 1e-4


def test_arm_is_the_same_in_every_process_and_version() -> None:
    """A fixed draw for a fixed id: whoever changes the hash splits the fleet."""
    assert [byte for byte in range(16) if is_canary(bytes([byte]) * 16, 0.5)] == [0, 2, 3, 5, 6, 7, 8, 9, 10, 13, 14]


@given(st.binary(min_size=16, max_size=16), st.floats(0, 1), st.floats(0, 1))
def test_connection_stays_in_a_canary_that_grows(connection_id: bytes, one: float, other: float) -> None:
    """Who is in at one share is in at every greater one; none is at 0, all are at 1."""
    assert is_canary(connection_id, min(one, other)) <= is_canary(connection_id, max(one, other))
    assert (is_canary(connection_id, 0), is_canary(connection_id, 1)) == (False, True)


# -- what holds --------------------------------------------------------------------------------------------------------

SCRIPT: list[dict[str, Any] | float] = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "hello"},
    {"type": "websocket.disconnect", "code": 1000},
]
BASELINE = Policy(environment="testing", version="v1", readiness_mode="blind", gate="observe", delay_ladder_ms=(1.0,))
TRIED = replace(BASELINE, version="v2", readiness_mode="event", routes={"/chat": replace(BASELINE, version="v2-chat")})


async def polite_app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, says ready and reads to the end."""
    await receive()
    await send({"type": "websocket.accept"})
    acceptfirst.ready(scope)
    while (await receive())["type"] == "websocket.receive":
        pass


def spans_of(server: Any, spans: Any, policy: Policy, route: str = "/other", times: int = 1) -> list[dict[str, Any]]:
    """The attributes of all spans of some connections on a route."""
    app = acceptfirst.instrument(polite_app, environment="testing", policy=policy, tracer_provider=spans.provider)
    for _ in range(times):
        script = server(SCRIPT)
        script.scope["route"] = SimpleNamespace(path=route)
        asyncio.run(script.run(app))
    return [dict(span.attributes) for span in spans.exporter.get_finished_spans()]


def seen(attributes: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Arm, version and readiness mode, as the spans have them."""
    names = ("policy.arm", "policy.version", "readiness.mode")
    return {tuple(str(each[f"acceptfirst.{name}"]) for name in names) for each in attributes}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("share", "route", "expected"),
    [
        (1, "/other", ("canary", "v2", "event")),
        (1, "/chat", ("canary", "v2-chat", "blind")),
        (0, "/other", ("baseline", "v1", "blind")),
        (0, "/chat", ("baseline", "v1", "blind")),
    ],
)
def test_every_span_says_which_arm_and_version_held(
    server: Any, spans: Any, share: float, route: str, expected: tuple[str, str, str]
) -> None:
    """From the route on, where the canary has one; the arm is the connection's from its first span to its last."""
    attributes = spans_of(server, spans, replace(BASELINE, canary=Canary(share, TRIED)), route)

    assert seen(attributes) == {expected}


def test_spans_of_many_connections_agree_with_the_draw(server: Any, spans: Any) -> None:
    """Anybody can tell the arm from the id."""
    attributes = spans_of(server, spans, replace(BASELINE, canary=Canary(0.5, TRIED)), times=40)
    told = {each["acceptfirst.connection.id"]: each["acceptfirst.policy.arm"] for each in attributes}

    assert len(told) == 40
    assert told == {key: "canary" if is_canary(bytes.fromhex(key), 0.5) else "baseline" for key in told}


def test_arm_with_a_sample_rate_of_its_own_is_weighted_by_it(server: Any, spans: Any) -> None:
    """Drawn by the canary's rate, weighted by the canary's rate."""
    tried = replace(TRIED, sample_rate=0.5)
    attributes = spans_of(server, spans, replace(BASELINE, canary=Canary(1, tried)), times=40)

    weights = {each["acceptfirst.sample.weight"] for each in attributes}
    assert weights == {2.0}
    assert 0 < len({each["acceptfirst.connection.id"] for each in attributes}) < 40


def test_route_with_a_sample_rate_of_its_own_is_drawn_by_it(server: Any, spans: Any) -> None:
    """Before, it was drawn by its environment's rate and weighted by its own: the sum came out wrong."""
    policy = replace(BASELINE, routes={"/chat": replace(BASELINE, sample_rate=0.0)})

    assert spans_of(server, spans, policy, "/chat", times=5) == []


def test_canary_that_leaves_its_mode_open_has_the_baselines(server: Any, spans: Any) -> None:
    """As a route has its environment's."""
    tried = replace(BASELINE, version="v2", readiness_mode=None, gate=None)
    attributes = spans_of(server, spans, replace(BASELINE, canary=Canary(1, tried)))

    assert seen(attributes) == {("canary", "v2", "blind")}


def test_instrument_refuses_a_canary_that_the_application_can_not_carry_out() -> None:
    """What can't work for a share of the connections is said at once, too."""
    tried = replace(BASELINE, readiness_mode="polled")
    with pytest.raises(ConfigurationError, match="polled"):
        acceptfirst.instrument(polite_app, environment="testing", policy=replace(BASELINE, canary=Canary(0.1, tried)))


def test_canary_has_no_canary() -> None:
    """One at a time."""
    with pytest.raises(PolicyError, match="without a canary of its own"):
        Canary(0.1, replace(BASELINE, canary=Canary(0.1, TRIED)))


def test_canary_is_of_the_same_environment() -> None:
    """A staging policy is no trial for production."""
    with pytest.raises(PolicyError, match="expected a canary of testing, but got one of staging"):
        replace(BASELINE, canary=Canary(0.1, Policy(environment="staging")))
