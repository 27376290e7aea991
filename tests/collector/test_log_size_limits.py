"""Each number in the log's documentation is a constant, and each limit is hit."""

from __future__ import annotations

from typing import Any

import pytest

import acceptfirst_collector.log as log_package
from acceptfirst_collector.log import journal, layout, request_log
from acceptfirst_collector.log.layout import Record, encode_record
from acceptfirst_collector.log.request_log import Limits

DIGEST = b"d" * 16


@pytest.mark.parametrize(
    ("text", "value", "documented"),
    [
        ("`RECORD_BYTES_MAX` (256 MiB)", layout.RECORD_BYTES_MAX, 256 << 20),
        ("`SEGMENT_BYTES_MAX` (64 MiB", journal.SEGMENT_BYTES_MAX, 64 << 20),
        ("`STORED_SEGMENTS_KEPT` (2)", request_log.STORED_SEGMENTS_KEPT, 2),
        ("`BACKLOG_BYTES_MAX` (1 GiB", request_log.BACKLOG_BYTES_MAX, 1 << 30),
        ("`RESERVE_BYTES` (256 MiB", request_log.RESERVE_BYTES, 256 << 20),
    ],
)
def test_log_documents_its_limits(text: str, value: int, documented: int) -> None:
    """The module's text and its constants say the same."""
    assert text in (log_package.__doc__ or "")
    assert value == documented


def test_log_refuses_a_record_that_is_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message carries both numbers."""
    monkeypatch.setattr(layout, "RECORD_BYTES_MAX", 10)
    with pytest.raises(ValueError, match="record too large: 11 bytes, the limit is 10"):
        encode_record(Record(1, DIGEST, b"x" * 11))


def test_log_takes_a_record_that_is_larger_than_a_segment(log_folder: Any) -> None:
    """A segment is closed once it is full, never a record split."""
    log = log_folder.open(Limits(segment_bytes_max=100))
    log.append(DIGEST, b"x" * 5000).result()
    log.append(DIGEST, b"y").result()
    assert [len(record.payload) for record in log.read(1 << 20)] == [5000, 1]
    assert len(log_folder.segments()) == 2


def test_log_returns_a_record_that_is_larger_than_a_batch(log_folder: Any) -> None:
    """Otherwise it would block everything behind it."""
    log = log_folder.open()
    for payload in (b"x" * 100, b"y" * 10, b"z" * 10):
        log.append(DIGEST, payload).result()
    assert [len(record.payload) for record in log.read(20)] == [100]
    assert [len(record.payload) for record in log.read(20)] == [10, 10]


def test_log_takes_an_empty_payload(log_folder: Any) -> None:
    """A record of length zero is a record."""
    log_folder.fill(b"", b"x")
    assert log_folder.read_payloads() == [b"", b"x"]
