"""Frameworks other than Starlette: Litestar's guard is seen, and nobody's tidying up passes for the application's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import socketio
from litestar import Litestar, WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

import acceptfirst

Socket = WebSocket[Any, Any, Any]
LEAVES: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]


def litestar(handle: Callable[[Socket], Awaitable[None]], spans: Any) -> Any:
    """An observed application with one endpoint."""

    @websocket("/{room:str}")
    async def endpoint(socket: Socket) -> None:
        await handle(socket)

    app = Litestar(route_handlers=[endpoint], openapi_config=None, logging_config=None)
    return acceptfirst.instrument(app, tracer_provider=spans.provider)


async def receives(socket: Socket) -> None:
    """Ask for one more message."""
    await socket.receive_json()


async def sends(socket: Socket) -> None:
    """Send what nobody reads."""
    await socket.send_text("late")


async def closes(socket: Socket) -> None:
    """Close what the client has closed."""
    await socket.close()


def after_disconnect(attempt: Callable[[Socket], Awaitable[None]], notes: list[str]) -> Any:
    """A handler that reads until the client has left, and then does one thing more."""

    async def handle(socket: Socket) -> None:
        await socket.accept()
        with pytest.raises(WebSocketDisconnect):
            await socket.receive_text()
        with pytest.raises(WebSocketDisconnect) as refused:
            await attempt(socket)
        notes.extend(getattr(refused.value, "__notes__", []))

    return handle


def play(app: Any, server: Any, messages: list[dict[str, Any]]) -> Any:
    """One connection from connect to the end of the script; gives the server."""
    scope = {
        "type": "websocket",
        "path": "/lobby/",
        "raw_path": b"/lobby/",
        "root_path": "",
        "headers": [(b"upgrade", b"websocket"), (b"connection", b"upgrade")],
        "query_string": b"EIO=4&transport=websocket",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "ws",
        "http_version": "1.1",
        "subprotocols": [],
    }
    script = server(messages, scope=scope)
    asyncio.run(script.run(app))
    return script


REFUSED = [
    (receives, "CAGD!RZ", "receive_after_disconnect"),
    (sends, "CAGD!SZ", "send_after_disconnect"),
    (closes, "CAGD!XZ", "double_close"),
]


@pytest.mark.parametrize(("attempt", "signature", "pattern"), REFUSED)
def test_refusal_by_litestar_is_an_event_and_a_pattern(
    attempt: Any, signature: str, pattern: str, server: Any, spans: Any
) -> None:
    """No ASGI call was made, and the handler swallowed the exception."""
    play(litestar(after_disconnect(attempt, []), spans), server, LEAVES)

    assert (spans.last()["acceptfirst.signature"], spans.violations()) == (signature, [pattern])


@pytest.mark.parametrize(("attempt", "signature", "pattern"), REFUSED)
def test_exception_of_litestars_guard_carries_the_note(
    attempt: Any, signature: str, pattern: str, server: Any, spans: Any
) -> None:
    """As Starlette's does."""
    notes: list[str] = []
    play(litestar(after_disconnect(attempt, notes), spans), server, LEAVES)

    assert [note.splitlines()[0].split()[1] for note in notes] == [pattern]


def test_litestar_outside_an_instrumented_connection_is_left_alone(server: Any, spans: Any) -> None:
    """Its exception is the framework's own, without a note."""
    notes: list[str] = []
    litestar(after_disconnect(receives, notes), spans)  # installs the guard
    play(acceptfirst.uninstrument(litestar(after_disconnect(receives, notes), spans)), server, LEAVES)

    assert notes == []


def test_route_is_litestars_template(server: Any, spans: Any) -> None:
    """As Litestar writes it for its own spans, and never the path."""
    play(litestar(after_disconnect(receives, []), spans), server, LEAVES)

    assert spans.last()["http.route"] == "/{room}"


def test_litestar_that_closes_after_the_disconnect_is_no_double_close(server: Any, spans: Any) -> None:
    """The handler let the disconnect's exception out, as most do."""

    async def handle(socket: Socket) -> None:
        await socket.accept()
        await socket.receive_text()

    script = play(litestar(handle, spans), server, LEAVES)

    assert [message["type"] for message in script.sent] == ["websocket.accept", "websocket.close"]
    assert (spans.last()["acceptfirst.signature"], spans.violations()) == ("CAGDZ", [])


def test_litestar_that_closes_what_the_handler_closed_is_a_double_close(server: Any, spans: Any) -> None:
    """There the application has a part in it, and uvicorn raises."""

    async def handle(socket: Socket) -> None:
        await socket.accept()
        await socket.close(4000)
        await socket.receive_text()

    play(litestar(handle, spans), server, LEAVES)

    assert spans.violations() == ["double_close"]


def test_engineio_that_closes_after_the_disconnect_is_no_double_close(server: Any, spans: Any) -> None:
    """It does so on every connection."""
    app = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"), socketio_path="lobby")
    hello = {"type": "websocket.receive", "text": "40"}
    observed = acceptfirst.instrument(app, tracer_provider=spans.provider)
    script = play(observed, server, [LEAVES[0], hello, LEAVES[1]])

    assert script.sent[-1]["type"] == "websocket.close"
    assert spans.violations() == []


def test_application_that_closes_after_the_disconnect_is_still_found(server: Any, spans: Any) -> None:
    """In bare ASGI there is nobody else who could have."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close"})

    play(acceptfirst.instrument(app, tracer_provider=spans.provider), server, LEAVES)

    assert spans.violations() == ["double_close"]
