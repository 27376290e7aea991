"""The bytes of a segment: encoding, and decoding that believes nothing."""

from __future__ import annotations

import dataclasses
import struct
from typing import BinaryIO

import google_crc32c

MAGIC = b"AFLOG\x00\x00\x01"
RECORD_BYTES_MAX = 256 << 20
DIGEST_BYTES = 16
LOG_ID_BYTES = 16

_SEGMENT = struct.Struct("<8s16sQ")
_RECORD = struct.Struct("<IQ16sI")
_CHECKSUM = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CHECKSUM.size
RECORD_HEADER_BYTES = _RECORD.size + _CHECKSUM.size


class TornError(Exception):
    """The file ends inside a header or a payload: a write that never finished."""


class DamagedError(Exception):
    """Bytes that were written whole are not what they were.

    Attributes:
        next_offset: where the next record starts, None if that can't be known.
        sequence: of the damaged record, 0 if that can't be known.
    """

    def __init__(self, message: str, next_offset: int | None = None, sequence: int = 0) -> None:
        self.next_offset = next_offset
        self.sequence = sequence
        super().__init__(message)


@dataclasses.dataclass(frozen=True)
class SegmentHeader:
    """Which log a segment belongs to, and the sequence of its first record."""

    log_id: bytes
    first_sequence: int


@dataclasses.dataclass(frozen=True)
class Record:
    """One accepted request: its place in the log, the digest of the body as it came, and what is stored of it."""

    sequence: int
    digest: bytes
    payload: bytes

    @property
    def stored_bytes(self) -> int:
        """What it takes in a segment."""
        return RECORD_HEADER_BYTES + len(self.payload)


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the bytes that open a segment."""
    packed = _SEGMENT.pack(MAGIC, header.log_id, header.first_sequence)
    return packed + _CHECKSUM.pack(google_crc32c.value(packed))


def read_segment_header(file: BinaryIO) -> SegmentHeader:
    """Read what opens a segment.

    Raises:
        TornError: the file is shorter than the header.
        DamagedError: it is not a segment of this version, or its checksum is wrong.
    """
    data = file.read(SEGMENT_HEADER_BYTES)
    if len(data) < SEGMENT_HEADER_BYTES:
        raise TornError(f"expected a segment header of {SEGMENT_HEADER_BYTES} bytes, got {len(data)}")
    packed = data[: _SEGMENT.size]
    magic, log_id, first_sequence = _SEGMENT.unpack(packed)
    if magic != MAGIC or google_crc32c.value(packed) != _CHECKSUM.unpack(data[_SEGMENT.size :])[0]:
        raise DamagedError(f"expected a segment that opens with {MAGIC!r} and its checksum, got {data[:8]!r}")
    return SegmentHeader(log_id, first_sequence)


def encode_record(record: Record) -> bytes:
    """Return a record's bytes.

    Raises:
        ValueError: the payload is over `RECORD_BYTES_MAX`.
    """
    if len(record.payload) > RECORD_BYTES_MAX:
        raise ValueError(f"record too large: {len(record.payload)} bytes, the limit is {RECORD_BYTES_MAX}")
    packed = _RECORD.pack(len(record.payload), record.sequence, record.digest, google_crc32c.value(record.payload))
    return b"".join((packed, _CHECKSUM.pack(google_crc32c.value(packed)), record.payload))


def read_record(file: BinaryIO) -> Record | None:
    """Read the record at the file's position; on return the position is behind it.

    Returns:
        The record, or None at the clean end of the file.

    Raises:
        TornError: the file ends inside the record, or holds nothing but zeros from here on.
        DamagedError: a checksum is wrong; it knows where the next record starts if only the payload is damaged.
    """
    offset = file.tell()
    data = file.read(RECORD_HEADER_BYTES)
    if not data:
        return None
    if len(data) < RECORD_HEADER_BYTES:
        raise TornError(f"expected a record header of {RECORD_HEADER_BYTES} bytes at {offset}, got {len(data)}")
    packed = data[: _RECORD.size]
    if google_crc32c.value(packed) != _CHECKSUM.unpack(data[_RECORD.size :])[0]:
        if not any(data) and _only_zeros(file):
            raise TornError(f"expected a record at {offset}, got zeros up to the end")
        raise DamagedError(f"the record header at {offset} does not match its checksum")
    length, sequence, digest, checksum = _RECORD.unpack(packed)
    payload = file.read(length)
    if len(payload) < length:
        raise TornError(f"expected {length} bytes of payload at {offset}, got {len(payload)}")
    if google_crc32c.value(payload) != checksum:
        raise DamagedError(
            f"the payload of record {sequence} at {offset} does not match its checksum", file.tell(), sequence
        )
    return Record(sequence, digest, payload)


def _only_zeros(file: BinaryIO) -> bool:
    """A file system may lengthen a file before the bytes arrive; what is left then is zeros."""
    while chunk := file.read(1 << 20):
        if any(chunk):
            return False
    return True
