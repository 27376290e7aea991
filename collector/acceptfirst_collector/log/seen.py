"""Digests of bodies whose segments are gone: the window of resends must outlive both the segments and the process.

At a high rate the segments that are kept hold a few seconds, while a client may send a body again for minutes. So what
is unlinked leaves its digests behind, 16 bytes a body, until the window is over.

Layout of a file, `<first sequence, 20 digits>.seen`: the digests, one behind the other, then the CRC32C of them u32.
"""

from __future__ import annotations

import logging
import os
import pathlib
import time

import google_crc32c

from acceptfirst_collector.log.layout import DIGEST_BYTES

SUFFIX = ".seen"
CHECKSUM_BYTES = 4

logger = logging.getLogger(__name__)


def save_seen(folder: pathlib.Path, first_sequence: int, digests: list[bytes]) -> None:
    """Write the digests of a segment that is about to be unlinked, and sync them (their name is synced with the log's).

    Raises:
        OSError: they can't be written; nothing is left of them.
    """
    data = b"".join(digests)
    path = folder / f"{first_sequence:020}{SUFFIX}"
    try:
        with path.open("wb") as file:
            file.write(data + google_crc32c.value(data).to_bytes(CHECKSUM_BYTES, "little"))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def load_seen(folder: pathlib.Path) -> list[bytes]:
    """Read what is there, the oldest first; a file that can't be believed is passed over and says so."""
    digests: list[bytes] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        whole = path.read_bytes()
        data, checksum = whole[:-CHECKSUM_BYTES], whole[-CHECKSUM_BYTES:]
        if len(data) % DIGEST_BYTES or google_crc32c.value(data).to_bytes(CHECKSUM_BYTES, "little") != checksum:
            logger.warning("%s can't be believed; a body of its time that is sent again may be stored again", path.name)
            continue
        digests += [data[start : start + DIGEST_BYTES] for start in range(0, len(data), DIGEST_BYTES)]
    return digests


def forget_seen(folder: pathlib.Path, window_seconds: float) -> None:
    """Unlink the files that were written longer ago than the window."""
    oldest = time.time() - window_seconds
    for path in folder.glob(f"*{SUFFIX}"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
