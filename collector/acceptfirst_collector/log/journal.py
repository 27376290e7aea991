"""The log's writing end: group commit, rotation, and what to do when the disk says no."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import logging
import os
import pathlib
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from acceptfirst_collector.log.layout import Record, encode_record
from acceptfirst_collector.log.segments import Segment, create_segment, cut_off, write_all

SEGMENT_BYTES_MAX = 64 << 20
GROUP_BYTES_MAX = 32 << 20
JOIN_SECONDS_MAX = 5.0

logger = logging.getLogger(__name__)


class LogUnwritableError(Exception):
    """The request is not in the log: the disk refused it, or the log is closing. It may be sent again."""


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request that waits to be written."""

    digest: bytes
    payload: bytes
    future: concurrent.futures.Future[int]


class Journal:
    """Appends records to the newest segment from a thread of its own.

    Args:
        folder: the log's.
        log_id: 16 bytes, for the headers of new segments.
        next_sequence: what the next record gets.
        segment_bytes_max: a segment that holds this much is closed.
        observe_sync: told the seconds that each group took to be written and synced.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        log_id: bytes,
        next_sequence: int,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        observe_sync: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._log_id = log_id
        self._next_sequence = next_sequence
        self._segment_bytes_max = segment_bytes_max
        self._observe_sync = observe_sync
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self._rotation_due = False
        self._file: BinaryIO | None = None
        self._synced_bytes = 0
        self.segments: list[Segment] = []
        self.synced_through = next_sequence - 1
        self.writable = True
        self._begin_segment()
        self._thread = threading.Thread(target=self._run, name="acceptfirst-journal", daemon=True)
        self._thread.start()

    def append(self, digest: bytes, payload: bytes) -> concurrent.futures.Future[int]:
        """Hand a request over.

        Returns:
            A future of its sequence, resolved once it is synced; `LogUnwritableError` if it can't be.
        """
        waiting = _Waiting(digest, payload, concurrent.futures.Future())
        with self._changed:
            if self._closing:
                waiting.future.set_exception(LogUnwritableError("the log is closing"))
                return waiting.future
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def wait_synced_beyond(self, sequence: int, timeout_seconds: float) -> int:
        """Wait until a record after `sequence` is synced or the time is over; return the last synced sequence."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self.synced_through > sequence, timeout_seconds)
            return self.synced_through

    def wake(self) -> None:
        """Wake whoever waits, to look again."""
        with self._changed:
            self._changed.notify_all()

    def rotate(self) -> None:
        """Begin a new segment with the next group: the present one can't be read to its end."""
        self._rotation_due = True

    def close(self) -> None:
        """Write what waits, then stop; afterwards every append is refused."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(JOIN_SECONDS_MAX)
        if self._file is not None and not self._thread.is_alive():
            self._file.close()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                self._commit(group)
            except Exception as error:
                # Whatever it is, a waiting request must hear of it, and the thread must live for the next.
                logger.exception("the log could not take %d requests", len(group))
                self._refuse(group, error)

    def _next_group(self) -> list[_Waiting]:
        """Wait for requests; all that wait, up to a size, go together. Empty when closing and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            group: list[_Waiting] = []
            group_bytes = 0
            while self._waiting and group_bytes < GROUP_BYTES_MAX:
                group.append(self._waiting.popleft())
                group_bytes += len(group[-1].payload)
            return group

    def _commit(self, group: list[_Waiting]) -> None:
        first = self._next_sequence
        records = [Record(first + i, waiting.digest, waiting.payload) for i, waiting in enumerate(group)]
        data = b"".join(encode_record(record) for record in records)
        begun = time.monotonic()
        try:
            self._write(data)
            self._observe_sync(time.monotonic() - begun)
        except OSError as error:
            self.writable = False
            logger.error("the log can't be written: %s; %d requests are refused", error, len(group))  # noqa: TRY400 - a full disk needs no traceback
            self._refuse(group, error)
            return
        self.writable = True
        self._next_sequence += len(group)
        with self._changed:
            self.segments[-1].last_sequence = self._next_sequence - 1
            self.segments[-1].digests += [waiting.digest for waiting in group]
            self.synced_through = self._next_sequence - 1
            self._changed.notify_all()
        for record, waiting in zip(records, group, strict=True):
            waiting.future.set_result(record.sequence)

    def _write(self, data: bytes) -> None:
        """Write and sync one group; on failure the segment ends where it ended before."""
        file = self._file
        if file is None or self._rotation_due or self._synced_bytes >= self._segment_bytes_max:
            file = self._begin_segment()
        try:
            write_all(file, data)
        except OSError:
            self._undo_write(file)
            raise
        try:
            os.fdatasync(file.fileno())
        except OSError:
            self._undo_write(file)
            self._abandon_segment()
            raise
        self._synced_bytes += len(data)

    def _begin_segment(self) -> BinaryIO:
        self._abandon_segment()
        segment, file = create_segment(self._folder, self._log_id, self._next_sequence)
        with self._changed:
            self.segments.append(segment)
        self._file = file
        self._rotation_due = False
        self._synced_bytes = file.tell()
        return file

    def _undo_write(self, file: BinaryIO) -> None:
        try:
            cut_off(file, self._synced_bytes)
        except OSError:
            logger.exception("a failed write could not be undone; a new segment is begun")
            self._abandon_segment()

    def _abandon_segment(self) -> None:
        """Stop writing to the segment; one that holds no record is dropped, since the next would get its name."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        segment = self.segments[-1]
        if segment.last_sequence < segment.first_sequence:
            with self._changed:
                self.segments.pop()
            segment.path.unlink(missing_ok=True)

    def _refuse(self, group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(LogUnwritableError(f"the log can't be written: {error}"))
