"""Timers for many connections at the price of one: a queue for each length of time, and one timer for its head.

Nearly every handshake ends long before its timeout, so what counts is how cheaply a deadline is set and called off. All
deadlines of one length fall due in the order in which they were set, so a queue keeps them sorted for nothing; calling
one off only empties its entry, which leaves the queue when its time comes. ``loop.call_later`` costs ten times as much,
for a heap that this does not need.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from acceptfirst.failsafe import failsafe


class Handle(Protocol):
    """What can be called off."""

    def cancel(self) -> None:
        """Do not call back any more; harmless afterwards."""


class Deadline:
    """One callback at its time."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due = due
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Let go of the callback, and of the connection that it belongs to."""
        self.callback = None


class _Lane:
    """The deadlines of one length on one event loop, in the order of their times."""

    __slots__ = ("_armed", "_loop", "_queue", "_wait_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, wait_s: float) -> None:
        self._loop = loop
        self._wait_s = wait_s
        self._queue: deque[Deadline] = deque()
        self._armed = False

    def add(self, callback: Callable[[], object]) -> Deadline:
        deadline = Deadline(self._loop.time() + self._wait_s, callback)
        self._queue.append(deadline)
        if not self._armed:
            self._armed = True
            self._loop.call_at(deadline.due, self._fall_due)
        return deadline

    @failsafe
    def _fall_due(self) -> None:
        self._armed = False
        now = self._loop.time()
        queue = self._queue
        try:
            while queue and (queue[0].callback is None or queue[0].due <= now):
                callback = queue.popleft().callback
                if callback is not None:
                    callback()
        finally:
            if queue:
                self._armed = True
                self._loop.call_at(queue[0].due, self._fall_due)


LENGTHS_MAX: Final = 64
"""Lengths that have a queue of their own; policies name a handful, and what comes after gets a timer of the loop's."""


class Deadlines:
    """The queues of whichever event loop runs; shared by all connections of one middleware."""

    def __init__(self) -> None:
        # Replaced as a whole, so that a thread with a loop of its own never sees the other's lanes beside its loop.
        self._current: tuple[asyncio.AbstractEventLoop, dict[float, _Lane]] | None = None

    def after(self, wait_s: float, callback: Callable[[], object]) -> Handle | None:
        """Call back once, no earlier than ``wait_s`` seconds from now.

        Returns:
            What calls it off; ``None`` where no asyncio loop runs (trio): its timers are not ours to use.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        current = self._current
        if current is None or current[0] is not loop:
            self._current = current = (loop, {})
        lane = current[1].get(wait_s)
        if lane is None:
            if len(current[1]) >= LENGTHS_MAX:
                return loop.call_later(wait_s, callback)
            lane = current[1][wait_s] = _Lane(loop, wait_s)
        return lane.add(callback)
