"""Notes on what the server raises and on what leaves the application; once only, and on the right connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

import acceptfirst

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
TEXT = {"type": "websocket.send", "text": "x"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1006}


class UnexpectedMessageError(RuntimeError):
    """What a server raises."""


def notes(error: BaseException | None) -> list[str]:
    """Our notes on an exception."""
    assert error is not None
    return [note for note in getattr(error, "__notes__", []) if note.startswith("AcceptFirst: ")]


def pattern_of(error: BaseException | None) -> str:
    """The pattern of the one note."""
    (note,) = notes(error)
    return note.removeprefix("AcceptFirst: ").split(" (")[0]


async def closes_then_sends(receive: Any, send: Any) -> None:
    """A broadcast list that was not pruned."""
    await receive()
    await send(ACCEPT)
    await send(CLOSE)
    await send(TEXT)


async def sends_to_a_client_that_left(receive: Any, send: Any) -> None:
    """A producer that was not stopped."""
    await receive()
    await send(ACCEPT)
    await receive()
    await send(TEXT)


async def sends_before_accept(receive: Any, send: Any) -> None:
    """Registered too early."""
    await receive()
    await send(TEXT)


async def accepts_too_late(receive: Any, send: Any) -> None:
    """The client is gone by then."""
    await receive()
    await send(ACCEPT)


@pytest.mark.parametrize(
    ("app", "refused", "pattern"),
    [
        (closes_then_sends, "websocket.send", "send_after_close"),
        (sends_to_a_client_that_left, "websocket.send", "send_after_disconnect"),
        (sends_before_accept, "websocket.send", "send_before_accept"),
        (accepts_too_late, "websocket.accept", "accept_after_client_gone"),
    ],
)
def test_what_the_server_raises_is_noted_in_an_application_without_a_framework(
    server: Any, app: Any, refused: str, pattern: str
) -> None:
    """The order of events decides, so the server's text may be what it likes."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(receive, send)

    script = server([CONNECT, DISCONNECT], refuse={refused: UnexpectedMessageError("Unexpected ASGI message")})
    error = asyncio.run(script.run(acceptfirst.AcceptFirstMiddleware(asgi)))
    assert pattern_of(error) == pattern


def test_receive_that_the_server_refuses_is_noted_when_two_receive_at_once(server: Any) -> None:
    """One server does refuse the second reader."""

    class RefusesTheSecond(server):  # type: ignore[misc]  # the fixture is a class
        async def receive(self) -> Any:
            self.waiting = getattr(self, "waiting", 0) + 1
            if self.waiting > 2:
                raise RuntimeError("cannot call recv while another coroutine is already waiting")
            return await super().receive()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        first = asyncio.create_task(receive())
        await asyncio.sleep(0)
        try:
            await receive()
        finally:
            first.cancel()

    error = asyncio.run(RefusesTheSecond([CONNECT]).run(acceptfirst.AcceptFirstMiddleware(asgi)))
    assert pattern_of(error) == "concurrent_receive"


def test_dependency_that_is_down_is_noted_when_it_leaves_the_application(server: Any) -> None:
    """The exception itself completes the pattern."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ConnectionRefusedError("redis")

    error = asyncio.run(server([CONNECT]).run(acceptfirst.AcceptFirstMiddleware(asgi)))
    assert pattern_of(error) == "dependency_not_ready"


def test_dependency_in_a_task_group_is_noted_too(server: Any) -> None:
    """A group is what its members are."""

    async def fails() -> None:
        raise ConnectionRefusedError("redis")

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())

    error = asyncio.run(server([CONNECT]).run(acceptfirst.AcceptFirstMiddleware(asgi)))
    assert pattern_of(error) == "dependency_not_ready"


def test_error_that_has_nothing_to_do_with_an_earlier_race_is_not_noted(server: Any) -> None:
    """A race was swallowed, and later something else failed: the note would mislead."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE)
        await send(CLOSE)
        raise ValueError("a bug of another kind")

    error = asyncio.run(server([CONNECT]).run(acceptfirst.AcceptFirstMiddleware(asgi)))
    assert notes(error) == []


