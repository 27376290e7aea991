"""How much at once: requests a second of one caller, reads at a time, and bytes of bodies that are held."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from acceptfirst_collector.otlp.refusal import RefusedError

#: A caller that was quiet may send this many seconds' worth at once.
BURST_SECONDS = 2.0
CALLERS_MAX = 10_000
RETRY_SECONDS = 1


class RateLimit:
    """A bucket of tokens for each caller. Used from one thread.

    Args:
        per_second: requests of one caller; 0 for no limit.
        clock: monotonic seconds; tests have their own.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = per_second
        self._clock = clock
        self._buckets: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def take(self, caller: str) -> None:
        """Count a request.

        Raises:
            RefusedError: 429, with when to come back; clients keep what they hold.
        """
        if self.per_second <= 0:
            return
        full = max(1.0, self.per_second * BURST_SECONDS)
        now = self._clock()
        level, since = self._buckets.pop(caller, (full, now))
        level = min(full, level + (now - since) * self.per_second)
        self._buckets[caller] = (level - 1 if level >= 1 else level, now)
        if len(self._buckets) > CALLERS_MAX:
            self._buckets.popitem(last=False)
        if level < 1:
            retry_after = max(1, round((1 - level) / self.per_second))
            raise RefusedError(
                429, f"expected at most {self.per_second:g} requests a second; come back later", retry_after
            )


class Places:
    """So many at a time, the rest is told to come back. Used from one thread."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for as long as the block lasts.

        Raises:
            RefusedError: 503, all are taken.
        """
        if self._taken >= self._count:
            raise RefusedError(503, f"{self._count} requests are being answered; come back later", RETRY_SECONDS)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Lease:
    """What one request holds of the store of bytes."""

    def __init__(self, hold: ByteHold) -> None:
        self._hold = hold
        self.bytes = 0

    def grow(self, to_bytes: int) -> None:
        """Hold this much in all.

        Raises:
            RefusedError: 503, so much is held already that this does not fit.
        """
        self._hold.change(to_bytes - self.bytes)
        self.bytes = to_bytes


class ByteHold:
    """Bounds the bytes of all bodies that are being read or wait for the disk. Used from one thread.

    Args:
        bytes_max: of all of them together.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Give everything back when the block ends."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self.bytes -= lease.bytes

    def change(self, by_bytes: int) -> None:
        """Hold more, or less; errors as in `Lease.grow`."""
        if by_bytes > 0 and self.bytes + by_bytes > self._bytes_max:
            raise RefusedError(503, "too many bytes of requests are held in memory; come back later", RETRY_SECONDS)
        self.bytes += by_bytes
