"""Remembers the bodies of the last minutes, since a client that never saw our 200 sends the same body again."""

from __future__ import annotations

import collections
import concurrent.futures
import time
from collections.abc import Callable, Iterable

WINDOW_SECONDS = 300.0
WINDOW_BODIES_MAX = 200_000

Appended = concurrent.futures.Future[int]


class ResendWindow:
    """Digest → the future of the append, for bodies that came within the window. Used from one thread.

    Args:
        window_seconds: how long a body is remembered.
        clock: monotonic seconds; tests have their own.
    """

    def __init__(self, window_seconds: float = WINDOW_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_seconds = window_seconds
        self._clock = clock
        self._seen: collections.OrderedDict[bytes, tuple[float, Appended]] = collections.OrderedDict()

    def remember_recovered(self, digests: Iterable[bytes]) -> None:
        """Take up what was found in the log at start, as if it had just come."""
        done: Appended = concurrent.futures.Future()
        done.set_result(0)
        for digest in digests:
            self.remember(digest, done)

    def find(self, digest: bytes) -> Appended | None:
        """Return the future of an identical body's append, unless it failed or is too long ago."""
        self._expire()
        found = self._seen.get(digest)
        if found is None:
            return None
        if found[1].done() and found[1].exception() is not None:
            del self._seen[digest]
            return None
        return found[1]

    def remember(self, digest: bytes, appended: Appended) -> None:
        """Remember a body whose append is under way or done."""
        self._seen[digest] = (self._clock(), appended)
        self._seen.move_to_end(digest)

    def _expire(self) -> None:
        oldest = self._clock() - self._window_seconds
        while self._seen:
            digest, (since, _) = next(iter(self._seen.items()))
            if since >= oldest and len(self._seen) <= WINDOW_BODIES_MAX:
                return
            del self._seen[digest]
