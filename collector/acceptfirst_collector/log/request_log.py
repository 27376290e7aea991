"""The whole log: recovery, appending, reading in order, and forgetting what is stored."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import logging
import os
import pathlib
import threading
import uuid
from collections.abc import Callable

from acceptfirst_collector.log.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from acceptfirst_collector.log.journal import SEGMENT_BYTES_MAX, Journal
from acceptfirst_collector.log.layout import RECORD_HEADER_BYTES, Record
from acceptfirst_collector.log.seen import forget_seen, load_seen, save_seen
from acceptfirst_collector.log.segments import Segment, SegmentReader, Skipped, Survey, segment_paths, survey_segment

STORED_SEGMENTS_KEPT = 2
BACKLOG_BYTES_MAX = 1 << 30
RESERVE_BYTES = 256 << 20
#: On a small disk the reserve is this part of it.
RESERVE_PART = 10
SEEN_SECONDS = 300.0

logger = logging.getLogger(__name__)


class BacklogFullError(Exception):
    """The store is too far behind; the request may be sent again later."""


class DiskLowError(BacklogFullError):
    """What is left of the disk is kept for the store and for the checkpoint; the request may be sent again later."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a log.

    Args:
        segment_bytes_max: a segment that holds this much is closed.
        backlog_bytes_max: how far the store may be behind.
        reserve_bytes: how much of the disk is left to others; on a disk of less than ten times as much, a tenth of it.
        seen_seconds: how long the digests of what is gone are kept.
    """

    segment_bytes_max: int = SEGMENT_BYTES_MAX
    backlog_bytes_max: int = BACKLOG_BYTES_MAX
    reserve_bytes: int = RESERVE_BYTES
    seen_seconds: float = SEEN_SECONDS


class RequestLog:
    """Opens a log, recovering what is there. One reader and any number of appenders may use it at once.

    Args:
        folder: made if need be; the caller makes sure that no other process uses it.
        limits: how large a segment and the backlog may grow.
        observe_sync: told the seconds that each group took to be written and synced.

    Raises:
        OSError: the folder can't be read or written.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        limits: Limits | None = None,
        observe_sync: Callable[[float], None] = lambda _: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limits = limits or Limits()
        self._guard = threading.Lock()
        self._reader: SegmentReader | None = None
        self._lookahead: Record | None = None
        surveys = _surveys(folder)
        checkpoint = load_checkpoint(folder)
        self.log_id = _log_id(surveys, checkpoint)
        self.stored_through = checkpoint.stored_through if checkpoint else 0
        self.intent = checkpoint.intent if checkpoint else None
        self.recovered_digests = load_seen(folder)
        self.recovered_digests += [digest for survey in surveys for digest in survey.segment.digests]
        _tell_gaps(surveys, self.stored_through)
        self._backlog_bytes = _backlog_bytes(surveys, self.stored_through)
        self._read_through = self.stored_through
        old_segments = _with_records(surveys)
        self._journal = Journal(
            folder,
            bytes.fromhex(self.log_id),
            self._next_sequence(surveys),
            self._limits.segment_bytes_max,
            observe_sync,
        )
        self._journal.segments[:0] = old_segments

    @property
    def backlog_bytes(self) -> int:
        """What is in the log, or on its way there, and not yet in the store."""
        return self._backlog_bytes

    @property
    def backlog_requests(self) -> int:
        """How many requests that is, as far as sequences tell: one that was lost still counts until it is passed."""
        return max(0, self.synced_through - self.stored_through)

    @property
    def backlog_full(self) -> bool:
        """Whether appends are refused until the store catches up."""
        return self._backlog_bytes >= self._limits.backlog_bytes_max

    @property
    def disk_trouble(self) -> str:
        """Say that the disk is nearly full, empty if it is not; or can't be asked, then writing will tell."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return ""
        free_bytes = disk.f_bavail * disk.f_frsize
        reserve_bytes = min(self._limits.reserve_bytes, disk.f_blocks * disk.f_frsize // RESERVE_PART)
        if free_bytes >= reserve_bytes:
            return ""
        return f"the disk is nearly full: {free_bytes} bytes are free, the last {reserve_bytes} are kept for the store"

    @property
    def writable(self) -> bool:
        """Whether the last write to the disk succeeded."""
        return self._journal.writable

    @property
    def synced_through(self) -> int:
        """The sequence of the last record that is on the disk."""
        return self._journal.synced_through

    def append(self, digest: bytes, payload: bytes) -> concurrent.futures.Future[int]:
        """Append a request.

        Args:
            digest: 16 bytes that identify the body as it came.
            payload: the request's protobuf.

        Returns:
            A future of its sequence; done means synced. It fails with `LogUnwritableError`.

        Raises:
            BacklogFullError: the backlog is over its limit.
            DiskLowError: the disk is nearly full.
        """
        if trouble := self.disk_trouble:
            raise DiskLowError(trouble)
        size = RECORD_HEADER_BYTES + len(payload)
        with self._guard:
            if self.backlog_full:
                raise BacklogFullError(
                    f"the store is behind by {self._backlog_bytes} bytes, the limit is {self._limits.backlog_bytes_max}"
                )
            self._backlog_bytes += size
        future = self._journal.append(digest, payload)
        future.add_done_callback(lambda done: self._forget_bytes(size) if done.exception() else None)
        return future

    def wait_for_records(self, timeout_seconds: float) -> bool:
        """Wait until there is something to read, or the time is over, or the log is woken by `close`."""
        if self._lookahead is not None:
            return True
        return self._journal.wait_synced_beyond(self._read_through, timeout_seconds) > self._read_through

    def read(self, bytes_max: int, through: int | None = None) -> list[Record]:
        """Read on, in order, from where the last call stopped.

        Args:
            bytes_max: stop before a record that would exceed it; the first record is always returned.
            through: no further than this sequence.

        Returns:
            Synced records; none if there is nothing new, or what there was is damaged.
        """
        end = self.synced_through if through is None else min(through, self.synced_through)
        records: list[Record] = []
        size = 0
        while (record := self._peek(end)) is not None and (not records or size + len(record.payload) <= bytes_max):
            records.append(record)
            size += len(record.payload)
            self._lookahead = None
        return records

    def intend(self, first: int, last: int) -> None:
        """Say durably which range is about to be inserted; OSError if it can't be said."""
        save_checkpoint(self._folder, Checkpoint(self.log_id, self.stored_through, (first, last)))
        self.intent = (first, last)
        self._drop_stored()

    def mark_stored(self, records: list[Record]) -> None:
        """Move on behind records that are in the store; made durable by the next `intend` or `settle`."""
        self.stored_through = records[-1].sequence
        self.intent = None
        self._forget_bytes(sum(record.stored_bytes for record in records))

    def settle(self) -> None:
        """Make what is stored durable as such; no range is intended any more. OSError if it can't be written."""
        save_checkpoint(self._folder, Checkpoint(self.log_id, self.stored_through))
        self.intent = None
        self._drop_stored()

    def _drop_stored(self) -> None:
        """Unlink segments that are stored, which a synced checkpoint must have said before; keep the newest few."""
        segments = self._journal.segments
        stored = [segment for segment in segments[:-1] if segment.last_sequence <= self.stored_through]
        for segment in stored[:-STORED_SEGMENTS_KEPT]:
            save_seen(self._folder, segment.first_sequence, segment.digests)
            if self._reader is not None and self._reader.segment is segment:
                self._reader.close()
                self._reader = None
            segment.path.unlink(missing_ok=True)
            segments.remove(segment)
            forget_seen(self._folder, self._limits.seen_seconds)

    def close(self) -> None:
        """Sync what waits and close the files."""
        self._journal.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def wake(self) -> None:
        """Wake a reader that waits."""
        self._journal.wake()

    def _peek(self, end: int) -> Record | None:
        """Return the next record up to `end` without taking it; what can't be read any more is passed over."""
        while self._lookahead is None and self._read_through < end:
            if self._reader is None and not self._open_next():
                return None
            self._lookahead = self._advance()
        return self._lookahead if self._lookahead and self._lookahead.sequence <= end else None

    def _advance(self) -> Record | None:
        """Move one record on in the open segment; None if there was none, or none that is new."""
        found = self._reader.next() if self._reader else None
        if found is None:
            self._leave_segment()
            return None
        if found.sequence <= self._read_through:
            return None
        self._read_through = found.sequence
        if isinstance(found, Skipped):
            self._forget_bytes(found.stored_bytes)
            return None
        return found

    def _open_next(self) -> bool:
        for segment in list(self._journal.segments):
            if segment.last_sequence > self._read_through:
                self._reader = SegmentReader(segment)
                return True
        return False

    def _leave_segment(self) -> None:
        """Close a segment that has no more to give; what it should have had and hasn't is passed over."""
        if self._reader is None:
            return
        if self._reader.broken:
            self._journal.rotate()
        self._read_through = max(self._read_through, self._reader.segment.last_sequence)
        self._reader.close()
        self._reader = None

    def _forget_bytes(self, size: int) -> None:
        with self._guard:
            self._backlog_bytes -= size

    def _next_sequence(self, surveys: list[Survey]) -> int:
        """Return a sequence that was never given before, whatever was lost: a reused one could hide new data."""
        # How many records a damaged segment had can't be known; its own first one was given at least.
        seen = [survey.segment.first_sequence for survey in surveys if survey.is_damaged]
        seen += [survey.segment.last_sequence for survey in surveys]
        seen += [self.stored_through, self.intent[1] if self.intent else 0]
        return max(seen) + 1


