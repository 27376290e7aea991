"""The place for the data: rights, room, kind of file system, speed of a sync, locks, and what was set aside."""

from __future__ import annotations

import os
import pathlib
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Final

from acceptfirst_cli.doctor.finding import Finding, failed, ok, skipped, warning
from acceptfirst_store.lock import lock_holder, lock_path

FREE_BYTES_MIN: Final = 1 << 30
FREE_BYTES_GOOD: Final = 5 << 30
SYNC_SECONDS_MAX: Final = 0.05
SYNC_TRIALS: Final = 5
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.s3fs"})


def examine_place(
    data_dir: pathlib.Path, store_dir: pathlib.Path | None, token_file: pathlib.Path | None
) -> Iterator[Finding]:
    """Everything about the data directory.

    Args:
        data_dir: as `serve` is given it; need not exist.
        store_dir: the embedded store's, if there is one.
        token_file: if one is used.
    """
    existing = _nearest(data_dir)
    writable = directory(data_dir, existing)
    yield writable
    yield room(shutil.disk_usage(existing).free)
    yield file_system(_kind_of(existing))
    if not writable.mend:
        yield sync_speed(_sync_seconds(existing))
    yield from (lock(folder) for folder in (data_dir / "log", store_dir) if folder is not None)
    yield set_aside(data_dir / "refused")
    if token_file is not None:
        yield token_rights(token_file)


def directory(data_dir: pathlib.Path, existing: pathlib.Path) -> Finding:
    """Whether it is there and may be written, or may be made."""
    if not existing.is_dir():
        return failed("data_dir", f"{existing} is a file", "choose another --data-dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        return failed(
            "data_dir", f"{existing} can't be written", f"chown it to uid {os.getuid()}, or choose another --data-dir"
        )
    return ok("data_dir", str(data_dir) if existing == data_dir else f"{data_dir} will be made")


def room(free_bytes: int) -> Finding:
    """Free space; a full disk refuses requests, and loses none that was acknowledged."""
    found = f"{free_bytes / (1 << 30):.1f} GiB free"
    mend = "free some space, or shorten what is kept; clients get 503 while the disk is full"
    if free_bytes < FREE_BYTES_MIN:
        return failed("disk", found, mend)
    return warning("disk", found, mend) if free_bytes < FREE_BYTES_GOOD else ok("disk", found)


def file_system(kind: str) -> Finding:
    """Whether what is synced is still there after a restart, and whether locks hold."""
    if kind in _VOLATILE:
        return warning("file_system", f"{kind}: gone when the machine restarts", "put --data-dir on a disk")
    if kind in _REMOTE:
        return warning(
            "file_system", f"{kind}: a sync or a lock may not mean what it says", "put --data-dir on a local disk"
        )
    return ok("file_system", kind) if kind else skipped("file_system", "the system doesn't say which it is")


def sync_speed(seconds: float) -> Finding:
    """The larger part of an acknowledgement."""
    found = f"a sync takes {seconds * 1000:.1f} ms"
    if seconds > SYNC_SECONDS_MAX:
        return warning("sync", found, "a faster disk makes acknowledgements faster: each waits for one sync")
    return ok("sync", found)


def lock(folder: pathlib.Path) -> Finding:
    """Who holds the log or the embedded store."""
    check = f"lock_{folder.name}"
    try:
        holder = lock_holder(folder)
    except OSError as error:
        return failed(check, f"{lock_path(folder)} can't be opened: {error.strerror}", f"chown it to uid {os.getuid()}")
    if holder is None:
        return ok(check, f"nobody holds {folder}")
    return ok(
        check,
        f"held by process {holder.get('pid', '?')} ({holder.get('command', '?')}) since {holder.get('since', '?')}",
    )


def set_aside(folder: pathlib.Path) -> Finding:
    """Requests that the store refused for good."""
    count = sum(1 for _ in folder.glob("*.otlp")) if folder.is_dir() else 0
    if count:
        return warning(
            "refused", f"{count} requests under {folder}", "the log of serve says why; remove them when you have looked"
        )
    return ok("refused", "no request was refused by the store")


def token_rights(path: pathlib.Path) -> Finding:
    """Whether others can read the tokens."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return failed("token_file", f"{path} can't be read: {error.strerror}", "give another --token-file")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        return warning("token_file", f"others may read {path}", f"chmod 600 {path}")
    return ok("token_file", f"only its owner reads {path}")


def _nearest(path: pathlib.Path) -> pathlib.Path:
    return next((folder for folder in (path, *path.parents) if folder.exists()), pathlib.Path("/"))


def _kind_of(folder: pathlib.Path) -> str:
    """The file system's kind, from the mount whose point is the longest prefix."""
    try:
        mounts = pathlib.Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    points = [(line.split()[1], line.split()[2]) for line in mounts]
    resolved = folder.resolve()
    holding = [(len(point), kind) for point, kind in points if resolved.is_relative_to(point)]
    return max(holding, default=(0, ""))[1]


def _sync_seconds(folder: pathlib.Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        return statistics.median(_one_sync(file.fileno()) for _ in range(SYNC_TRIALS))


def _one_sync(descriptor: int) -> float:
    begun = time.monotonic()
    os.write(descriptor, b"\0" * 4096)
    os.fsync(descriptor)
    return time.monotonic() - begun
