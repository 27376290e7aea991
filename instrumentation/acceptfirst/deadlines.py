"""Timers for many connections at the price of one: a queue for each kind of deadline, and one timer for its head.

Nearly every handshake ends long before its timeout, so what counts is how cheaply a deadline is set and called off. All
deadlines of one length fall due in the order in which they were set, so a queue keeps them sorted for nothing, and a
dictionary is a queue from whose middle an entry can be taken. ``loop.call_later`` costs ten times as much, for a heap
that this does not need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from acceptfirst.failsafe import failsafe, record_failure

FallDue = Callable[[Any], object]
"""What is done with whoever's time has come."""


class Lane:
    """Those who wait for one length of time on one event loop, in the order in which their time comes.

    Each waits in it once at most.
    """

    __slots__ = ("_armed", "_due", "_fall_due", "_loop", "_now", "_wait_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_s: float, fall_due: FallDue) -> None:
        self._loop = loop
        self._now = loop.time
        self._wait_s = wait_s
        self._fall_due = fall_due
        self._due: dict[Any, float] = {}
        self._armed = False

    def add(self, waiting: Any) -> None:
        """Wait from now on."""
        self._due[waiting] = due = self._now() + self._wait_s
        if not self._armed:
            self._arm(due)

    def remove(self, waiting: Any) -> None:
        """Wait no longer; harmless where it does not wait."""
        self._due.pop(waiting, None)

    def _arm(self, due: float) -> None:
        self._armed = True
        self._loop.call_at(due, self._time_has_come)

    @failsafe
    def _time_has_come(self) -> None:
        self._armed = False
        now = self._now()
        while (first := next(iter(self._due.items()), None)) is not None and first[1] <= now:
            self.remove(first[0])
            try:
                self._fall_due(first[0])
            except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
                record_failure("Lane", error)
        if first is not None and not self._armed:  # whoever fell due may have come back, and armed it
            self._arm(first[1])


LANES_MAX: Final = 64
"""Lanes of one event loop that are known by their length; when there are more, it begins to know them anew."""


class Deadlines:
    """The lanes of whichever event loop runs; shared by all connections of one middleware."""

    def __init__(self) -> None:
        # Replaced as a whole, so that a thread with a loop of its own never sees the other's lanes beside its loop.
        self._current: tuple[asyncio.AbstractEventLoop | None, dict[tuple[float, FallDue], Lane]] = (None, {})

    def wait(self, waiting: Any, wait_s: float, fall_due: FallDue) -> Lane | None:
        """Do something about whoever waits, once, no earlier than ``wait_s`` seconds from now.

        Returns:
            The lane, from which it can be removed; ``None`` where no asyncio loop runs (trio): its timers are not ours
            to use.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        current = self._current
        if current[0] is not loop:
            self._current = current = (loop, {})
        lane = current[1].get((wait_s, fall_due))
        if lane is None:
            if len(current[1]) >= LANES_MAX:
                current[1].clear()  # a lane that somebody waits in lives on by its timer
            lane = current[1][wait_s, fall_due] = Lane(loop, wait_s, fall_due)
        lane.add(waiting)
        return lane
