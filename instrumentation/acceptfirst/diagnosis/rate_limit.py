"""Lets the first few of a kind through, then one each interval, and counts what it keeps back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

KINDS_MAX: Final = 1024
"""Kinds that are told apart; what comes after shares one allowance, so that memory stays bounded."""

_REST: Final = object()


class Kept(NamedTuple):
    """What was kept back of one kind: how many, and over how many seconds."""

    number: int
    seconds: float


class _Bucket:
    __slots__ = ("filled_at", "kept", "kept_since", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.filled_at = now
        self.kept = 0
        self.kept_since = now

    def drain(self, now: float) -> Kept:
        kept = Kept(self.kept, now - self.kept_since if self.kept else 0.0)
        self.kept = 0
        return kept


class RateLimit:
    """A token bucket for each kind; threads may share it.

    Args:
        burst: how many of a kind go through at once.
        interval_s: seconds until one more may.
        clock: monotonic seconds.
    """

    def __init__(self, *, burst: int, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.burst = burst
        self.interval_s = interval_s
        self.clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}
        self._lock = threading.Lock()

    def let_through(self, kind: Hashable) -> Kept | None:
        """Ask for one more of a kind.

        Returns:
            What was kept back since the last one that went through, none of which is reported again; ``None`` where
            this one is kept back too.
        """
        with self._lock:
            now = self.clock()
            bucket = self._bucket(kind, now)
            bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.filled_at) / self.interval_s)
            bucket.filled_at = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return bucket.drain(now)
            if not bucket.kept:
                bucket.kept_since = now
            bucket.kept += 1
            return None

    def drain(self) -> dict[Hashable, Kept]:
        """What has been kept back of each kind and not been reported yet; ``None`` stands for all kinds too many."""
        with self._lock:
            now = self.clock()
            drained = {kind: bucket.drain(now) for kind, bucket in self._buckets.items() if bucket.kept}
        return {None if kind is _REST else kind: kept for kind, kept in drained.items()}

    def _bucket(self, kind: Hashable, now: float) -> _Bucket:
        if kind not in self._buckets:
            if len(self._buckets) >= KINDS_MAX:
                kind = _REST
            self._buckets.setdefault(kind, _Bucket(float(self.burst), now))
        return self._buckets[kind]
