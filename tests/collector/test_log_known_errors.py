"""One test for each way in which a disk lies: nothing readable is lost, nothing is invented, the log always opens."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import resource
from typing import Any

import pytest

from acceptfirst_collector.log.checkpoint import Checkpoint, save_checkpoint
from acceptfirst_collector.log.journal import LogUnwritableError
from acceptfirst_collector.log.layout import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Record, encode_record
from acceptfirst_collector.log.seen import save_seen
from acceptfirst_collector.log.segments import create_segment

DIGEST = b"d" * 16
PAYLOADS = [b"a" * 100, b"b" * 100, b"c" * 100]
RECORD_BYTES = RECORD_HEADER_BYTES + 100


def _flip(path: pathlib.Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def _record_offset(index: int) -> int:
    return SEGMENT_HEADER_BYTES + index * RECORD_BYTES


def _damaged(folder: Any) -> list[pathlib.Path]:
    return sorted(folder.path.glob("*.damaged"))


@pytest.mark.parametrize("missing_bytes", [1, 99, 100, 101, RECORD_BYTES - 1])
def test_log_cuts_off_a_torn_tail(log_folder: Any, missing_bytes: int) -> None:
    """The last record is incomplete: it was never acknowledged, and the rest is whole."""
    log_folder.fill(*PAYLOADS)
    [path] = log_folder.segments()
    os.truncate(path, _record_offset(3) - missing_bytes)
    assert log_folder.read_payloads() == PAYLOADS[:2]
    assert path.stat().st_size == _record_offset(2)
    assert _damaged(log_folder) == []


def test_log_cuts_off_a_tail_of_zeros(log_folder: Any) -> None:
    """A file system may lengthen a file before the bytes arrive."""
    log_folder.fill(*PAYLOADS)
    [path] = log_folder.segments()
    with path.open("ab") as file:
        file.write(bytes(5000))
    assert log_folder.read_payloads() == PAYLOADS
    assert _damaged(log_folder) == []


def test_log_skips_one_record_when_its_payload_is_damaged(log_folder: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The header's own checksum makes the length believable, so what follows is still read; the file is kept."""
    log_folder.fill(*PAYLOADS)
    [path] = log_folder.segments()
    _flip(path, _record_offset(1) + RECORD_HEADER_BYTES + 50)
    assert log_folder.read_payloads() == [PAYLOADS[0], PAYLOADS[2]]
    assert len(_damaged(log_folder)) == 1
    assert f"{RECORD_BYTES} bytes are skipped" in caplog.text


