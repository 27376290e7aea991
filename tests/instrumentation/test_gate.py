"""``gate="hold"``: messages wait for readiness, in order, and nothing ever waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import acceptfirst
from acceptfirst import Policy

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def message(text: str) -> dict[str, Any]:
    """A client's message."""
    return {"type": "websocket.receive", "text": text}


def held(app: Any, spans: Any, **settings: Any) -> Any:
    """The application behind a gate."""
    policy = Policy(
        environment="testing", readiness_mode="event", gate="hold", **{"handshake_timeout_ms": 5000} | settings
    )
    return acceptfirst.instrument(app, environment="testing", policy=policy, tracer_provider=spans.provider)


def reader_task_app(setup_s: float, seen: list[tuple[bool, str]]) -> Any:
    """Reads in a task of its own from accept on; notes for each message whether the application was ready."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        is_ready = False

        async def read() -> None:
            while (got := await receive())["type"] == "websocket.receive":
                seen.append((is_ready, got["text"]))

        reader = asyncio.create_task(read())
        await asyncio.sleep(setup_s)
        is_ready = True
        acceptfirst.ready(scope)
        await reader

    return app


def test_gate_hands_messages_over_in_order_once_ready(server: Any, spans: Any) -> None:
    """Five messages sent before readiness arrive after it, in the order in which they were sent."""
    seen: list[tuple[bool, str]] = []
    texts = ["1", "2", "3", "4", "5"]
    script = server([CONNECT, *map(message, texts), 0.05, message("6"), DISCONNECT])
    asyncio.run(script.run(held(reader_task_app(0.03, seen), spans)))

    assert seen == [(True, text) for text in [*texts, "6"]]
    assert spans.violations() == []


def test_gate_reads_no_more_than_its_buffer_ahead(server: Any, spans: Any) -> None:
    """With a buffer of two the server is asked for two messages, and for no more until ready."""
    read_ahead: list[int] = []
    script = server([CONNECT, *[message(str(n)) for n in range(10)], DISCONNECT])
    seen: list[tuple[bool, str]] = []
    inner = reader_task_app(0.03, seen)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_later(0.02, lambda: read_ahead.append(script._position - 1))
        await inner(scope, receive, send)

    asyncio.run(script.run(held(app, spans, gate_buffer=2)))
    assert read_ahead == [2]
    assert [text for _, text in seen] == [str(n) for n in range(10)]


def test_disconnect_opens_the_gate_behind_the_messages_before_it(server: Any, spans: Any) -> None:
    """A client that leaves before readiness is noticed at once, its messages first."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            while True:
                got.append((await receive())["type"])
                if got[-1] == "websocket.disconnect":
                    return

        await asyncio.create_task(read())  # never says ready

    asyncio.run(server([CONNECT, message("a"), DISCONNECT]).run(held(app, spans)))
    assert got == ["websocket.receive", "websocket.disconnect"]


def test_receiving_phase_admits_the_task_that_entered_it_and_no_other(server: Any, spans: Any) -> None:
    """The authentication message goes to the phase; the reader started inside it waits for readiness."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            order.append("reader got " + (await receive())["text"])

        with acceptfirst.phase(scope, "auth", receives=True):
            reader = asyncio.create_task(read())
            await asyncio.sleep(0.01)
            order.append("phase got " + (await receive())["text"])
        await asyncio.sleep(0.01)
        order.append("ready")
        acceptfirst.ready(scope)
        await reader

    asyncio.run(server([CONNECT, message("token"), message("chat")]).run(held(app, spans)))
    assert order == ["phase got token", "ready", "reader got chat"]
    assert spans.violations() == []


def test_first_receive_of_the_accepting_task_is_let_through_without_a_phase(server: Any, spans: Any) -> None:
    """An application that authenticates in its first message and knows nothing of phases does not stall."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        got.append((await receive())["text"])
        acceptfirst.ready(scope)
        got.append((await receive())["text"])

    asyncio.run(server([CONNECT, message("token"), message("chat")]).run(held(app, spans)))
    assert got == ["token", "chat"]


def test_gate_opens_when_the_handshake_timeout_runs_out(server: Any, spans: Any) -> None:
    """Fail open is the default: the message arrives late and the stall is reported."""
    seen: list[tuple[bool, str]] = []
    app = held(reader_task_app(0.08, seen), spans, handshake_timeout_ms=20)
    asyncio.run(server([CONNECT, message("x"), 0.1, DISCONNECT]).run(app))

    assert seen == [(False, "x")]
    assert "handshake_stalled" in spans.violations()


def test_gate_closes_with_1013_when_the_policy_says_so(server: Any, spans: Any) -> None:
    """Fail closed: the client is told to try again later, the application gets a disconnect."""
    seen: list[tuple[bool, str]] = []
    app = held(reader_task_app(0.08, seen), spans, handshake_timeout_ms=20, gate_timeout_action="close")
    script = server([CONNECT, message("x")])
    asyncio.run(script.run(app))

    assert seen == []
    assert script.sent[-1]["code"] == 1013
    assert ("CONNECTED", "ERROR", "timeout") in spans.transitions()


def test_gate_is_the_initiator_when_it_closed_in_the_applications_place(server: Any, spans: Any) -> None:
    """Neither the application, which only got a disconnect, nor the client, which waited patiently."""
    seen: list[tuple[bool, str]] = []
    app = held(reader_task_app(0.08, seen), spans, handshake_timeout_ms=20, gate_timeout_action="close")
    script = server([CONNECT, message("x")])
    asyncio.run(script.run(app))

    assert spans.last()["acceptfirst.close.initiator"] == "server"
    assert spans.last()["acceptfirst.close.code"] == 1013


def test_cancelled_receive_loses_no_message(server: Any, spans: Any) -> None:
    """A reader that gives up while the gate is shut leaves its message to the next one."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.append((await receive())["text"])

        impatient = asyncio.create_task(read())
        await asyncio.sleep(0.02)
        impatient.cancel()
        acceptfirst.ready(scope)
        await asyncio.create_task(read())
        await asyncio.create_task(read())

    asyncio.run(server([CONNECT, message("a"), message("b")]).run(held(app, spans)))
    assert got == ["a", "b"]
