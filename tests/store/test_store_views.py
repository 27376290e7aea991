"""Spans go in as the official exporter inserts them; the narrow tables must say the right thing, however often."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst.environment import (
    ALIASES,
    ENVIRONMENTS,
    UnknownEnvironmentError,
    normalise_environment,
)
from acceptfirst_store.database import Database

MakeSpan = Callable[..., dict[str, Any]]

STEPS = [
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect", 0, 0),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept", 0, 10),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready", 10, 35),
    ("READY_FOR_MESSAGES", "CLOSED", "disconnect", 35, 90),
]
LAST = {
    "acceptfirst.signature": "CAGRSDZ",
    "acceptfirst.close.code": "1001",
    "acceptfirst.close.initiator": "client",
    "acceptfirst.messages.received": "3",
    "acceptfirst.messages.sent": "4",
    "acceptfirst.messages.early": "1",
    "acceptfirst.phase.auth.duration_ms": "12.5",
    "acceptfirst.first_message_ms": "36.5",
    "acceptfirst.dwell_ms": "80",
    "acceptfirst.unread_ms": "61000.5",
    "acceptfirst.error.kind": "dependency",
    "error.type": "TimeoutError",
}
SHARED = {
    "http.route": "/ws",
    "acceptfirst.attempt": "1",
    "acceptfirst.readiness.mode": "event",
    "acceptfirst.gate": "hold",
    "acceptfirst.policy.version": "v1",
    "acceptfirst.policy.arm": "canary",
    "acceptfirst.sample.weight": "2.5",
}


def _transitions(make_span: MakeSpan, steps: list[tuple[str, str, str, int, int]]) -> list[dict[str, Any]]:
    spans = []
    for sequence, (left, entered, trigger, start_ms, end_ms) in enumerate(steps):
        attributes = {
            **SHARED,
            "acceptfirst.state.from": left,
            "acceptfirst.state.to": entered,
            "acceptfirst.transition.trigger": trigger,
            "acceptfirst.transition.sequence": str(sequence),
            **(LAST if entered == "CLOSED" else {}),
        }
        spans.append(make_span("websocket.transition", attributes, start_ms=start_ms, end_ms=end_ms))
    return spans


def _violation(make_span: MakeSpan, pattern: str) -> dict[str, Any]:
    attributes = {"acceptfirst.pattern.type": pattern, "acceptfirst.signature": "CAG", "error.type": pattern}
    return make_span("websocket.violation", {**SHARED, **attributes}, start_ms=20, end_ms=21)


def _handshake(database: Database, connection_id: str) -> dict[str, Any]:
    [row] = database.statement_rows("handshake_by_id", {"connection_id": connection_id})
    return row


def test_view_settles_a_handshake_from_its_spans(
    database: Database, make_span: MakeSpan, connection_id: str, now_ns: int
) -> None:
    """Each column comes from the span that knows it."""
    database.insert_rows("otel_traces", [*_transitions(make_span, STEPS), _violation(make_span, "early_message")])
    began = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC)
    assert _handshake(database, connection_id) == {
        "connection_id": connection_id,
        "environment": "production",
        "service": "chat",
        "service_version": "7",
        "route": "/ws",
        "attempt": 1,
        "readiness_mode": "event",
        "gate": "hold",
        "policy_version": "v1",
        "policy_arm": "canary",
        "weight": 2.5,
        "delay_applied_ms": 0.0,
        "connected_ns": 10_000_000,
        "ready_ns": 35_000_000,
        "first_message_ns": 36_500_000,
        "outcome": "ready",
        "signature": "CAGRSDZ",
        "patterns": ["early_message"],
        "close_code": 1001,
        "close_initiator": "client",
        "messages_received": 3,
        "messages_sent": 4,
        "messages_early": 1,
        "phases": {"auth": 12.5},
        "error_type": "TimeoutError",
        "error_kind": "dependency",
        "dwell_ms": 80.0,
        "idle_ms": None,
        "unread_ms": 61000.5,
        "user_hash": "",
        "first_seen": began,
        "last_seen": began + dt.timedelta(milliseconds=90),
    }


def test_view_adds_nothing_when_spans_come_again_in_another_framing(
    database: Database, make_span: MakeSpan, connection_id: str
) -> None:
    """A resend one span at a time, backwards, leaves the handshake and its transitions as they were."""
    spans = [*_transitions(make_span, STEPS), _violation(make_span, "early_message")]
    database.insert_rows("otel_traces", spans)
    before = _handshake(database, connection_id)
    for span in reversed(spans):
        database.insert_rows("otel_traces", [span])
    assert _handshake(database, connection_id) == before
    assert len(database.statement_rows("transitions_by_id", {"connection_id": connection_id})) == len(STEPS)


def test_view_writes_transitions_in_their_order(database: Database, make_span: MakeSpan, connection_id: str) -> None:
    """A transition covers the time in the state that was left."""
    database.insert_rows("otel_traces", _transitions(make_span, STEPS))
    rows = database.statement_rows("transitions_by_id", {"connection_id": connection_id})
    assert [(row["from_state"], row["to_state"], row["trigger"]) for row in rows] == [step[:3] for step in STEPS]
    assert [row["duration_ns"] for row in rows] == [0, 10_000_000, 25_000_000, 55_000_000]


@pytest.mark.parametrize(
    ("left", "entered", "trigger", "outcome"),
    [
        ("CONNECTED", "ERROR", "timeout", "timed_out"),
        ("HANDSHAKE_PENDING", "ERROR", "exception", "failed"),
        ("HANDSHAKE_PENDING", "CLOSED", "return", "failed"),
        ("HANDSHAKE_PENDING", "CLOSED", "denial", "rejected"),
        ("CONNECTED", "CLOSED", "close", "rejected"),
        ("CONNECTED", "CLOSED", "disconnect", "abandoned"),
        ("HANDSHAKE_PENDING", "CONNECTED", "accept", "open"),
    ],
)
def test_view_settles_the_outcome_by_what_ended_it(
    database: Database, make_span: MakeSpan, connection_id: str, *, left: str, entered: str, trigger: str, outcome: str
) -> None:
    """Who never became ready is judged by the trigger that ended it; what follows an error doesn't count."""
    steps = [(left, entered, trigger, 0, 5)]
    if entered == "ERROR":
        steps.append(("ERROR", "CLOSED", "close", 5, 6))
    database.insert_rows("otel_traces", _transitions(make_span, steps))
    assert _handshake(database, connection_id)["outcome"] == outcome


