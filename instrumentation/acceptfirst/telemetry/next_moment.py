"""Puts off what can wait until the event loop has a moment, so that nothing of it stands between two events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.failsafe import record_failure

WAITING_MAX: Final = 256
"""Connections that wait; when there are more, all are looked after at once."""


class NextMoment:
    """Looks after connections in the next iteration of whichever event loop runs.

    Args:
        look_after: called with each connection; what it raises is counted, and the others are looked after all the same.
    """

    def __init__(self, look_after: Callable[[Connection], object]) -> None:
        self._look_after = look_after
        # The loop that runs and its connections; replaced as a whole, for threads that have loops of their own.
        self._waiting: tuple[asyncio.AbstractEventLoop | None, list[Connection]] = (None, [])

    def add(self, connection: Connection) -> None:
        """Look after a connection soon; at once where no asyncio loop runs (trio)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._look_after(connection)
            return
        waiting = self._waiting
        if waiting[0] is not loop:
            self._waiting = waiting = (loop, [])
        connections = waiting[1]
        if not connections:
            loop.call_soon(self._all, connections)
        connections.append(connection)
        if len(connections) >= WAITING_MAX:
            self._all(connections)

    def _all(self, connections: list[Connection]) -> None:
        waiting = connections[:]
        connections.clear()
        for connection in waiting:
            try:
                self._look_after(connection)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
                record_failure("NextMoment", error)
