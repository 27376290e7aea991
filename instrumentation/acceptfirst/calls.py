"""What an application may call about its own connection.

Each takes a Starlette WebSocket or an ASGI scope, and does nothing outside an instrumented connection, so that code
which uses them runs the same with and without AcceptFirst.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from types import TracebackType
from typing import Any, Final, Self

from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.coordinator import HandshakeCoordinator
from acceptfirst.diagnosis.timeline import timeline
from acceptfirst.environment import resolve_environment
from acceptfirst.failsafe import failsafe
from acceptfirst.live_evidence import NS_PER_MS

HASH_KEY_VARIABLE: Final = "ACCEPTFIRST_HASH_KEY"
_process_key: Final = os.urandom(32)


def current(connection: Any) -> Connection | None:
    """The record of a connection, ``None`` where it is not instrumented."""
    scope = getattr(connection, "scope", connection)
    record = scope.get(SCOPE_KEY) if hasattr(scope, "get") else None
    return record if isinstance(record, Connection) else None


@failsafe
def ready(connection: Any) -> None:
    """Say that messages can be handled from now on; before accept it is remembered."""
    if (record := current(connection)) is not None:
        record.say_ready()


class phase:  # noqa: N801 - used as a statement: ``with acceptfirst.phase(websocket, "auth"):``
    """A named step of getting ready, timed.

    Args:
        connection: a WebSocket or a scope.
        name: what spans carry, as in ``acceptfirst.phase.<name>.duration_ms``.
        receives: whether this step itself receives messages (an authentication message); then the gate lets the task
            that entered it through, and no other.
    """

    _record: Connection | None = None

    @failsafe
    def __init__(self, connection: Any, name: str, *, receives: bool = False) -> None:
        self._name = name
        self._receives = receives
        self._started_ns = 0
        self._task: asyncio.Task[Any] | None = None
        self._record = current(connection)

    def __enter__(self) -> Self:
        self._begin()
        return self

    @failsafe
    def _begin(self) -> None:
        if self._record is not None:
            self._started_ns = time.perf_counter_ns()
            self._task = _current_task() if self._receives else None
            self._record.phase_began(self._task)

    @failsafe
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._record is not None:
            duration_ms = (time.perf_counter_ns() - self._started_ns) / NS_PER_MS
            self._record.phase_ended(self._name, duration_ms, self._task)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # trio: there is no gate either
        return None


def coordinator(connection: Any) -> HandshakeCoordinator:
    """The coordinator of this connection; one that is bound to nothing outside an instrumented connection."""
    record = current(connection)
    if record is None or record.keeper is None:
        return HandshakeCoordinator(resolve_environment())
    made: HandshakeCoordinator = record.keeper.coordinator(record)
    return made


@failsafe
def identify(connection: Any, user: str) -> None:
    """Keep a keyed hash of who is connected: enough to count users, not enough to name one.

    The key is ``ACCEPTFIRST_HASH_KEY``; without it each process draws its own, and hashes of two processes differ.

    Args:
        connection: a WebSocket or a scope.
        user: whatever tells users apart; what is not a string is hashed as ``str`` writes it.
    """
    if (record := current(connection)) is not None:
        key = os.environ.get(HASH_KEY_VARIABLE, "").encode() or _process_key
        record.user_hash = hashlib.blake2b(str(user).encode(), key=key[:64], digest_size=16).hexdigest()


def explain(connection: Any) -> str:
    """The connection's timeline so far, as text: ``print(acceptfirst.explain(websocket))``.

    At any time, also after the end and from a debugger, whose ``p`` shows the lines as lines.

    Returns:
        Facts, events with milliseconds, places in the code, and each pattern with its cause and its cure; empty outside
        an instrumented connection.
    """
    return _explained(connection) or ""


@failsafe
def _explained(connection: Any) -> str:
    record = current(connection)
    return "" if record is None else timeline(record)
