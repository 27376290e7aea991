"""``gate="hold"`` when something fails: the server's receive, the timer that should open the gate, the gate itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from acceptfirst import AcceptFirstMiddleware, Policy, failsafe
from acceptfirst.connection import Connection
from acceptfirst.readiness.gate import HoldGate

TIMEOUT_S = 4.0
CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
TOKEN = {"type": "websocket.receive", "text": "token"}
CHAT = {"type": "websocket.receive", "text": "chat"}
POLICY = Policy(
    environment="testing", readiness_mode="event", gate="hold", handshake_timeout_ms=TIMEOUT_S * 1000, gate_buffer=2
)


class Reader:
    """Reads in a task of its own, which no gate admits, and keeps what comes and when."""

    def __init__(self, receives: int) -> None:
        self._receives = receives
        self.got: list[tuple[float, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The application: it never says that it is ready."""
        del scope
        await receive()
        await send(ACCEPT)
        await asyncio.create_task(self._read(receive))

    async def _read(self, receive: Any) -> None:
        for _ in range(self._receives):
            try:
                message = await receive()
            except ConnectionError as error:
                message = str(error)
            self.got.append((asyncio.get_running_loop().time(), message))

    @property
    def messages(self) -> list[Any]:
        """What came."""
        return [message for _, message in self.got]


@pytest.fixture
def run(jumping_loop: Any) -> Any:
    """Runs a reader behind a gate with a server's receive and send."""

    def runner(reader: Reader, receive: Any, send: Any, **settings: Any) -> None:
        policy = replace(POLICY, **settings)
        scope = {"type": "websocket", "path": "/", "headers": []}
        with asyncio.Runner(loop_factory=jumping_loop) as loop:
            loop.run(AcceptFirstMiddleware(reader, policy=policy)(scope, receive, send))

    return runner


def failing_receive(steps: list[Any]) -> Any:
    """A server's receive that gives its steps, and raises those that are errors."""
    left = iter(steps)

    async def receive() -> Any:
        step = next(left)
        if isinstance(step, BaseException):
            raise step
        return step

    return receive


async def take(_: Any) -> None:
    """The server's send."""


def test_failure_of_the_server_is_raised_once_and_then_it_is_asked_again(run: Any) -> None:
    """One failure of a receive is one, for whoever asked first; what comes after it comes."""
    reader = Reader(3)
    run(reader, failing_receive([CONNECT, ConnectionError("once"), TOKEN, CHAT]), take)

    assert reader.messages == ["once", TOKEN, CHAT]


def test_gate_opens_when_the_server_cancels_its_own_receive(run: Any) -> None:
    """Whoever waits asks the server itself, and gets whatever it gets without a gate."""
    reader = Reader(2)
    run(reader, failing_receive([CONNECT, asyncio.CancelledError(), TOKEN, CHAT]), take)

    assert reader.messages == [TOKEN, CHAT]
    assert reader.got[0][0] < TIMEOUT_S


def test_message_that_comes_after_the_gate_has_closed_is_not_handed_on(run: Any) -> None:
    """The application has been told of the end, though the server's receive outlives its cancellation."""
    incoming = iter([CONNECT])

    async def receive() -> Any:
        try:
            return next(incoming)
        except StopIteration:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(2 * TIMEOUT_S)
            return TOKEN

    reader = Reader(2)
    run(reader, receive, take, gate_timeout_action="close")

    assert [message["type"] for message in reader.messages] == ["websocket.disconnect"] * 2


def test_gate_opens_by_itself_when_its_timer_has_failed(run: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second after the handshake timeout, and it is counted: a failure of ours must not keep messages for ever."""
    monkeypatch.setattr(Connection, "time_is_up", lambda _: None)
    reader = Reader(2)
    one = server([CONNECT, TOKEN, CHAT])
    run(reader, one.receive, one.send)
    counted = dict(failsafe.failures)
    failsafe.failures.clear()

    assert reader.messages == [TOKEN, CHAT]
    assert [at for at, _ in reader.got] == [pytest.approx(TIMEOUT_S + 1)] * 2
    assert counted == {"HoldGate": 1}


def test_gate_is_not_overdue_when_it_opens_in_time(run: Any, server: Any) -> None:
    """The timeout opens it, and nothing of ours has failed."""
    reader = Reader(2)
    one = server([CONNECT, TOKEN, CHAT])
    run(reader, one.receive, one.send)

    assert [at for at, _ in reader.got] == [pytest.approx(TIMEOUT_S, abs=0.1)] * 2


@pytest.mark.parametrize("part", ["_may_take", "_has_something", "_read_ahead", "_wait"])
def test_gate_that_fails_hands_on_everything_in_order(
    run: Any, server: Any, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had read, then what the server has; no later than a gate that is well."""

    def fails(_: Any) -> None:
        raise LookupError(part)

    monkeypatch.setattr(HoldGate, part, fails)
    reader = Reader(3)
    one = server([CONNECT, TOKEN, 0.5, CHAT, {"type": "websocket.disconnect", "code": 1000}])
    run(reader, one.receive, one.send)
    counted = dict(failsafe.failures)
    failsafe.failures.clear()

    assert reader.messages == [TOKEN, CHAT, {"type": "websocket.disconnect", "code": 1000}]
    assert reader.got[0][0] <= TIMEOUT_S + 0.1
    assert set(counted) <= {"HoldGate", "HoldGate._taken"}
    assert counted


def test_failing_gate_loses_no_message_that_is_being_read(
    run: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that is under way when the gate fails is waited for: who asked beside it would change the order."""
    waits = HoldGate._wait
    failed: list[int] = []

    async def fails_once(gate: HoldGate) -> None:
        if not failed:
            failed.append(1)
            raise LookupError("_wait")
        await waits(gate)

    monkeypatch.setattr(HoldGate, "_wait", fails_once)
    reader = Reader(2)
    one = server([CONNECT, 0.5, TOKEN, CHAT])
    run(reader, one.receive, one.send)
    failsafe.failures.clear()

    assert reader.messages == [TOKEN, CHAT]
