"""Random applications and random clients behave the same with and without the middleware.

Hypothesis draws what the client sends, what the application does and which of the server's sends fail; the traffic and
the outcome must be equal in ``observe``, whichever way readiness is told, and whether or not telemetry works.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import acceptfirst
from acceptfirst import Policy
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS
from acceptfirst.lifecycle import ApplicationConnectionState as State

ACTIONS = [
    "receive",
    "accept",
    "send",
    "close",
    "deny",
    "deny_body",
    "ready",
    "raise",
    "return",
    "phase",
    "two_receives",
]
INCOMING = st.lists(
    st.one_of(
        st.just({"type": "websocket.connect"}),
        st.text(max_size=3).map(lambda text: {"type": "websocket.receive", "text": text}),
        st.sampled_from([1000, 1001, 1005, 1006, 1012, None]).map(
            lambda code: {"type": "websocket.disconnect", "code": code}
        ),
    ),
    max_size=6,
)
MESSAGES: dict[str, dict[str, Any]] = {
    "accept": {"type": "websocket.accept"},
    "send": {"type": "websocket.send", "text": "x"},
    "close": {"type": "websocket.close", "code": 4000},
    "deny": {"type": "websocket.http.response.start", "status": 403},
    "deny_body": {"type": "websocket.http.response.body", "body": b""},
}
SILENT = {"type": "websocket.disconnect", "code": 1006}


class Wire:
    """A server that never blocks: after the script it goes on delivering disconnects."""

    def __init__(self, incoming: list[Any], refused: set[str]) -> None:
        self.incoming = list(incoming)
        self.refused = refused
        self.sent: list[Any] = []
        self.received = 0

    async def receive(self) -> Any:
        """The next message, or a disconnect."""
        await asyncio.sleep(0)
        self.received += 1
        return self.incoming.pop(0) if self.incoming else SILENT

    async def send(self, message: Any) -> None:
        """Keep it or refuse it."""
        if message["type"] in self.refused:
            raise OSError(message["type"])
        self.sent.append(dict(message))


async def act(action: str, scope: Any, receive: Any, send: Any) -> Any:
    """Do one thing; gives what was received."""
    if action == "receive":
        return await receive()
    if action == "two_receives":
        return await asyncio.gather(receive(), receive())
    if action == "phase":
        with acceptfirst.phase(scope, "p"):
            return await asyncio.sleep(0)
    if action == "ready":
        return acceptfirst.ready(scope)
    if action == "raise":
        raise ValueError("the application's own")
    return await send(MESSAGES[action])


def scripted(actions: list[str], log: list[Any], records: list[Connection]) -> Any:
    """An application that does these things and logs what it saw."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        records.extend([scope[SCOPE_KEY]] if SCOPE_KEY in scope else [])
        for action in actions:
            if action == "return":
                return
            try:
                log.append(await act(action, scope, receive, send))
            except OSError as error:
                log.append(str(error))

    return app


def outcome(actions: list[str], incoming: list[Any], refused: set[str], wrap: Any) -> tuple[Any, list[Connection]]:
    """Everything that the application and the client can see of one connection, and our record of it."""
    log: list[Any] = []
    records: list[Connection] = []
    wire = Wire(incoming, refused)
    app = wrap(scripted(actions, log, records))
    error = None
    try:
        asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, wire.receive, wire.send))
    except ValueError as raised:
        error = str(raised)
    return (log, wire.sent, wire.received, wire.incoming, error), records


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(ACTIONS), max_size=8),
    INCOMING,
    st.sets(st.sampled_from(sorted(str(message["type"]) for message in MESSAGES.values())), max_size=2),
    st.sampled_from(["auto", "event", "blind"]),
)
def test_application_sees_the_same_with_and_without_us(
    actions: list[str], incoming: list[Any], refused: set[Any], mode: Any
) -> None:
    """Messages, order, exceptions and how much was read are equal."""
    policy = Policy(environment="testing", readiness_mode=mode, delay_ladder_ms=(1.0,))
    bare, _ = outcome(actions, incoming, refused, lambda app: app)
    observed, _ = outcome(actions, incoming, refused, lambda app: acceptfirst.instrument(app, policy=policy))

    assert observed == bare


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(ACTIONS), max_size=8),
    INCOMING,
    st.sets(st.sampled_from(["websocket.accept", "websocket.close"])),
)
def test_every_record_ends_closed_by_allowed_steps(actions: list[str], incoming: list[Any], refused: set[Any]) -> None:
    """Whatever happens, the states join on to each other, are in the table, and end in CLOSED."""
    policy = Policy(environment="testing", readiness_mode="event")
    _, (record,) = outcome(actions, incoming, refused, lambda app: acceptfirst.instrument(app, policy=policy))

    state = State.INITIALIZING
    for step in record.transitions:
        assert step.old is state
        assert step.new in ALLOWED_TRANSITIONS[state]
        assert step.entered_ns <= step.left_ns
        state = step.new
    assert state is State.CLOSED
    assert record.finished
