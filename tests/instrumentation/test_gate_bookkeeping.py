"""``gate="hold"`` keeps its own house: who is admitted, when it opens, and that nothing is left when all are gone."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy
from acceptfirst.connection import SCOPE_KEY
from acceptfirst.readiness.gate import HoldGate

TIMEOUT_S = 4.0
CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
TOKEN = {"type": "websocket.receive", "text": "token"}
CHAT = {"type": "websocket.receive", "text": "chat"}
LEFT = {"type": "websocket.disconnect", "code": 1001}


class Hostile(dict[str, Any]):
    """A message whose fields can't be asked for by name."""

    def get(self, *_: Any) -> Any:
        """Raise."""
        raise LookupError("this message has no get")


@pytest.fixture
def run(jumping_loop: Any, server: Any, spans: Any) -> Any:
    """Runs an application behind a gate, with a client that does what the script says; gives the server."""

    def runner(app: Any, *script: Any, **settings: Any) -> Any:
        limits: dict[str, Any] = {"handshake_timeout_ms": TIMEOUT_S * 1000, **settings}
        policy = Policy(environment="testing", readiness_mode="event", gate="hold", **limits)
        one = server([CONNECT, *script])
        wrapped = AcceptFirstMiddleware(app, policy=policy, tracer_provider=spans.provider)
        with asyncio.Runner(loop_factory=jumping_loop) as loop:
            loop.run(wrapped(one.scope, one.receive, one.send))
            one.tasks_left = loop.run(tasks_left())
        return one

    return runner


async def tasks_left() -> list[str]:
    """Those that still run when the application is gone and the loop has had a moment."""
    await asyncio.sleep(1)
    return [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


def timers_set() -> int:
    """How many timers of the loop will go off."""
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


def gate_of(scope: Any) -> HoldGate:
    """The gate of a connection."""
    gate = scope[SCOPE_KEY].gate
    assert isinstance(gate, HoldGate)
    return gate


async def accepted(receive: Any, send: Any) -> None:
    """Receive the connect and accept."""
    await receive()
    await send(ACCEPT)


async def give_up(receive: Any) -> None:
    """Receive for a moment, in a task of its own, and give up."""
    reader = asyncio.create_task(receive())
    await asyncio.sleep(0.5)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader


def test_read_that_is_under_way_ends_with_the_application(run: Any) -> None:
    """Nothing takes a message from a server whose application is gone."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        await give_up(receive)

    assert run(app).tasks_left == []


def test_reader_that_gives_up_leaves_nothing_behind(run: Any) -> None:
    """However often it tries: no place in the queue, no timer."""
    left: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        await give_up(receive)
        timers = timers_set()
        for _ in range(5):
            await give_up(receive)
        left.extend([timers_set() - timers, len(gate_of(scope)._waiters)])

    run(app)
    assert left == [0, 0]


def test_gate_is_open_when_the_application_asks_after_the_timeout_for_the_first_time(run: Any) -> None:
    """Its time was up before there was a gate."""
    got: list[tuple[Any, float]] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(TIMEOUT_S + 2)
        await accepted(receive, send)
        got.append((await asyncio.create_task(receive(), name="reader"), now()))

    run(app, TOKEN)
    assert got == [(TOKEN, TIMEOUT_S + 2)]


def test_accepting_task_is_held_when_a_phase_has_begun(run: Any) -> None:
    """Who says what getting ready is, says who receives in it."""
    got: list[tuple[Any, float]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        asyncio.get_running_loop().call_later(2, acceptfirst.ready, scope)
        with acceptfirst.phase(scope, "history"):
            await asyncio.sleep(1)
        got.append((await receive(), now()))

    run(app, TOKEN)
    assert got == [(TOKEN, 2)]


def test_message_of_a_hostile_class_is_held_like_any_other(run: Any) -> None:
    """Its own methods are not asked."""
    message = Hostile(type="websocket.receive", text="x")
    got: list[tuple[Any, float]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        asyncio.get_running_loop().call_later(2, acceptfirst.ready, scope)
        got.append((await asyncio.create_task(receive()), now()))

    run(app, message)
    assert got == [(message, 2)]


def test_gate_that_a_disconnect_has_opened_is_not_closed_by_the_timeout(run: Any) -> None:
    """What the client said before it left reaches the application, and so does that it left."""
    got: list[Any] = []

    async def app(_: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        got.append(await asyncio.create_task(receive()))
        await asyncio.sleep(TIMEOUT_S + 1)
        got.extend([await receive(), await receive()])

    one = run(app, TOKEN, 0.1, CHAT, LEFT, gate_timeout_action="close")
    assert got == [TOKEN, CHAT, LEFT]
    assert [message["type"] for message in one.sent] == ["websocket.accept"]


def test_longest_wait_is_that_of_the_message_that_waited_longest(run: Any, spans: Any) -> None:
    """Not that of the last one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accepted(receive, send)
        reader = asyncio.create_task(receive())
        await asyncio.sleep(0.2)
        acceptfirst.ready(scope)
        first_is_there = await reader
        assert first_is_there is TOKEN
        assert await receive() is CHAT

    moments = itertools.chain([1, 5_000_000_000], itertools.repeat(6_000_000_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acceptfirst.readiness.gate.time", SimpleNamespace(perf_counter_ns=lambda: next(moments)))
        run(app, TOKEN, CHAT)
    assert spans.last()["acceptfirst.gate.wait_ms"] == pytest.approx(6000)
