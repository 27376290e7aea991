"""Watches Litestar's WebSocket, whose guard refuses what comes after the disconnect before any ASGI call is made.

It has this one guard, for receive, send and close alike; a missing accept it makes up for, and a second one it leaves
out. The guard stands in the functions that the WebSocket makes of ASGI's ``receive`` and ``send``, and so do we: they
are asked by every method of its own and by code that calls them directly.

A WebSocket outside an instrumented connection passes through untouched.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.diagnosis.note import note
from acceptfirst.failsafe import record_failure

_LETTERS: Final = {"websocket.send": "S", "websocket.close": "X", "websocket.accept": "A"}
_ORIGINAL: Final = "__acceptfirst_original__"


def install() -> bool:
    """Wrap Litestar's WebSocket where Litestar is loaded; idempotent.

    Returns:
        Whether it is wrapped now. Litestar is never imported for this: an application that uses it has it loaded.
    """
    module = sys.modules.get("litestar.connection.websocket")
    websocket: Any = getattr(module, "WebSocket", None)
    if websocket is None:
        return False
    for name in ("receive_wrapper", "send_wrapper"):
        maker = getattr(websocket, name, None)
        if maker is not None and not hasattr(maker, _ORIGINAL):
            setattr(websocket, name, _watched(maker))
    return True


def _watched(maker: Callable[[Any, Any], Callable[..., Awaitable[Any]]]) -> Callable[[Any, Any], Any]:
    @functools.wraps(maker)
    def make(self: Any, asgi: Any) -> Any:
        guarded = maker(self, asgi)

        async def call(*message: Any) -> Any:
            connection: Connection | None = self.scope.get(SCOPE_KEY)
            if connection is None or self.connection_state != "disconnect":
                return await guarded(*message)
            calls_before = connection.asgi_calls
            try:
                return await guarded(*message)
            except Exception as error:
                if connection.asgi_calls == calls_before:
                    _refused(connection, message, error)
                raise

        return call

    setattr(make, _ORIGINAL, maker)
    return make


def _refused(connection: Connection, message: tuple[Any, ...], error: Exception) -> None:
    try:
        letter = _LETTERS.get(message[0].get("type"), "S") if message else "R"
        patterns = connection.guard_refused(letter)
        if patterns:
            error.add_note(note(connection, patterns))
    except Exception as own:  # noqa: BLE001 - ours must never reach the application
        record_failure("litestar_guard._refused", own)
