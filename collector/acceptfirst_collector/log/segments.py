"""The segment files of one log: finding, making, scanning and unlinking them."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from acceptfirst_collector.log.checkpoint import sync_folder
from acceptfirst_collector.log.layout import (
    SEGMENT_HEADER_BYTES,
    DamagedError,
    Record,
    SegmentHeader,
    TornError,
    encode_segment_header,
    read_record,
    read_segment_header,
)

SUFFIX = ".log"
DAMAGED_SUFFIX = ".damaged"

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Segment:
    """One file, the sequences of its first and last record (last < first: none yet), and the digests of its records."""

    path: pathlib.Path
    first_sequence: int
    last_sequence: int
    digests: list[bytes] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Survey:
    """What recovery learned of one segment: its records in order, without their payloads.

    `log_id` is None if the segment's header can't be believed, or was never written.
    """

    segment: Segment
    log_id: bytes | None = None
    is_damaged: bool = False
    record_bytes: dict[int, int] = dataclasses.field(default_factory=dict)


def segment_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the segments in the order of their first sequence; names that are not ours are left alone."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def create_segment(folder: pathlib.Path, log_id: bytes, first_sequence: int) -> tuple[Segment, BinaryIO]:
    """Make a new segment and sync its name.

    Returns:
        The segment, and its file, open for appending, unbuffered.

    Raises:
        OSError: it can't be made; nothing is left of it.
    """
    path = folder / f"{first_sequence:020}{SUFFIX}"
    file = path.open("xb", buffering=0)
    try:
        write_all(file, encode_segment_header(SegmentHeader(log_id, first_sequence)))
        os.fsync(file.fileno())
        sync_folder(folder)
    except OSError:
        file.close()
        path.unlink(missing_ok=True)
        raise
    return Segment(path, first_sequence, first_sequence - 1), file


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte; a raw write may take fewer than it was given, most likely when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def survey_segment(path: pathlib.Path, next_first: int | None) -> Survey:
    """Read a whole segment at recovery, cut off a torn tail, set a copy of a damaged file aside.

    Args:
        path: the segment.
        next_first: the first sequence of the segment behind it; None for the log's last: only there is an incomplete
            record the trace of a crash. Records from that sequence on were never acknowledged: this segment could be
            neither synced nor cut off, and the next one was begun in its place.
    """
    first = int(path.stem)
    is_last = next_first is None
    survey = Survey(Segment(path, first, first - 1))
    with path.open("r+b") as file:
        try:
            survey.log_id = read_segment_header(file).log_id
        except TornError as error:
            # Without a byte it was never written to: its maker stopped there, or could not even write the header.
            if not is_last and path.stat().st_size:
                survey.is_damaged = True
                set_aside(path, f"{error}; the whole segment is skipped")
            return survey
        except DamagedError as error:
            survey.is_damaged = True
            set_aside(path, f"{error}; the whole segment is skipped")
            return survey
        for record in _records(file, path, torn_is_damage=not is_last, truncate=is_last):
            if next_first is not None and record.sequence >= next_first:
                logger.warning("segment %s: what follows record %d was never acknowledged", path.name, next_first - 1)
                return survey
            survey.segment.digests.append(record.digest)
            survey.record_bytes[record.sequence] = record.stored_bytes
            survey.segment.last_sequence = record.sequence
    return survey


def _records(file: BinaryIO, path: pathlib.Path, *, torn_is_damage: bool, truncate: bool) -> Iterator[Record]:
    while True:
        offset = file.tell()
        try:
            record = read_record(file)
        except TornError as error:
            if torn_is_damage:
                set_aside(path, f"{error}; what follows is skipped")
            elif truncate:
                cut_off(file, offset)
                logger.warning("segment %s: %s; cut off there, it was never acknowledged", path.name, error)
            return
        except DamagedError as error:
            set_aside(path, f"{error}; {_skipped(error, file, offset)} skipped")
            if error.next_offset is None:
                return
            file.seek(error.next_offset)
            continue
        if record is None:
            return
        yield record


def _skipped(error: DamagedError, file: BinaryIO, offset: int) -> str:
    end = error.next_offset or os.fstat(file.fileno()).st_size
    return f"{end - offset} bytes are"


def cut_off(file: BinaryIO, offset: int) -> None:
    """Shorten a segment to what is known to be good, and sync that."""
    file.truncate(offset)
    file.seek(offset)
    os.fsync(file.fileno())


def set_aside(path: pathlib.Path, why: str) -> None:
    """Keep a damaged segment under another name for whoever wants to look; the bytes are shared, not copied."""
    logger.error("segment %s is damaged: %s; the file is kept as %s", path.name, why, path.name + DAMAGED_SUFFIX)
    kept = path.with_name(path.name + DAMAGED_SUFFIX)
    if not kept.exists():
        os.link(path, kept)
        sync_folder(path.parent)


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A record whose payload is damaged: its sequence, and what it takes in the segment."""

    sequence: int
    stored_bytes: int


class SegmentReader:
    """Reads the records of one segment in order; the caller never asks beyond what is synced.

    Attributes:
        broken: the rest of the segment can't be read, which was said when it was found.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.broken = False
        self._file = segment.path.open("rb")
        self._file.seek(SEGMENT_HEADER_BYTES)

    def next(self) -> Record | Skipped | None:
        """Return the next record, or what stands for it if its payload is damaged; None at the end or when broken."""
        if self.broken:
            return None
        offset = self._file.tell()
        try:
            record = read_record(self._file)
        except TornError as error:
            self.broken = True
            set_aside(self.segment.path, f"{error}; what follows is skipped")
        except DamagedError as error:
            if error.sequence > self.segment.last_sequence:
                return None
            set_aside(self.segment.path, f"{error}; {_skipped(error, self._file, offset)} skipped")
            if error.next_offset is not None:
                return Skipped(error.sequence, error.next_offset - offset)
            self.broken = True
        else:
            # Behind the last one that counts there may be one, whole or damaged, that was never acknowledged; its
            # sequence was given again, to a record of the next segment.
            return record if record is not None and record.sequence <= self.segment.last_sequence else None
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
