"""The parts of the page by themselves: one that fails says so, and no viewer makes the store work twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst.catalogue import load_catalogue
from acceptfirst_analysis import rendering
from acceptfirst_analysis.page import lanes, reading, render, value
from acceptfirst_analysis.page.board import PARTS, Board
from acceptfirst_analysis.page.model import Alert, EnvironmentSeen, Handshake, OpenNow, Place
from acceptfirst_analysis.page.status import status_of
from acceptfirst_analysis.rendering import told
from acceptfirst_analysis.report.geometry import STATE_CLASSES
from acceptfirst_store.errors import StoreUnreachable

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SUMMARY = {"handshakes": 0.0, "n": 0, "n_settled": 0, "n_ready": 0, "n_accepted": 0, "accept_p95_ms": float("nan")}


class Store:
    """An empty store that counts what it is asked, and fails where it is told to."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.asked: list[str] = []

    def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answer with nothing."""
        assert parameters is not None
        self.asked.append(name)
        if name == self.failing:
            raise StoreUnreachable("the store is <gone>")
        return [SUMMARY] if name == "live_summary" else []


def board(store: Store, **own: Any) -> Board:
    """A board on it, at noon."""
    return Board(store, load_catalogue(), clock=lambda: NOW, **own)


def test_other_parts_stand_when_one_cannot_be_read() -> None:
    """It says what is wrong, as text."""
    parts = board(Store(failing="policies_now")).parts("")
    assert "the store is &lt;gone&gt;" in parts["policy"].html
    assert [name for name in PARTS if "cannot be drawn" in parts[name].html] == ["policy"]


def test_other_parts_stand_when_a_template_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody gave it."""
    sources = {"part_races.html.j2": "<p>{{ nobody.gave.this }}</p>"}
    engine = rendering.templates().overlay(
        loader=jinja2.ChoiceLoader([jinja2.DictLoader(sources), rendering.templates().loader or jinja2.DictLoader({})])
    )
    monkeypatch.setattr(rendering, "templates", lambda: engine)
    parts = board(Store()).parts("")
    assert "cannot be drawn (part_races): UndefinedError" in parts["races"].html
    assert "No handshake within a week" in parts["lanes"].html


