"""How large the store is and how old its newest data, asked now and then in a thread of its own.

A scrape must not wait for a store that hangs, nor ask one that is busy every second: it gets what was found last.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import threading
import time

from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreError

FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class StoreFigures:
    """What is known of the store.

    Attributes:
        reachable: whether it answered when it was asked last.
        bytes_on_disk: of all tables, compressed; `None` before the first answer.
        newest_at: when the newest span began; `None` while there is none.
    """

    reachable: bool = False
    bytes_on_disk: int | None = None
    newest_at: dt.datetime | None = None

    def age_seconds(self, now: dt.datetime) -> float | None:
        """How old the newest span is; 0 for one of the future, which only a wrong clock makes."""
        return None if self.newest_at is None else max(0.0, (now - self.newest_at).total_seconds())


class StoreWatch:
    """Keeps the figures of a store.

    Args:
        database: a client of its own is opened on it, since reads on one client wait for one another.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own: Database | None = None
        self._asker = concurrent.futures.ThreadPoolExecutor(1, "acceptfirst-figures")
        self._guard = threading.Lock()
        self._asked: concurrent.futures.Future[None] | None = None
        self._asked_at = float("-inf")
        self._figures = StoreFigures()

    def figures(self) -> StoreFigures:
        """Return what is known; asks anew when that is old, and waits a moment for the answer."""
        with self._guard:
            is_idle = self._asked is None or self._asked.done()
            if is_idle and time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._asked_at = time.monotonic()
                self._asked = self._asker.submit(self._ask)
            asked = self._asked
        if asked is not None:
            concurrent.futures.wait([asked], PATIENCE_SECONDS)
        return self._figures

    def close(self) -> None:
        """Ask no more; a question under way is waited for, since the store closes next."""
        self._asker.shutdown(cancel_futures=True)
        if self._own is not None:
            self._own.close()

    def _ask(self) -> None:
        try:
            if self._own is None:
                self._own = self._database.sibling()
            [row] = self._own.statement_rows("store_figures")
        except StoreError:
            self._figures = dataclasses.replace(self._figures, reachable=False)
            return
        self._figures = StoreFigures(
            reachable=True, bytes_on_disk=int(row["bytes_on_disk"]), newest_at=row["newest_at"]
        )
