"""Puts off what can wait, so that nothing of it stands between two events of a handshake.

A handshake and the message that follows it come one right after the other, often without the event loop's getting a
turn in between. So connections are looked after a millisecond later, all of them at once: for whoever watches a stuck
handshake that is at once as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop, get_running_loop
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.telemetry.lifetime import run_before_the_provider_at_exit

PUT_OFF_S: Final = 0.001
"""How long what can wait is put off; event loops count in milliseconds."""
WAITING_MAX: Final = 256
"""Connections that wait; when there are more, all are looked after at once."""


class _Waiting:
    """The connections of one event loop, in the order in which they came; a dictionary lets go of any of them."""

    __slots__ = ("connections", "loop", "scheduled")

    def __init__(self, loop: AbstractEventLoop | None) -> None:
        self.loop = loop
        self.connections: dict[Connection, None] = {}
        self.scheduled = False


class NextMoment(ABC):
    """Looks after connections when whichever event loop runs has a moment.

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
            loop = get_running_loop()
        except RuntimeError:
            self.look_after(connection)
            return
        waiting = self._waiting
        if waiting.loop is not loop:
            self._waiting = waiting = _Waiting(loop)
            run_before_the_provider_at_exit()  # the process may end before there is a moment
        waiting.connections[connection] = None
        if not waiting.scheduled:
            waiting.scheduled = True
            loop.call_later(PUT_OFF_S, self._all, waiting)
        elif len(waiting.connections) >= WAITING_MAX:
            self._look_after_all(waiting)

    def looked_after(self, connection: Connection) -> None:
        """Somebody looked after it already: let go of it, unless it waits on another loop."""
        self._waiting.connections.pop(connection, None)

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
        connections, waiting.connections = waiting.connections, {}
        for connection in connections:
            try:
                self.look_after(connection)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
                record_failure("NextMoment", error)
