"""The planted bugs, one function each, as they were found in real applications.

Each writes itself into the ledger where it happens, and lets the framework's own exception out, as such code does.
Each route shows its own pattern and no other, so what they have nothing to do with is done right: they need no session
and say so at once (``acceptfirst.ready``), and they stop when they are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import WebSocket
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

import acceptfirst
from acceptfirst_chat.ledger import Ledger

Bug = Callable[[WebSocket, Ledger], Awaitable[None]]

SLOW_AUTHENTICATION_S: Final = 0.8
"""Longer than the impatient client waits by far, shorter than the handshake timeout."""
STALL_S: Final = 2.5
"""Longer than the handshake timeout that the demo runs under (2 s)."""
AUTH_DEADLINE_S: Final = 0.15
TICK_S: Final = 0.01
TICKS_MAX: Final = 1000


async def _moderate(websocket: WebSocket) -> None:
    await websocket.close(4409)


async def _tell(websocket: WebSocket) -> None:
    await websocket.send_text("news")


async def _until_disconnect(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()


async def _echo(websocket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await websocket.receive_text())


async def receive_before_accept(websocket: WebSocket, ledger: Ledger) -> None:
    """``accept()`` is missing on this path."""
    ledger.plant("receive_before_accept")
    await websocket.send_text(await websocket.receive_text())


async def receive_on_unaccepted_object(websocket: WebSocket, ledger: Ledger) -> None:
    """A dependency accepts through a second WebSocket object on the same scope."""
    other = WebSocket(websocket.scope, websocket._receive, websocket._send)  # noqa: SLF001 - what such wrappers do
    await other.accept()
    acceptfirst.ready(other)
    ledger.plant("receive_on_unaccepted_object")
    await websocket.send_text(await websocket.receive_text())


async def receive_after_local_close(websocket: WebSocket, ledger: Ledger) -> None:
    """A moderator's task closes; the loop goes on receiving."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.receive_text()
    await asyncio.create_task(_moderate(websocket), name="moderator")
    ledger.plant("receive_after_local_close")
    await websocket.receive_text()


async def receive_after_failed_send(websocket: WebSocket, ledger: Ledger) -> None:
    """A failed send is swallowed; the loop goes on receiving."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.receive_text()
    try:
        for tick in range(TICKS_MAX):
            await websocket.send_text(f"quote {tick}")
            await asyncio.sleep(TICK_S)
    except Exception:  # noqa: BLE001 - swallowing it is the bug
        ledger.plant("receive_after_failed_send")
    await websocket.receive_text()


async def receive_after_disconnect(websocket: WebSocket, ledger: Ledger) -> None:
    """The disconnect is swallowed; the loop goes on receiving."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    while True:
        try:
            await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect:
            ledger.plant("receive_after_disconnect")  # and goes on: that is the bug


async def send_before_accept(websocket: WebSocket, ledger: Ledger) -> None:
    """The connection is on the broadcast list before it is accepted."""
    try:
        await asyncio.create_task(_tell(websocket), name="broadcast")
    except RuntimeError:
        ledger.plant("send_before_accept")
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.send_text(await websocket.receive_text())
    await _until_disconnect(websocket)


async def double_accept(websocket: WebSocket, ledger: Ledger) -> None:
    """The endpoint accepts, and so does the manager that it calls."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    ledger.plant("double_accept")
    await websocket.accept()


async def accept_after_client_gone(websocket: WebSocket, ledger: Ledger) -> None:
    """Slow authentication stands before accept; the client does not wait for it."""
    await asyncio.sleep(SLOW_AUTHENTICATION_S)
    try:
        await websocket.accept()
        acceptfirst.ready(websocket)
    except OSError:
        ledger.plant("accept_after_client_gone")
        raise
    await _until_disconnect(websocket)


async def handshake_stalled(websocket: WebSocket, ledger: Ledger) -> None:
    """A cold service stands between connect and accept."""
    await websocket.receive()  # the connect, so that what follows stands inside the handshake
    await asyncio.sleep(STALL_S)
    ledger.plant("handshake_stalled")
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.send_text(await websocket.receive_text())
    await _until_disconnect(websocket)


async def handshake_rejected_403(websocket: WebSocket, ledger: Ledger) -> None:
    """Closes before accept, so the client never sees the code."""
    ledger.plant("handshake_rejected_403")
    await websocket.close(4401, "no token")


async def send_after_disconnect(websocket: WebSocket, ledger: Ledger) -> None:
    """A ticker outlives the reader that saw the disconnect."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.send_text(await websocket.receive_text())
    await _until_disconnect(websocket)
    with contextlib.suppress(WebSocketDisconnect):  # swallowing it is half the bug
        ledger.plant("send_after_disconnect")
        await asyncio.create_task(_tell(websocket), name="ticker")


async def send_after_close(websocket: WebSocket, ledger: Ledger) -> None:
    """Closed, but still on the broadcast list."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    await websocket.receive_text()
    await websocket.close(4409)
    ledger.plant("send_after_close")
    await asyncio.create_task(_tell(websocket), name="broadcast")


async def double_close(websocket: WebSocket, ledger: Ledger) -> None:
    """Closes again in ``finally``."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    try:
        await websocket.receive_text()
        await websocket.close(4409)
    finally:
        ledger.plant("double_close")
        await websocket.close()


async def concurrent_receive(websocket: WebSocket, ledger: Ledger) -> None:
    """Two tasks read one connection."""
    await websocket.accept()
    acceptfirst.ready(websocket)
    ledger.plant("concurrent_receive")
    readers = [asyncio.create_task(_echo(websocket), name=f"reader {number}") for number in (1, 2)]
    _, left = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
    for reader in left:
        reader.cancel()


async def dependency_not_ready(websocket: WebSocket, ledger: Ledger) -> None:
    """Connects to a Redis that is not up yet, and does not expect that."""
    with socket.socket() as starting:  # bound, so that nobody else takes the port, but not listening: it is not up
        starting.bind(("127.0.0.1", 0))
        ledger.plant("dependency_not_ready")
        await asyncio.open_connection("127.0.0.1", starting.getsockname()[1])
    await websocket.accept()
    acceptfirst.ready(websocket)


async def auth_timeout(websocket: WebSocket, ledger: Ledger) -> None:
    """Waits for a token that never comes."""
    await websocket.accept()
    try:
        async with acceptfirst.phase(websocket, "auth", receives=True), asyncio.timeout(AUTH_DEADLINE_S):
            await websocket.receive_text()
    except TimeoutError:
        ledger.plant("auth_timeout")
        await websocket.close(4408, "no token in time")
        return
    acceptfirst.ready(websocket)
    await _until_disconnect(websocket)


async def denial_response(websocket: WebSocket, ledger: Ledger) -> None:
    """No bug: refuses with an HTTP response of its own, as it should be done."""
    ledger.plant("denial_response")
    await websocket.send_denial_response(PlainTextResponse("not today", status_code=503))


BUGS: Final[dict[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        receive_before_accept,
        receive_on_unaccepted_object,
        receive_after_local_close,
        receive_after_failed_send,
        receive_after_disconnect,
        send_before_accept,
        double_accept,
        accept_after_client_gone,
        handshake_stalled,
        handshake_rejected_403,
        send_after_disconnect,
        send_after_close,
        double_close,
        concurrent_receive,
        dependency_not_ready,
        auth_timeout,
        denial_response,
    )
}
