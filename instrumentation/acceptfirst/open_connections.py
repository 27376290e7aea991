"""The open connections of one middleware, and a look at them now and then.

Most of what a connection shows comes with an event; that nobody receives on it any more comes with none. So while any
connection is open, one timer of the event loop goes over all of them. An entry is membership in a set, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.unread import NOTABLE_NS, longest_unread_ns

SWEEP_EVERY_S: Final = 30.0
"""Half of the minute after which ``zombie_half_open`` holds: it is found when it is one to two minutes old."""
BATCH: Final = 500
"""Connections that are looked at before the event loop gets a turn: a tenth of a millisecond."""


class OpenConnections:
    """Registry of the connections on whichever event loop runs.

    Args:
        sweep_every_s: how long between two looks.
    """

    def __init__(self, sweep_every_s: float = SWEEP_EVERY_S) -> None:
        self._sweep_every_s = sweep_every_s
        # Replaced as a whole, for threads and forked processes that have loops of their own.
        self._current: tuple[asyncio.AbstractEventLoop | None, _Sweeper] | None = None

    def add(self, connection: Connection) -> None:
        """Look at this connection from now on; where no asyncio loop runs (trio), only its end is judged."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        try:  # not by the decorator, which costs more than all of this
            current = self._current
            if current is None or current[0] is not loop:
                self._current = current = (loop, _Sweeper(loop, self._sweep_every_s))
            current[1].add(connection)
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            record_failure("OpenConnections.add", error)

    def discard(self, connection: Connection) -> None:
        """Forget it; one that was added on another loop is forgotten by the next look there."""
        try:
            current = self._current
            if current is not None:
                current[1].members.discard(connection)
        except Exception as error:  # noqa: BLE001 - as above
            record_failure("OpenConnections.discard", error)

    def __len__(self) -> int:
        """How many are looked at on the current loop."""
        return 0 if self._current is None else len(self._current[1].members)


class _Sweeper:
    """The connections of one loop, and its timer."""

    __slots__ = ("_armed", "_every_s", "_loop", "members")

    def __init__(self, loop: asyncio.AbstractEventLoop, every_s: float) -> None:
        self.members: set[Connection] = set()
        self._loop = loop
        self._every_s = every_s
        self._armed = False

    def add(self, connection: Connection) -> None:
        self.members.add(connection)
        if not self._armed:
            self._arm()

    def _arm(self) -> None:
        self._armed = True
        self._loop.call_later(self._every_s, self._sweep)

    @failsafe
    def _sweep(self) -> None:
        self._armed = False
        if self.members:
            self._look(iter(tuple(self.members)))

    @failsafe
    def _look(self, connections: Iterator[Connection]) -> None:
        batch = tuple(islice(connections, BATCH))
        for connection in batch:
            if connection.finished:
                self.members.discard(connection)
            elif not connection.receives_pending:
                _judge(connection)
        if len(batch) == BATCH:
            self._loop.call_soon(self._look, connections)
        elif self.members and not self._armed:
            self._arm()


def _judge(connection: Connection) -> None:
    try:
        connection.unread_longest_ns = longest_unread_ns(connection)
        if connection.unread_longest_ns >= NOTABLE_NS:
            connection.look_again()
    except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
        record_failure("OpenConnections.judge", error)
