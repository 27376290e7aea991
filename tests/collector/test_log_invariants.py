"""What always holds of the log, on a disk that does what it is told."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import pytest

from acceptfirst_collector.log.layout import SegmentHeader, encode_segment_header
from acceptfirst_collector.log.request_log import STORED_SEGMENTS_KEPT, BacklogFullError, DiskLowError, Limits

DIGEST = b"d" * 16
SMALL_SEGMENTS = Limits(segment_bytes_max=1)


def test_log_returns_records_in_the_order_of_their_sequences(log_folder: Any) -> None:
    """What was appended comes back, in order, with its digest."""
    log = log_folder.open()
    futures = [log.append(bytes([i]) * 16, str(i).encode()) for i in range(50)]
    sequences = [future.result() for future in futures]
    records = log.read(1 << 20)
    assert [record.sequence for record in records] == sequences == list(range(1, 51))
    assert [record.payload for record in records] == [str(i).encode() for i in range(50)]
    assert records[7].digest == bytes([7]) * 16


def test_log_keeps_its_id_when_it_is_opened_again(log_folder: Any) -> None:
    """Tokens are made with it, so it must outlive the process."""
    log_folder.fill(b"a")
    assert log_folder.open().log_id == log_folder.open().log_id


def test_log_never_gives_a_sequence_twice_when_it_is_opened_again(log_folder: Any) -> None:
    """A reused sequence could hide new data behind an old token."""
    log_folder.fill(b"a", b"b")
    log = log_folder.open()
    assert log.append(DIGEST, b"c").result() == 3


def test_log_reads_again_what_was_not_stored(log_folder: Any) -> None:
    """Only the checkpoint moves the beginning."""
    log_folder.fill(b"a", b"b", b"c")
    log = log_folder.open()
    first = log.read(1)
    log.mark_stored(first)
    log.settle()
    assert log_folder.read_payloads() == [b"b", b"c"]


def test_log_names_the_intended_range_when_it_is_opened_again(log_folder: Any) -> None:
    """A range that may or may not be in the store is known by its ends."""
    log_folder.fill(b"a", b"b", b"c")
    log_folder.open().intend(1, 2)
    log = log_folder.open()
    assert log.intent == (1, 2)
    assert [record.payload for record in log.read(1 << 20, 2)] == [b"a", b"b"]


def test_log_reads_no_further_than_it_is_asked_to(log_folder: Any) -> None:
    """The record after the end is neither returned nor lost."""
    log_folder.fill(b"a", b"b", b"c")
    log = log_folder.open()
    assert [record.payload for record in log.read(1 << 20, 1)] == [b"a"]
    assert [record.payload for record in log.read(1 << 20)] == [b"b", b"c"]


def test_log_rotates_when_a_segment_is_full(log_folder: Any) -> None:
    """Each group goes to a segment of its own when segments are tiny, and reading crosses them."""
    log = log_folder.open(SMALL_SEGMENTS)
    for i in range(4):
        log.append(DIGEST, bytes([i])).result()
    assert [path.stem.lstrip("0") for path in log_folder.segments()] == ["1", "2", "3", "4"]
    assert [record.payload for record in log.read(1 << 20)] == [bytes([i]) for i in range(4)]


def test_log_unlinks_stored_segments_but_the_newest(log_folder: Any) -> None:
    """A few stay, for the window of resends."""
    log = log_folder.open(SMALL_SEGMENTS)
    for i in range(6):
        log.append(DIGEST, bytes([i])).result()
    log.mark_stored(log.read(1 << 20))
    log.settle()
    assert len(log_folder.segments()) == STORED_SEGMENTS_KEPT + 1


def test_log_counts_the_backlog_down_when_records_are_stored(log_folder: Any) -> None:
    """Nothing left to store is a backlog of zero, also after opening again."""
    log_folder.fill(b"a" * 100, b"b")
    log = log_folder.open()
    assert log.backlog_bytes > 101
    log.mark_stored(log.read(1 << 20))
    assert log.backlog_bytes == 0
    log.settle()
    assert log_folder.open().backlog_bytes == 0


def test_log_refuses_when_the_backlog_is_full(log_folder: Any) -> None:
    """The message carries both numbers."""
    log = log_folder.open(Limits(backlog_bytes_max=100))
    log.append(DIGEST, b"x" * 200).result()
    with pytest.raises(BacklogFullError, match=r"behind by \d{3} bytes, the limit is 100"):
        log.append(DIGEST, b"y")


def test_log_remembers_digests_when_it_is_opened_again(log_folder: Any) -> None:
    """The window of resends is rebuilt from what is on the disk."""
    log_folder.fill(b"a", b"b")
    assert log_folder.open().recovered_digests == [DIGEST, DIGEST]


def test_log_remembers_the_digests_of_what_it_has_unlinked(log_folder: Any) -> None:
    """At a high rate segments are gone in seconds; a client may send a body again for minutes."""
    log = log_folder.open(SMALL_SEGMENTS)
    digests = [bytes([i]) * 16 for i in range(8)]
    for digest in digests:
        log.append(digest, b"x").result()
    log.mark_stored(log.read(1 << 20))
    log.settle()
    assert sorted(log_folder.open().recovered_digests) == digests


def test_log_forgets_digests_when_their_window_is_over(log_folder: Any) -> None:
    """What nobody sends again any more takes no room."""
    log = log_folder.open(Limits(segment_bytes_max=1, seen_seconds=-1))
    for i in range(8):
        log.append(bytes([i]) * 16, b"x").result()
    log.mark_stored(log.read(1 << 20))
    log.settle()
    assert list(log_folder.path.glob("*.seen")) == []


def test_log_refuses_when_the_disk_is_nearly_full(log_folder: Any) -> None:
    """The rest is the store's; the message carries both numbers."""
    log = log_folder.open()
    with mock.patch("os.statvfs", return_value=os.statvfs_result((4096, 4096, 1000, 50, 50, 0, 0, 0, 0, 255))):
        with pytest.raises(DiskLowError, match=r"204800 bytes are free, the last 409600 are kept"):
            log.append(DIGEST, b"x")
        assert log.disk_trouble
    log.append(DIGEST, b"x").result()
    assert log.backlog_bytes > 0


def test_segment_header_tells_the_log_and_the_first_sequence() -> None:
    """The layout is the documented one."""
    encoded = encode_segment_header(SegmentHeader(b"i" * 16, 7))
    assert encoded[:8] == b"AFLOG\x00\x00\x01"
    assert encoded[8:24] == b"i" * 16
    assert int.from_bytes(encoded[24:32], "little") == 7