def _surveys(folder: pathlib.Path) -> list[Survey]:
    paths = segment_paths(folder)
    firsts = [int(path.stem) for path in paths]
    return [survey_segment(path, behind) for path, behind in itertools.zip_longest(paths, firsts[1:])]


def _tell_gaps(surveys: list[Survey], stored_through: int) -> None:
    """Say which records should be there and are not: a segment is missing, or was damaged and is kept aside."""
    known_through = stored_through
    for survey in surveys:
        segment = survey.segment
        if survey.record_bytes and segment.first_sequence > known_through + 1:
            logger.error(
                "records %d to %d are not in the log; what follows them is read",
                known_through + 1,
                segment.first_sequence - 1,
            )
        known_through = max(known_through, segment.last_sequence)


def _log_id(surveys: list[Survey], checkpoint: Checkpoint | None) -> str:
    """Keep the id that tokens were made with: from the checkpoint, else from a segment; else a new log begins."""
    if checkpoint is not None:
        return checkpoint.log_id
    ids = [survey.log_id.hex() for survey in surveys if survey.log_id is not None]
    return ids[-1] if ids else uuid.uuid4().hex


def _backlog_bytes(surveys: list[Survey], stored_through: int) -> int:
    sizes = (item for survey in surveys for item in survey.record_bytes.items())
    return sum(size for sequence, size in sizes if sequence > stored_through)


def _with_records(surveys: list[Survey]) -> list[Segment]:
    """Keep the segments that have something to read; empty ones are unlinked (a damaged one was linked aside)."""
    for survey in surveys:
        if not survey.record_bytes:
            survey.segment.path.unlink(missing_ok=True)
    return [survey.segment for survey in surveys if survey.record_bytes]
