"""One process per embedded store, and a file that says which.

chDB refuses a second process too, but its message names neither the holder nor the reason; and a directory whose
owner died must open again without anybody deleting a file. An flock does both: the kernel drops it with its process.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import pathlib
import re
import sys
from typing import Any

from acceptfirst_store.errors import StoreHeld, StoreUnreachable


def lock_path(store_path: pathlib.Path) -> pathlib.Path:
    """Return the lock file's path: beside the store's directory, never inside what chDB owns."""
    return store_path.with_name(store_path.name + ".lock")


def _without_passwords(command: str) -> str:
    """The command line with what stands between the colon and the @ of an address left out: the file is read by all."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:…@", command)


class StoreLock:
    """Holds the lock file from construction until `release`.

    Raises:
        StoreHeld: another process (or another open store in this one) has it, and `wait` is false.
        StoreUnreachable: the lock file can't be made.
    """

    def __init__(self, store_path: pathlib.Path, *, wait: bool = False) -> None:
        path = lock_path(store_path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreUnreachable(f"the store's lock {path} can't be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = read_holder(self._descriptor)
            os.close(self._descriptor)
            raise StoreHeld(str(store_path), holder) from None
        self._write_holder()

    def release(self) -> None:
        """Give the lock back; the file stays, empty, since unlinking it would race with the next holder."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write_holder(self) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        command = _without_passwords(" ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]).strip() or "python")
        text = json.dumps({"pid": os.getpid(), "command": command, "since": now})
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


def lock_holder(store_path: pathlib.Path) -> dict[str, Any] | None:
    """Say who holds a store's lock, without taking it from anybody.

    Returns:
        What the holder wrote of itself (empty if it wrote nothing), or None if nobody holds it.

    Raises:
        OSError: the lock file is there and can't be read.
    """
    try:
        descriptor = os.open(lock_path(store_path), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        # Shared: two that look at once don't take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def read_holder(descriptor: int) -> dict[str, Any]:
    """Read what the holder wrote; it may be writing it just now, which costs us only its name."""
    try:
        holder = json.loads(os.pread(descriptor, 65536, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