@pytest.mark.parametrize(
    ("attributes", "resource", "environment"),
    [
        ({"acceptfirst.environment": "staging"}, {"deployment.environment.name": "production"}, "staging"),
        ({"acceptfirst.environment": ""}, {"deployment.environment.name": "testing"}, "testing"),
        ({"acceptfirst.environment": ""}, {"deployment.environment": "development"}, "development"),
    ],
)
def test_view_takes_the_environment_from_the_nearest_source(
    database: Database,
    make_span: MakeSpan,
    connection_id: str,
    *,
    attributes: dict[str, str],
    resource: dict[str, str],
    environment: str,
) -> None:
    """The span wins over the resource, the new name over the old."""
    database.insert_rows("otel_traces", [make_span("websocket.handshake", attributes, ResourceAttributes={**resource})])
    assert _handshake(database, connection_id)["environment"] == environment


@pytest.mark.parametrize("given", ["not-hex", "f" * 32, "0" * 32, "AB", "x" * 10_000])
def test_view_hashes_a_hostile_id_under_the_spans_day(
    database: Database, make_span: MakeSpan, now_ns: int, given: str
) -> None:
    """An id can make no partition that the span's own time would not have made."""
    route = f"/hostile/{given[:40]}"
    attributes = {"acceptfirst.connection.id": given, "http.route": route}
    database.insert_rows("otel_traces", [make_span("websocket.transition", attributes)])
    [row] = database.rows(
        "SELECT _partition_id AS day FROM acceptfirst.handshakes WHERE route = {route:String}", {"route": route}
    )
    assert row["day"] == dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC).strftime("%Y%m%d")


def test_view_ignores_spans_of_other_scopes(database: Database, make_span: MakeSpan, connection_id: str) -> None:
    """Somebody else's spans are stored, but are no handshakes."""
    database.insert_rows("otel_traces", [make_span("websocket.transition", {}, ScopeName="other")])
    assert database.statement_rows("handshake_by_id", {"connection_id": connection_id}) == []


def test_view_keeps_numbers_finite_when_attributes_are_not(
    database: Database, make_span: MakeSpan, connection_id: str
) -> None:
    """A NaN in one span must not make every sum over the table NaN."""
    hostile = {"acceptfirst.sample.weight": "nan", "acceptfirst.dwell_ms": "inf", "acceptfirst.attempt": "-1"}
    hostile["acceptfirst.unread_ms"] = "-inf"
    database.insert_rows("otel_traces", [make_span("websocket.transition", hostile, Duration=2**64 - 1)])
    row = _handshake(database, connection_id)
    assert (row["weight"], row["dwell_ms"], row["unread_ms"], row["attempt"]) == (0.0, None, None, 0)


@pytest.mark.parametrize("name", [*ENVIRONMENTS, *ALIASES, "PROD", " Stage ", "Production", "qa", "eu-prod", "Prod2"])
def test_view_calls_an_environment_what_the_library_calls_it(
    database: Database, make_span: MakeSpan, connection_id: str, name: str
) -> None:
    """The table in SQL and the one in Python agree; a name that is in neither stays as it came."""
    try:
        expected = normalise_environment(name)
    except UnknownEnvironmentError:
        expected = name
    spans = _transitions(make_span, STEPS[:2])
    for span in spans:
        span["SpanAttributes"]["acceptfirst.environment"] = name
    database.insert_rows("otel_traces", spans)
    stored = database.rows(
        "SELECT DISTINCT environment FROM acceptfirst.handshake_transitions WHERE connection_id = unhex({id:String})",
        {"id": connection_id},
    )
    assert (_handshake(database, connection_id)["environment"], stored) == (expected, [{"environment": expected}])