def framework(endpoint: Any) -> FastAPI:
    """A FastAPI application with one endpoint."""
    app = FastAPI()
    app.add_api_websocket_route("/ws", endpoint)
    return acceptfirst.instrument(app, environment="testing")


def script_of(server: Any, refuse: dict[str, BaseException] | None = None) -> Any:
    """A scripted connection to it."""
    script = server([CONNECT], refuse=refuse or {})
    script.scope |= {"root_path": "", "query_string": b"", "subprotocols": []}
    return script


def test_exception_that_both_the_wire_and_the_guard_see_has_one_note(server: Any) -> None:
    """The server refuses an accept below Starlette's method, which is watched as well."""

    async def accepts(websocket: WebSocket) -> None:
        await websocket.accept()

    error = asyncio.run(script_of(server, {"websocket.accept": OSError("gone")}).run(framework(accepts)))
    assert pattern_of(error) == "accept_after_client_gone"


def test_reraised_exception_keeps_its_one_note(server: Any) -> None:
    """A bare raise in a handler of the application's changes nothing."""

    async def reraises(websocket: WebSocket) -> None:
        try:
            await websocket.receive_text()
        except RuntimeError:
            websocket.scope["noticed"] = True
            raise

    error = asyncio.run(script_of(server).run(framework(reraises)))
    assert pattern_of(error) == "receive_before_accept"


def test_wrapped_exception_keeps_the_note_on_its_cause(server: Any) -> None:
    """The traceback prints the cause first, with its note; what wraps it gets none on top."""

    class ChatError(Exception):
        """The application's own."""

    async def wraps(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        try:
            await websocket.receive_text()
        except RuntimeError as error:
            raise ChatError from error

    error = asyncio.run(script_of(server).run(framework(wraps)))
    assert isinstance(error, ChatError)
    assert notes(error) == []
    assert pattern_of(error.__cause__) == "receive_after_local_close"


def test_member_of_an_exception_group_carries_the_note(server: Any) -> None:
    """A task group's traceback prints the notes of its members."""

    async def groups(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        async with asyncio.TaskGroup() as group:
            group.create_task(websocket.receive_text())

    error = asyncio.run(script_of(server).run(framework(groups)))
    assert isinstance(error, BaseExceptionGroup)
    assert pattern_of(error.exceptions[0]) == "receive_after_local_close"


def test_exception_that_ends_two_connections_is_noted_for_the_one_that_it_leaves(server: Any) -> None:
    """Both await one task; neither reads of the other."""
    seen: list[str] = []

    async def run() -> None:
        connecting = asyncio.get_running_loop().create_future()

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            scope["mine"].append(acceptfirst.explain(scope).split()[1])
            await connecting

        async def user() -> None:
            script = server([CONNECT])
            mine: list[str] = []
            script.scope["mine"] = mine
            error = await script.run(app)
            (note,) = notes(error)
            seen.append(note)
            assert mine[0] in note

        app = acceptfirst.AcceptFirstMiddleware(asgi)
        users = [asyncio.create_task(user()) for _ in range(3)]
        await asyncio.sleep(0.01)
        connecting.set_exception(ConnectionRefusedError("the database"))
        await asyncio.gather(*users)

    asyncio.run(run())
    assert len(set(seen)) == 3


def test_cancellation_passes_without_a_note(server: Any) -> None:
    """It is not an error, and it must come out as it went in."""

    async def run() -> BaseException | None:
        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await asyncio.sleep(10)

        task = asyncio.create_task(server([CONNECT]).run(acceptfirst.AcceptFirstMiddleware(asgi)))
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            return error
        return None

    error = asyncio.run(run())
    assert isinstance(error, asyncio.CancelledError)
    assert notes(error) == []
