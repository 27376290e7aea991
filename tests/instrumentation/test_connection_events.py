"""Every event in every state: the state that follows is allowed, or nothing has moved."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst.catalogue import load_catalogue
from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS, Trigger
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.policy import Policy


class Silent:
    """Observers that hear and do nothing."""

    def opened(self, *_: Any) -> None:
        """Hear."""

    moved = violated = finished = opened


def connection() -> Connection:
    """A record in ``event`` mode."""
    return Connection(
        scope={},
        policy=Policy(environment="testing"),
        readiness_mode="event",
        gate_mode="observe",
        catalogue=load_catalogue(),
        observers=Silent(),
    )


def connect(record: Connection) -> None:
    """Connect is delivered."""
    record.receive_began()
    record.received("websocket.connect")


def accept(record: Connection) -> None:
    """Accept returns."""
    record.send_began("websocket.accept")
    record.sent("websocket.accept", {})


def close(record: Connection) -> None:
    """The application's close returns."""
    record.send_began("websocket.close")
    record.sent("websocket.close", {"code": 1000})


def message(record: Connection) -> None:
    """A message is delivered."""
    record.receive_began()
    record.received("websocket.receive")


def disconnect(record: Connection) -> None:
    """A disconnect is delivered."""
    record.receive_began()
    record.received("websocket.disconnect", 1001)


def deny(record: Connection) -> None:
    """A denial response is sent."""
    for kind in ("websocket.http.response.start", "websocket.http.response.body"):
        record.send_began(kind)
        record.sent(kind, {})


def accept_fails(record: Connection) -> None:
    """The server refuses the accept."""
    record.send_began("websocket.accept")
    record.send_failed("websocket.accept")


EVENTS: dict[str, Callable[[Connection], object]] = {
    "connect": connect,
    "accept": accept,
    "ready": Connection.say_ready,
    "message": message,
    "close": close,
    "disconnect": disconnect,
    "deny": deny,
    "exception": lambda record: record.raised(ValueError("x")),
    "return": Connection.returned,
    "accept_fails": accept_fails,
    "guard": lambda record: record.guard_refused("R"),
    "fail": lambda record: record.fail(Trigger.TIMEOUT),
}

REACHED_BY: dict[State, list[str]] = {
    State.INITIALIZING: [],
    State.HANDSHAKE_PENDING: ["connect"],
    State.CONNECTED: ["connect", "accept"],
    State.READY_FOR_MESSAGES: ["connect", "accept", "ready"],
    State.ERROR: ["connect", "accept", "fail"],
    State.CLOSED: ["connect", "accept", "close"],
}

MOVES: dict[tuple[State, str], State] = {
    (State.INITIALIZING, "connect"): State.HANDSHAKE_PENDING,
    (State.INITIALIZING, "accept"): State.CONNECTED,
    (State.INITIALIZING, "accept_fails"): State.HANDSHAKE_PENDING,
    (State.INITIALIZING, "fail"): State.ERROR,
    (State.HANDSHAKE_PENDING, "accept"): State.CONNECTED,
    (State.HANDSHAKE_PENDING, "fail"): State.ERROR,
    (State.CONNECTED, "ready"): State.READY_FOR_MESSAGES,
    (State.CONNECTED, "fail"): State.ERROR,
    (State.READY_FOR_MESSAGES, "fail"): State.ERROR,
}
ENDING = ("close", "disconnect", "deny", "exception", "return")


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_event_in_a_state_leads_where_the_contract_says(state: State, event: str) -> None:
    """Endings lead to CLOSED from everywhere; the rest moves as listed or not at all."""
    record = connection()
    for step in REACHED_BY[state]:
        EVENTS[step](record)
    assert record.state is state

    EVENTS[event](record)
    expected = State.CLOSED if event in ENDING else MOVES.get((state, event), state)
    assert record.state is expected


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, EVENTS)))
def test_event_in_a_state_takes_only_allowed_steps(state: State, event: str) -> None:
    """Each step of the way is in the table, numbered without a gap."""
    record = connection()
    for step in [*REACHED_BY[state], event]:
        EVENTS[step](record)

    assert all(step.new in ALLOWED_TRANSITIONS[step.old] for step in record.transitions)
    assert [step.sequence for step in record.transitions] == list(range(len(record.transitions)))
