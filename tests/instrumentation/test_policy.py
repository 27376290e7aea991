"""The policy file: what is written is what is read, and what breaks a guardrail is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.policy import Policy, PolicyError, default_policy, dump_policy_file, load_policy_file

TEXT = st.text(min_size=1, max_size=20).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text))
MILLISECONDS = st.floats(1, 250, allow_nan=False)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy that keeps the guardrails, with up to two routes of its own."""
    own = Policy(
        environment=draw(st.sampled_from(ENVIRONMENTS)),
        version=draw(TEXT),
        readiness_mode=draw(st.sampled_from(["event", "polled", "blind", None])),
        gate=draw(st.sampled_from(["observe", "hold", None])),
        delay_ladder_ms=tuple(draw(st.lists(MILLISECONDS, min_size=1, max_size=4))),
        handshake_timeout_ms=draw(MILLISECONDS),
        sample_rate=draw(st.floats(0, 1)),
        gate_timeout_action=draw(st.sampled_from(["open", "close"])),
    )
    routes = draw(st.dictionaries(TEXT, MILLISECONDS, max_size=2))
    return replace(own, routes={route: replace(own, handshake_timeout_ms=ms) for route, ms in routes.items()})


@given(policies())
def test_policy_that_was_written_is_read_back_equal(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> None:
    """Every value, every route, every odd character."""
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(dump_policy_file({policy.environment: policy}), encoding="utf-8")
    read = load_policy_file(path, policy.environment)

    defaults = default_policy(policy.environment)
    expected = replace(policy, readiness_mode=policy.readiness_mode or defaults.readiness_mode)
    assert read == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("delay_ladder_ms = [300]", "a number from 0 to 250, but got 300"),
        ("delay_ladder_ms = []", "a list of milliseconds"),
        ("delay_ladder_ms = 5", "a list of milliseconds"),
        ("handshake_timeout_ms = 0", "from 1 to 60000, but got 0"),
        ("sample_rate = 1.5", "from 0 to 1, but got 1.5"),
        ("sample_rate = true", "but got True"),
        ('gate = "shut"', "observe, hold, but got 'shut'"),
        ('gate = "hold"\nreadiness_mode = "auto"', "can't work with readiness 'auto'"),
        ('version = ""', "a text that is not empty"),
        ("delay = 5", "but got delay"),
    ],
)
def test_guardrail_refuses_a_policy_as_a_whole(tmp_path: Path, line: str, message: str) -> None:
    """The message names the file, the table, what was expected and what came."""
    path = tmp_path / "policy.toml"
    path.write_text(f"schema_version = 1\n[production]\n{line}\n")

    with pytest.raises(PolicyError, match=message) as refused:
        load_policy_file(path, "production")
    assert "policy.toml" in str(refused.value)


@pytest.mark.parametrize("text", ["", "schema_version = 2", "nonsense", "schema_version = 1\n[mars]\n"])
def test_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    """Another schema, another language, another planet."""
    path = tmp_path / "policy.toml"
    path.write_text(text)

    with pytest.raises(PolicyError, match=r"policy\.toml"):
        load_policy_file(path, "production")


def test_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(PolicyError, match=r"absent\.toml"):
        load_policy_file(tmp_path / "absent.toml", "production")


def test_environment_without_a_table_gets_its_default(tmp_path: Path) -> None:
    """A file for production says nothing about staging."""
    path = tmp_path / "policy.toml"
    path.write_text("schema_version = 1\n[production]\n")

    assert load_policy_file(path, "stage") == default_policy("staging")


def test_route_inherits_what_it_does_not_say(tmp_path: Path) -> None:
    """Only the timeout is the route's own."""
    path = tmp_path / "policy.toml"
    path.write_text(
        'schema_version = 1\n[production]\nversion = "v7"\ngate = "observe"\n'
        '[production.routes."/ws/{room}"]\nhandshake_timeout_ms = 2000\n'
    )
    policy = load_policy_file(path, "production")

    assert policy.for_route("/ws/{room}").handshake_timeout_ms == 2000
    assert policy.for_route("/ws/{room}").version == "v7"
    assert policy.for_route("/other") is policy


@pytest.mark.parametrize(
    ("environment", "timeout_ms"), [("testing", 100), ("development", 200), ("staging", 500), ("production", 1000)]
)
def test_default_timeouts_are_the_contracts(environment: str, timeout_ms: int) -> None:
    """100, 200, 500 and 1000 ms."""
    assert default_policy(environment).handshake_timeout_ms == timeout_ms
