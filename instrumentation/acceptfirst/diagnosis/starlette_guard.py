"""Watches Starlette's WebSocket, whose own guards refuse an attempt before any ASGI call is made.

A pure ASGI wrapper sees nothing of such a refusal when the application swallows it, and not one event when the refusal
comes before accept. So the public methods are wrapped, once for the process: each takes the place in the application's
code at the moment it is called (a task's frames are lost by the time ASGI sees anything), and when it raises without
having reached ASGI, the connection is told which attempt was refused and the exception gets a note.

A WebSocket outside an instrumented connection passes through untouched.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.diagnosis.note import note
from acceptfirst.diagnosis.sites import Site, caller_site
from acceptfirst.failsafe import record_failure

_LETTERS: Final = {
    "receive": "R",
    "receive_text": "R",
    "receive_bytes": "R",
    "receive_json": "R",
    "send": "S",
    "send_text": "S",
    "send_bytes": "S",
    "send_json": "S",
    "accept": "A",
    "close": "X",
    "send_denial_response": "N",
}
_MESSAGE_LETTERS: Final = {"websocket.accept": "A", "websocket.close": "X", "websocket.http.response.start": "N"}
_ITERATORS: Final = frozenset({"iter_text", "iter_bytes", "iter_json"})
"""Starlette's generators: they are not watched themselves, the receive inside them is, on behalf of their caller."""
_ORIGINAL: Final = "__acceptfirst_original__"


def install() -> bool:
    """Wrap Starlette's WebSocket where Starlette is loaded; idempotent.

    Returns:
        Whether it is wrapped now. Starlette is never imported for this: an application that uses it has it loaded.
    """
    module = sys.modules.get("starlette.websockets")
    if module is None:
        return False
    for name, letter in _LETTERS.items():
        method = getattr(module.WebSocket, name, None)
        if method is not None and not hasattr(method, _ORIGINAL):
            setattr(module.WebSocket, name, _watched(method, name, letter, module.__file__ or ""))
    return True


def _watched(method: Callable[..., Any], name: str, letter: str, starlette_file: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        connection = self.scope.get(SCOPE_KEY)
        if connection is None:
            return method(self, *args, **kwargs)
        caller = sys._getframe(1).f_code  # noqa: SLF001 - see sites.py
        by_starlette = caller.co_filename == starlette_file
        if by_starlette and caller.co_name not in _ITERATORS:
            return method(self, *args, **kwargs)  # Starlette calling itself: the outer method is watched already
        attempt = _attempt_letter(letter, args)
        site = _site(connection, name, args, depth=3 if by_starlette else 2)
        return _observed(connection, attempt, site, self, method(self, *args, **kwargs))

    setattr(call, _ORIGINAL, method)
    return call


def _attempt_letter(letter: str, args: tuple[Any, ...]) -> str:
    """``send`` is called with raw ASGI messages too: its letter is the message's."""
    if letter == "S" and args and isinstance(args[0], dict):
        return _MESSAGE_LETTERS.get(args[0].get("type", ""), "S")
    return letter


def _site(connection: Connection, name: str, args: tuple[Any, ...], depth: int) -> Site | None:
    try:
        shown = repr(args[0]) if name == "close" and args and isinstance(args[0], int) else ""
        return caller_site(depth, connection.now_ns(), f"{name}({shown})")
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._site", error)
        return None


async def _observed(connection: Connection, letter: str, site: Site | None, websocket: Any, attempt: Any) -> Any:
    calls_before = connection.asgi_calls
    moments_before = len(connection.moments)
    if letter == "N" and site is not None:
        connection.remember_site("N", site)  # Starlette's Response sends by itself: its own lines would come first
    try:
        return await attempt
    except BaseException as error:
        _attempt_raised(connection, letter, websocket, error, calls_before)
        raise
    finally:
        if site is not None and len(connection.moments) != moments_before:
            _remember_site(connection, letter, site)


_CAUSED: Final = {"A": "A", "X": "X", "N": "N", "R": "D", "S": "s"}
"""Which event an attempt leads to when it is the first of its kind: a receive delivers the disconnect, a send fails."""


def _remember_site(connection: Connection, letter: str, site: Site) -> None:
    event = _CAUSED[letter]
    if event in connection.moments:
        connection.remember_site(event, site)


def _attempt_raised(
    connection: Connection, letter: str, websocket: Any, error: BaseException, calls_before: int
) -> None:
    try:
        if connection.asgi_calls == calls_before:
            patterns = _guard_fired(connection, letter, websocket, error)
        else:
            patterns = _server_refused(connection, letter)
        if patterns:
            error.add_note(note(connection, patterns))
    except Exception as own:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._attempt_raised", own)


def _guard_fired(connection: Connection, letter: str, websocket: Any, error: BaseException) -> tuple[Pattern, ...]:
    if not isinstance(error, RuntimeError) or not _is_guarded(letter, websocket):
        return ()  # a wrong argument, an encoding error: the application's own affair
    return connection.guard_refused("A" if letter == "N" else letter)


def _is_guarded(letter: str, websocket: Any) -> bool:
    """Whether the object's own states are such that Starlette refuses this attempt."""
    application, client = websocket.application_state.name, websocket.client_state.name
    if letter == "R":
        return bool(application != "CONNECTED" or client == "DISCONNECTED")
    if letter == "S":
        return bool(application != "CONNECTED")
    if letter == "X":
        return bool(application in ("DISCONNECTED", "RESPONSE"))
    return bool(application != "CONNECTING")


def _server_refused(connection: Connection, letter: str) -> tuple[Pattern, ...]:
    """The attempt reached the server, which refused an accept or a close: it is told apart by order, not by text."""
    failed = {"A": "a", "X": "x"}.get(letter)
    return connection.patterns_now() if failed and failed in connection.moments else ()