def test_page_still_answers_when_its_frame_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare page in words."""
    monkeypatch.setattr(rendering, "templates", lambda: jinja2.Environment(autoescape=True))
    assert "This page cannot be drawn" in render.patterns(load_catalogue(), {}, has_session=False)


def test_store_is_asked_once_however_many_look() -> None:
    """A hundred viewers within a second."""
    store = Store()
    shared = board(store)
    for _ in range(100):
        shared.parts("")
    assert store.asked.count("live_lanes") == 3  # a quarter of an hour, a day, a week: all empty
    assert store.asked.count("live_summary") == 1


def test_memory_stays_small_when_any_environment_is_asked_for() -> None:
    """The oldest makes room."""
    shared = board(Store())
    for i in range(200):
        shared.parts(f"environment-{i}")
    assert len(shared._memories) <= 256


def test_alerts_say_honestly_that_nothing_evaluates_them() -> None:
    """No reassuring dot where nobody looks."""
    assert "Nothing here evaluates alerts yet" in board(Store()).parts("")["alerts"].html
    assert "None is pending or firing" in board(Store(), alerts=lambda _: ()).parts("")["alerts"].html


def test_firing_alert_leads_the_page() -> None:
    """With what it is about, and where."""
    alert = Alert(
        name="AF-05",
        title="A handshake is stuck",
        severity="critical",
        state="firing",
        since=NOW,
        labels={"environment": "production", "route": "/<ws>"},
    )
    parts = board(Store(), alerts=lambda _: (alert,)).parts("")
    assert "AF-05 firing" in parts["alerts"].html
    assert "/&lt;ws&gt;" in parts["alerts"].html


def test_alerts_of_one_rule_stand_together_the_loud_ones_first() -> None:
    """Sixteen places with one fault are one heading; what is silenced says so and leads nothing."""

    def alert(name: str, title: str, at: datetime, **own: Any) -> Alert:
        return Alert(name=name, title=title, severity="warning", state="firing", since=at, summary="here", **own)

    rows = [alert("AF-04", "AcceptLatencyHigh", NOW - timedelta(hours=2), silenced="load <test>")]
    rows += [alert("AF-03", "OrderViolationInProd", NOW - timedelta(seconds=i)) for i in range(16)]
    parts = board(Store(), alerts=lambda _: rows).parts("")
    html = parts["alerts"].html
    assert html.count("AF-03 firing") == 1
    assert "16 places" in html
    assert html.index("AF-03 firing") < html.index("AF-04 firing")
    assert "silenced: <bdi>load &lt;test&gt;" in html
    assert html.index("12 more") > 0


def test_silenced_alert_does_not_lead_the_page() -> None:
    """Whoever silenced it knows."""
    seen = [EnvironmentSeen(name="production", last_seen=NOW)]
    loud = Alert(name="AF-05", title="HandshakeStuck", severity="critical", state="firing", since=NOW)
    quiet = replace(loud, silenced="known")
    sentences = [
        status_of(summary=SUMMARY, open_now=OpenNow(), races=(), alerts=[each], environments=seen, now=NOW).sentence
        for each in (quiet, loud)
    ]
    assert "firing" not in sentences[0]
    assert sentences[1] == "1 alert is firing: HandshakeStuck (AF-05)."


def test_page_tells_what_the_last_verified_change_saved() -> None:
    """From the step that the loop kept, whatever else its evidence holds."""
    savings = [{"saved_s": 90.0, "violations_avoided": 12.0, "is_shown": True}]
    step = {"environment": "production", "version": "w47", "happened_at": NOW, "action": "verify"}
    evidence = json.dumps({"savings": savings})

    class Verified(Store):
        def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
            rows = super().statement_rows(name, parameters)
            return [{**step, "evidence": evidence}] if name == "policy_history" else rows

    found = value.value(Verified(), "", NOW)
    assert found.saved is not None
    assert (found.saved.saved_s, found.saved.is_shown) == (90.0, True)
    drawn = rendering.part("part_value.html.j2", {"value": found, "lambda_ms": 5000.0})
    assert "saved 90 s of users" in drawn


@pytest.mark.parametrize("evidence", ["", "{", "[]", '{"savings": 3}', '{"savings": [{}]}', '{"savings": [null]}'])
def test_evidence_of_another_version_saves_nothing(evidence: str) -> None:
    """And breaks nothing."""
    assert value._savings(evidence) == []


@given(st.text())
def test_told_hides_nothing_and_writes_nothing_invisible(text: str) -> None:
    """No control and no override is left; what can be seen stays."""
    shown = told(text)
    assert not any(c in shown for c in "\u202e\u2066\u200b\u0000\n\u2028")
    assert all(c in shown for c in text[:200] if c.isalnum())


def handshake(steps: list[tuple[str, float]], message_ms: float | None) -> Handshake:
    """One that went through these states."""
    states, durations_ms = tuple(s for s, _ in steps), tuple(d for _, d in steps)
    return Handshake(
        connection="0" * 32,
        place=Place(environment="production", service="chat", route="/ws"),
        first_seen=NOW,
        outcome="ready",
        states=states,
        durations_ms=durations_ms,
        first_message_ms=message_ms,
        ready_ms=reading._ready_ms(states, durations_ms),
        close_code=0,
        patterns=(),
    )


@given(
    st.lists(st.tuples(st.sampled_from([*STATE_CLASSES]), st.floats(0, 1e9)), max_size=8),
    st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_lane_stays_inside_whatever_happened(steps: list[tuple[str, float]], message_ms: float | None) -> None:
    """Blocks and the message's mark, for a microsecond and for a week."""
    row = handshake(steps, message_ms)
    (lane,) = lanes.lanes_of([row], lanes.axis_of([row]))
    assert all(b.x >= 0 and b.x + b.width <= lanes.WIDTH + lanes.SEGMENT_WIDTH_MIN for b in lane.blocks)
    assert lane.message_x is None or 0 <= lane.message_x <= lanes.WIDTH


def test_lane_tells_a_message_that_came_before_ready() -> None:
    """The race that the figure is for."""
    steps = [("HANDSHAKE_PENDING", 2.0), ("CONNECTED", 30.0), ("READY_FOR_MESSAGES", 90.0)]
    early, late = (lanes.lanes_of([handshake(steps, ms)], lanes.Axis(1000.0))[0] for ms in (12.0, 40.0))
    assert (early.is_early, late.is_early) == (True, False)
    assert "first message before ready" in early.words


def test_handshake_that_nothing_ended_is_in_its_last_state_until_now() -> None:
    """Ready, and not closed yet: the bar goes on."""
    row = {
        "connection_id": "0" * 32,
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "first_seen": NOW - timedelta(seconds=3),
        "outcome": "ready",
        "states": ["HANDSHAKE_PENDING", "CONNECTED"],
        "durations_ms": [2.0, 30.0],
        "entered": "READY_FOR_MESSAGES",
        "is_ended": False,
        "first_message_ns": 0,
        "close_code": 0,
        "patterns": [],
    }
    read = reading.handshake_of(row, NOW)
    assert read.states[-1] == "READY_FOR_MESSAGES"
    assert (sum(read.durations_ms), read.ready_ms) == (3000.0, 32.0)


def test_ids_of_a_range_hold_their_moment_and_the_midnight_before() -> None:
    """An id of another form was hashed under midnight of its day."""
    values = reading.id_range(NOW)
    at = int(NOW.timestamp() * 1000)
    midnight = at - 12 * 3600 * 1000
    assert values["floor"] <= f"{at:012x}{0:020x}"
    assert values["day_floor"] <= f"{midnight:012x}{'f' * 20}" < values["day_ceiling"] <= values["floor"]


def test_collector_with_its_page_loads_no_statistics() -> None:
    """What serve imports, in a fresh interpreter: 154 MB stay out of it."""
    code = "import sys, acceptfirst_cli.jobs.routes; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "jinja2" in loaded
    assert {"numpy", "scipy", "pandas"}.isdisjoint(loaded)
