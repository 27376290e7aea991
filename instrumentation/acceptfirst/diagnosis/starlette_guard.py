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
from types import FrameType
from typing import Any, Final, NamedTuple

from acceptfirst.catalogue import Pattern
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.diagnosis.annotation import annotate
from acceptfirst.diagnosis.sites import Place, place_of_caller, site_of
from acceptfirst.failsafe import record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.signature import GUARD

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
        caller = sys._getframe(1)  # noqa: SLF001 - a stack walk by inspect would cost a hundred times as much
        code = caller.f_code
        if code.co_filename == starlette_file and code.co_name not in _ITERATORS:
            return method(self, *args, **kwargs)  # Starlette calling itself: the outer method is watched already
        attempt = Attempt(connection, _attempt_letter(letter, args), name, args, _place(caller))
        return _observed(attempt, self, method(self, *args, **kwargs))

    setattr(call, _ORIGINAL, method)
    return call


def _attempt_letter(letter: str, args: tuple[Any, ...]) -> str:
    """``send`` is called with raw ASGI messages too: its letter is the message's."""
    try:
        if letter == "S" and args and isinstance(args[0], dict):
            kind = dict.get(args[0], "type", "")  # a subclass's own get may fail
            return _MESSAGE_LETTERS.get(kind, "S") if isinstance(kind, str) else "S"
        return letter  # noqa: TRY300 - the whole of it is guarded
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._attempt_letter", error)
        return letter


class Attempt(NamedTuple):
    """One call of a watched method: the letter of what it tries, its name and arguments, and where it stands."""

    connection: Connection
    letter: str
    name: str
    args: tuple[Any, ...]
    place: Place | None


def _place(caller: FrameType) -> Place | None:
    try:
        return place_of_caller(caller)
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._place", error)
        return None


async def _observed(attempt: Attempt, websocket: Any, awaited: Any) -> Any:
    connection, letter = attempt.connection, attempt.letter
    calls_before = connection.asgi_calls
    moments_before = len(connection.moments)
    if letter == "N":
        _remember_site(attempt, "N")  # Starlette's Response sends by itself: its own lines would come first
    elif connection.state in _ENDED or (letter == "R" and connection.receives_pending):
        _remember_site(attempt, GUARD + letter)  # not every server refuses it, so it is remembered before it is made
    try:
        return await awaited
    except BaseException as error:
        _attempt_raised(attempt, websocket, error, calls_before)
        raise
    finally:
        if len(connection.moments) != moments_before and _CAUSED[letter] in connection.moments:
            _remember_site(attempt, _CAUSED[letter])


_ENDED: Final = frozenset({State.ERROR, State.CLOSED})
_CAUSED: Final = {"A": "A", "X": "X", "N": "N", "R": "D", "S": "s"}
"""Which event an attempt leads to when it is the first of its kind: a receive delivers the disconnect, a send fails."""


def _remember_site(attempt: Attempt, letter: str) -> None:
    """Keep where the first event of this letter came from; after ``!`` the first attempt that had no hope."""
    try:
        connection = attempt.connection
        if attempt.place is None or letter in connection.sites:
            return
        code = attempt.args[0] if attempt.name == "close" and attempt.args else None
        call = f"{attempt.name}({code if isinstance(code, int) else ''})"
        at_ns = connection.moments.get(letter) or connection.now_ns()
        connection.remember_site(letter, site_of(attempt.place, at_ns, call))
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._remember_site", error)


def _attempt_raised(attempt: Attempt, websocket: Any, error: BaseException, calls_before: int) -> None:
    try:
        connection, letter = attempt.connection, attempt.letter
        if connection.asgi_calls == calls_before:
            patterns = _guard_fired(attempt, websocket, error)
        else:
            patterns = _server_refused(connection, letter)
        annotate(error, connection, patterns)
    except Exception as own:  # noqa: BLE001 - ours must never reach the application
        record_failure("starlette_guard._attempt_raised", own)


def _guard_fired(attempt: Attempt, websocket: Any, error: BaseException) -> tuple[Pattern, ...]:
    if not isinstance(error, RuntimeError) or not _is_guarded(attempt.letter, websocket):
        return ()  # a wrong argument, an encoding error: the application's own affair
    letter = "A" if attempt.letter == "N" else attempt.letter
    _remember_site(attempt, GUARD + letter)
    return attempt.connection.guard_refused(letter)


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
