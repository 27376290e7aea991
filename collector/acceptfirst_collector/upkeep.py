"""Keeps the rollup true, and the process small, while a collector runs: beside requests and writer, never in their way.

It has clients of its own, so that no insert waits for it, one thread in the store, and rests nine times as long as it
worked. What it could not finish when the process ended, the next one finishes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from acceptfirst_collector.memory import release_free_memory
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreError
from acceptfirst_store.rollup import refresh_rollup

INTERVAL_SECONDS = 5.0
#: Others may write too: jobs, other collectors on a server.
INTERVAL_SECONDS_WHEN_IDLE = 30.0
RESTS_PER_WORK = 9
STOP_SECONDS_MAX = 5.0

logger = logging.getLogger(__name__)


class StoreUpkeep:
    """Runs in a thread of its own from `start` to `stop`.

    Args:
        database: siblings of it are opened and closed here.
        stored_through: says how far the writer has got; any value that changes when something was stored.
        interval_seconds: how long it rests between passes while something is stored.
    """

    def __init__(
        self, database: Database, stored_through: Callable[[], int], interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._parent = database
        self._database: Database | None = None
        self._stored_through = stored_through
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acceptfirst-upkeep", daemon=True)
        self.trouble = ""

    def start(self) -> None:
        """Start; the first pass comes after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """Stop behind the piece of work under way, at the latest after `STOP_SECONDS_MAX`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        seen, passed_at, rest_seconds = -1, time.monotonic(), self._interval_seconds
        while not self._stopping.wait(rest_seconds):
            is_idle = self._stored_through() == seen
            if is_idle and time.monotonic() - passed_at < INTERVAL_SECONDS_WHEN_IDLE:
                continue
            seen, passed_at = self._stored_through(), time.monotonic()
            self._pass()
            release_free_memory()
            rest_seconds = max(self._interval_seconds, RESTS_PER_WORK * (time.monotonic() - passed_at))
        self._close()

    def _pass(self) -> None:
        """Make one pass; whatever stops it is said once and tried again."""
        try:
            if self._database is None:
                self._database = self._parent.sibling()
            refresh_rollup(self._database, lambda: not self._stopping.is_set())
        except StoreError as error:
            if not self.trouble:
                logger.warning("the rollup waits: %s", error)
            self.trouble = str(error)
            self._close()
        except Exception:
            logger.exception("the rollup failed; it goes on")
            self.trouble = "the rollup failed; the log says why"
        else:
            self.trouble = ""

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
