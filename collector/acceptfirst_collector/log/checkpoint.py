"""How far the store has got, and what was about to be inserted: one small file, replaced atomically."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib

import google_crc32c

FILE_NAME = "checkpoint.json"
_VERSION = 1

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Everything up to and including `stored_through` is in the store; `intent` is the range that may be, or not."""

    log_id: str
    stored_through: int
    intent: tuple[int, int] | None = None


def load_checkpoint(folder: pathlib.Path) -> Checkpoint | None:
    """Read the checkpoint; None, and one warning if there was something, when there is none that can be believed."""
    path = folder / FILE_NAME
    try:
        outer = json.loads(path.read_text())
        body = outer["checkpoint"]
        if outer["crc32c"] != google_crc32c.value(body.encode()):
            raise ValueError("its checksum does not match")  # noqa: TRY301 - one place that judges every kind of damage
        fields = json.loads(body)
        intent = fields["intent"]
        return Checkpoint(fields["log_id"], fields["stored_through"], (intent[0], intent[1]) if intent else None)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        logger.warning("checkpoint %s can't be believed (%s); the whole log is read again", path, error)
        return None


def save_checkpoint(folder: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint and sync it and its folder; the old one stands until the new one is on the disk.

    Raises:
        OSError: it can't be written.
    """
    body = json.dumps(
        {
            "version": _VERSION,
            "log_id": checkpoint.log_id,
            "stored_through": checkpoint.stored_through,
            "intent": list(checkpoint.intent) if checkpoint.intent else None,
        }
    )
    text = json.dumps({"checkpoint": body, "crc32c": google_crc32c.value(body.encode())})
    temporary = folder / (FILE_NAME + ".new")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)
    sync_folder(folder)


def sync_folder(folder: pathlib.Path) -> None:
    """Make created, renamed and unlinked names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