def test_log_skips_the_rest_of_a_segment_when_a_header_is_damaged(
    log_folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind a damaged length nothing can be found; the next segment is whole."""
    log_folder.fill(*PAYLOADS)
    log_folder.fill(b"later")
    _flip(log_folder.segments()[0], _record_offset(1))
    assert log_folder.read_payloads() == [PAYLOADS[0], b"later"]
    assert len(_damaged(log_folder)) == 1
    assert f"{2 * RECORD_BYTES} bytes are skipped" in caplog.text


def test_log_skips_a_segment_when_its_own_header_is_damaged(log_folder: Any) -> None:
    """It may belong to any log; it is kept aside."""
    log_folder.fill(*PAYLOADS)
    log_folder.fill(b"later")
    _flip(log_folder.segments()[0], 3)
    assert log_folder.read_payloads() == [b"later"]
    assert len(_damaged(log_folder)) == 1


@pytest.mark.parametrize("size", [0, 1, SEGMENT_HEADER_BYTES - 1, SEGMENT_HEADER_BYTES])
def test_log_opens_when_the_last_segment_has_no_record(log_folder: Any, size: int) -> None:
    """A crash right after a segment was made leaves less than a header, or just that."""
    log_folder.fill(*PAYLOADS)
    log_folder.open()
    log_folder.close()
    os.truncate(log_folder.segments()[-1], size)
    assert log_folder.read_payloads() == PAYLOADS


def test_log_calls_a_torn_middle_damage(log_folder: Any) -> None:
    """Only the last segment can have been cut short by a crash."""
    log_folder.fill(*PAYLOADS)
    log_folder.fill(b"later")
    os.truncate(log_folder.segments()[0], _record_offset(2) + 10)
    assert log_folder.read_payloads() == [*PAYLOADS[:2], b"later"]
    assert len(_damaged(log_folder)) == 1


@pytest.mark.parametrize("size", [0, 1])
def test_log_passes_over_a_segment_in_the_middle_that_was_emptied(log_folder: Any, size: int) -> None:
    """What is behind it is read; without a byte it was never written to, with one it is damage."""
    for payload in PAYLOADS:
        log_folder.fill(payload)
    os.truncate(log_folder.segments()[1], size)
    assert log_folder.read_payloads() == [PAYLOADS[0], PAYLOADS[2]]
    assert len(_damaged(log_folder)) == size


def test_log_says_which_records_are_missing_when_a_segment_is(
    log_folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are read."""
    for payload in PAYLOADS:
        log_folder.fill(payload, payload)
    log_folder.segments()[1].unlink()
    assert log_folder.read_payloads() == [PAYLOADS[0]] * 2 + [PAYLOADS[2]] * 2
    assert "records 3 to 4 are not in the log" in caplog.text


def test_log_says_nothing_when_the_missing_records_are_stored(
    log_folder: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Segments that were let go are not missing."""
    log_folder.fill(b"a", b"b")
    log_folder.fill(b"c")
    log = log_folder.open()
    log.mark_stored(log.read(1 << 20, 2))
    log.settle()
    log_folder.segments()[0].unlink()
    assert log_folder.read_payloads() == [b"c"]
    assert caplog.text == ""


def test_log_reads_the_newer_record_when_two_segments_hold_the_same_sequence(log_folder: Any) -> None:
    """The older segment could be neither synced nor cut off: its record was refused, the newer one acknowledged."""
    log_folder.fill(b"a", b"refused")
    log_id = bytes.fromhex(log_folder.open().log_id)
    log_folder.close()
    log_folder.segments()[-1].unlink()
    segment, file = create_segment(log_folder.path, log_id, 2)
    with file:
        file.write(encode_record(Record(2, DIGEST, b"acknowledged")))
    assert log_folder.read_payloads() == [b"a", b"acknowledged"]
    assert segment.path.exists()


def test_log_reads_a_record_whose_sequence_was_a_damaged_ones_before(log_folder: Any) -> None:
    """Power loss left a last record with a payload of zeros, never acknowledged; the next request got its sequence."""
    log_folder.fill(b"a", b"lost")
    path = log_folder.segments()[0]
    path.write_bytes(path.read_bytes()[:-4] + bytes(4))
    log_folder.fill(b"acknowledged")
    assert log_folder.read_payloads() == [b"a", b"acknowledged"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_log_opens_when_digests_of_the_past_can_not_be_believed(log_folder: Any, damage: str) -> None:
    """They are passed over: a resend of that time may be stored again, nothing worse."""
    log_folder.fill(b"a")
    save_seen(log_folder.path, 1, [b"1" * 16, b"2" * 16])
    [path] = log_folder.path.glob("*.seen")
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:-7], "flipped": b"\x00" + whole[1:], "empty": b""}[damage])
    assert log_folder.open().recovered_digests == [DIGEST]


def test_log_goes_on_when_the_segment_that_it_writes_is_damaged(log_folder: Any) -> None:
    """Damage found while reading costs its record; what is appended afterwards is read."""
    log = log_folder.open()
    for payload in PAYLOADS:
        log.append(DIGEST, payload).result()
    _flip(log_folder.segments()[0], _record_offset(1) + RECORD_HEADER_BYTES)
    first = [record.payload for record in log.read(1 << 20)]
    log.append(DIGEST, b"later").result()
    assert first + [record.payload for record in log.read(1 << 20)] == [PAYLOADS[0], PAYLOADS[2], b"later"]


def test_log_begins_a_new_segment_when_the_present_one_can_not_be_read(log_folder: Any) -> None:
    """A damaged header in the active segment must not swallow what comes after it."""
    log = log_folder.open()
    for payload in PAYLOADS:
        log.append(DIGEST, payload).result()
    _flip(log_folder.segments()[0], _record_offset(1))
    assert [record.payload for record in log.read(1 << 20)] == [PAYLOADS[0]]
    log.append(DIGEST, b"later").result()
    assert [record.payload for record in log.read(1 << 20)] == [b"later"]


def test_log_goes_on_behind_a_checkpoint_that_is_ahead(log_folder: Any) -> None:
    """The disk lost the newest records, the checkpoint knows them: their sequences are never given again."""
    log_folder.fill(b"a", b"b", b"c")
    log_id = log_folder.open().log_id
    log_folder.close()
    save_checkpoint(log_folder.path, Checkpoint(log_id, 10, (11, 20)))
    log = log_folder.open()
    assert log.read(1 << 20) == []
    assert log.append(DIGEST, b"d").result() == 21


def test_log_reads_everything_again_when_the_checkpoint_is_gone(log_folder: Any) -> None:
    """The checkpoint is behind everything; the log's id is found in the segments."""
    log_folder.fill(*PAYLOADS)
    log = log_folder.open()
    log.mark_stored(log.read(1 << 20))
    log.settle()
    log_id = log.log_id
    (log_folder.path / "checkpoint.json").unlink()
    assert log_folder.read_payloads() == PAYLOADS
    assert log_folder.opened[-1].log_id == log_id


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"checkpoint": "{}", "crc32c": 1}', "\x00\x00"])
def test_log_reads_everything_again_when_the_checkpoint_is_damaged(
    log_folder: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and goes on."""
    log_folder.fill(*PAYLOADS)
    (log_folder.path / "checkpoint.json").write_text(text)
    assert log_folder.read_payloads() == PAYLOADS
    assert "the whole log is read again" in caplog.text


def test_log_refuses_and_recovers_when_the_disk_is_full(log_folder: Any) -> None:
    """A write that fails is undone: the refused request is not there, those before and after it are."""
    log = log_folder.open()
    log.append(DIGEST, b"before").result()
    size = log_folder.segments()[-1].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with pytest.raises(LogUnwritableError, match="the log can't be written"):
            log.append(DIGEST, b"x" * 1000).result()
        assert not log.writable
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.append(DIGEST, b"after").result()
    assert log.writable
    assert log_folder.read_payloads() == [b"before", b"after"]


def test_log_leaves_a_segment_when_it_could_not_be_synced(
    log_folder: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a failed sync the kernel may have dropped pages, so nothing more is written behind them."""
    log = log_folder.open()
    log.append(DIGEST, b"before").result()

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(LogUnwritableError):
            log.append(DIGEST, b"lost").result()
    log.append(DIGEST, b"after").result()
    assert len(log_folder.segments()) == 2
    assert log_folder.read_payloads() == [b"before", b"after"]
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_log_refuses_when_it_is_closing(log_folder: Any) -> None:
    """A request that comes too late hears of it."""
    log = log_folder.open()
    log_folder.close()
    with pytest.raises(LogUnwritableError, match="the log is closing"):
        log.append(DIGEST, b"late").result()


def test_log_leaves_alone_what_is_not_its_own(log_folder: Any) -> None:
    """A stray file in the folder is neither read nor deleted."""
    log_folder.fill(b"a")
    stray = log_folder.path / "notes.log"
    stray.write_text("mine")
    assert log_folder.read_payloads() == [b"a"]
    assert stray.read_text() == "mine"
