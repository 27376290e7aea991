"""Moves records from the log into the store: in batches, in order, each exactly once, and never gives up.

A range is written down as an intent before it is inserted, and its token is made of the log, the range and the bytes;
so whatever happens between the insert and our knowing of it, the same block comes again and the store drops the twin.
What the store refuses for good is narrowed down to its record, tried once more in canonical form, and set aside in a
file; everything else waits for the store to come back.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
import random
import threading
import time
from collections.abc import Callable

import google_crc32c

from acceptfirst_collector.log.checkpoint import sync_folder
from acceptfirst_collector.log.layout import Record
from acceptfirst_collector.log.request_log import RequestLog
from acceptfirst_collector.otlp.door import canonical
from acceptfirst_store.database import Database
from acceptfirst_store.errors import DataRefused, StoreError, StoreRefused
from acceptfirst_store.refusals import EXHAUSTION_CODES, error_code

BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0
IDLE_SECONDS = 0.25
LINGER_STEP_SECONDS = 0.05
EXHAUSTIONS_MAX = 3
INTENT_BYTES_MAX = 1 << 40

logger = logging.getLogger(__name__)


class StoreWriter:
    """Runs in a thread of its own from `start` to `stop`.

    Args:
        log: read by nobody else.
        database: its writing client is used for inserts only.
        aside_dir: where refused records go.
        batch_bytes_max: how much is inserted at once.
        linger_seconds: how long a batch waits to grow.
        observe_insert: told the seconds of each insert.
    """

    def __init__(
        self,
        log: RequestLog,
        database: Database,
        aside_dir: pathlib.Path,
        batch_bytes_max: int,
        linger_seconds: float,
        *,
        observe_insert: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._log = log
        self._database = database
        self._aside_dir = aside_dir
        self._batch_bytes_max = batch_bytes_max
        self._linger_seconds = linger_seconds
        self._observe_insert = observe_insert
        self._draining = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acceptfirst-writer", daemon=True)
        self.trouble = ""
        self.set_aside_count = 0

    def start(self) -> None:
        """Start moving records; a range that was about to be inserted when the last process ended comes first."""
        self._thread.start()

    def stop(self, drain_seconds_max: float) -> bool:
        """Stop, at the latest after the given time and the insert under way; what is left waits in the log.

        Returns:
            Whether everything was stored.
        """
        self._draining.set()
        self._log.wake()
        self._thread.join(drain_seconds_max)
        self._stopping.set()
        self._thread.join()
        return self._log.stored_through >= self._log.synced_through

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._step():
                    return
            except Exception as error:
                # A bug here must not end the thread: the log keeps everything, and /readyz shows the trouble.
                logger.exception("the writer failed; it goes on")
                self.trouble = f"the writer failed: {error}"
                self._stopping.wait(BACKOFF_SECONDS_MAX)

    def _step(self) -> bool:
        """Move one batch; False when draining and nothing is left."""
        if self._log.intent is not None:
            records = self._log.read(INTENT_BYTES_MAX, self._log.intent[1])
        else:
            if not self._log.wait_for_records(IDLE_SECONDS):
                return not self._draining.is_set()
            self._linger()
            records = self._log.read(self._batch_bytes_max)
        if records:
            self._store(records)
        if not self._log.wait_for_records(0) or not records:
            self._persistently(self._log.settle)
        return True

    def _linger(self) -> None:
        """Let a batch grow, unless there is a whole one: an insert costs 100 ms of CPU however few spans it holds."""
        deadline = time.monotonic() + self._linger_seconds
        while self._log.backlog_bytes < self._batch_bytes_max and (left := deadline - time.monotonic()) > 0:
            if self._draining.wait(min(left, LINGER_STEP_SECONDS)):
                return

    def _store(self, records: list[Record]) -> None:
        """Insert a range until it is in, or until it is clear that one of its records never will be."""
        backoff_seconds = BACKOFF_SECONDS_MIN
        exhaustions = 0
        while not self._stopping.is_set():
            error = self._insert(records)
            if error is None:
                self._log.mark_stored(records)
                self.trouble = ""
                return
            exhaustions += error_code(error) in EXHAUSTION_CODES
            if exhaustions >= EXHAUSTIONS_MAX or self._blames_data(error):
                self._narrow_down(records, error)
                return
            if not self.trouble:
                logger.warning("the store can't take spans, they wait in the log: %s", error)
            self.trouble = str(error)
            # Jitter, so that many collectors don't come back to one store in step.
            self._stopping.wait(backoff_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing
            backoff_seconds = min(backoff_seconds * 2, BACKOFF_SECONDS_MAX)

    def _insert(self, records: list[Record]) -> StoreError | OSError | None:
        body = b"".join(record.payload for record in records)
        first, last = records[0].sequence, records[-1].sequence
        digest = _digest(records)
        try:
            self._log.intend(first, last)
            begun = time.monotonic()
            try:
                self._database.insert_requests(body, f"{self._log.log_id}:{first}-{last}:{digest}")
            finally:
                self._observe_insert(time.monotonic() - begun)
        except (StoreError, OSError) as error:
            return error
        return None

    def _blames_data(self, error: Exception) -> bool:
        """Judge a refusal: one of a known kind by its class; any other by whether a request without spans passes."""
        if isinstance(error, DataRefused) or not isinstance(error, StoreRefused):
            return isinstance(error, DataRefused)
        try:
            self._database.insert_requests(b"", f"{self._log.log_id}:probe")
        except StoreError:
            return False
        return True

    def _narrow_down(self, records: list[Record], error: Exception) -> None:
        """Halve a refused range; each half is a range of its own, with its own intent and token."""
        if len(records) == 1:
            self._last_resort(records[0], error)
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            if not self._stopping.is_set():
                self._store(half)

    def _last_resort(self, record: Record, error: Exception) -> None:
        rewritten = canonical(record.payload)
        if rewritten != record.payload:
            self._store_rewritten(record, rewritten)
            return
        self._set_aside(record, error)
        self._log.mark_stored([record])

    def _store_rewritten(self, record: Record, rewritten: bytes) -> None:
        """Try a refused record in its canonical form; that one can't be rewritten further, so this ends."""
        stand_in = Record(record.sequence, record.digest, rewritten)
        while not self._stopping.is_set():
            error = self._insert([stand_in])
            if error is None or self._blames_data(error):
                if error is not None:
                    self._set_aside(record, error)
                self._log.mark_stored([record])
                return
            self.trouble = str(error)
            self._stopping.wait(BACKOFF_SECONDS_MAX)

    def _set_aside(self, record: Record, error: Exception) -> None:
        path = self._aside_dir / f"{record.sequence:020}.otlp"
        self._persistently(lambda: _write_aside(path, record.payload))
        self.set_aside_count += 1
        logger.error("record %d was refused for good and is kept as %s: %s", record.sequence, path, error)

    def _persistently(self, action: Callable[[], None]) -> None:
        """Do what only the disk can hinder, as often as it takes."""
        while not self._stopping.is_set():
            try:
                action()
            except OSError as error:
                self.trouble = f"the data directory can't be written: {error}"
                self._stopping.wait(BACKOFF_SECONDS_MAX)
            else:
                return


def _digest(records: list[Record]) -> str:
    """Identify what is inserted: which bodies came, and what is stored of each; reading them has checked the bytes."""
    parts = (record.digest + google_crc32c.value(record.payload).to_bytes(4, "little") for record in records)
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def _write_aside(path: pathlib.Path, payload: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
