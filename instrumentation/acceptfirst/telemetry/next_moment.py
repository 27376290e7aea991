"""Puts off what can wait until the event loop has a moment, so that nothing of it stands between two events."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe, record_failure

WAITING_MAX: Final = 256
"""Connections that wait; when there are more, all are looked after at once."""


class _Waiting:
    """The connections of one event loop."""

    __slots__ = ("connections", "loop", "scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self.connections: list[Connection] = []
        self.scheduled = False


class NextMoment(ABC):
    """Looks after connections in the next iteration of whichever event loop runs.

    A base class, since a callback to its owner would keep both alive in a circle.
    """

    def __init__(self) -> None:
        self._waiting = _Waiting(None)  # replaced as a whole, for threads that have loops of their own

    @abstractmethod
    def look_after(self, connection: Connection) -> None:
        """What is done with each; what it raises is counted, and the others are looked after all the same."""

    def look_after_soon(self, connection: Connection) -> None:
        """Look after a connection soon; at once where no asyncio loop runs (trio)."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.look_after(connection)
            return
        waiting = self._waiting
        if waiting.loop is not loop:
            self._waiting = waiting = _Waiting(loop)
        waiting.connections.append(connection)
        if not waiting.scheduled:
            waiting.scheduled = True
            loop.call_soon(self._all, waiting)
        elif len(waiting.connections) >= WAITING_MAX:
            self._look_after_all(waiting)

    def looked_after(self, connection: Connection) -> None:
        """Somebody looked after it already: let go of it where that is cheap."""
        connections = self._waiting.connections
        if connections and connections[-1] is connection:
            connections.pop()

    def look_after_all_now(self) -> None:
        """Look after all that wait now."""
        self._look_after_all(self._waiting)

    def forget_waiting(self) -> None:
        """Let go of all that wait: they are another process's."""
        self._waiting = _Waiting(None)

    @failsafe
    def _all(self, waiting: _Waiting) -> None:
        waiting.scheduled = False
        self._look_after_all(waiting)

    def _look_after_all(self, waiting: _Waiting) -> None:
        connections, waiting.connections = waiting.connections, []
        for connection in connections:
            try:
                self.look_after(connection)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
                record_failure("NextMoment", error)
