"""One process per embedded store, and an error that names the holder."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from acceptfirst_store.errors import StoreHeld
from acceptfirst_store.lock import StoreLock, lock_path

OPEN_IN_ANOTHER_PROCESS = """
import sys
from acceptfirst_store.database import open_database
from acceptfirst_store.errors import StoreHeld
try:
    open_database(sys.argv[1])
except StoreHeld as error:
    print(error.holder["pid"], error)
"""

LOCK_AND_DIE = """
import os, pathlib, sys
from acceptfirst_store.lock import StoreLock
StoreLock(pathlib.Path(sys.argv[1]))
os.kill(os.getpid(), 9)
"""


def test_open_database_names_the_holder_when_another_process_has_the_store(tmp_path: pathlib.Path) -> None:
    """The second process gets one line with the first one's id."""
    lock = StoreLock(tmp_path / "db")
    done = subprocess.run(
        [sys.executable, "-c", OPEN_IN_ANOTHER_PROCESS, f"chdb://{tmp_path / 'db'}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lock.release()
    assert done.stdout.startswith(f"{os.getpid()} the store {tmp_path / 'db'} is held by process {os.getpid()} (")
    assert done.stdout.count("\n") == 1


def test_lock_opens_again_when_its_holder_was_killed(tmp_path: pathlib.Path) -> None:
    """Nobody has to delete a file after a crash."""
    command = [sys.executable, "-c", LOCK_AND_DIE, str(tmp_path / "db")]
    assert subprocess.run(command, check=False).returncode == -9
    StoreLock(tmp_path / "db").release()


def test_lock_is_refused_when_it_is_held_in_the_same_process(tmp_path: pathlib.Path) -> None:
    """Two stores on one path in one process would trip over each other as well."""
    lock = StoreLock(tmp_path / "db")
    with pytest.raises(StoreHeld):
        StoreLock(tmp_path / "db")
    lock.release()


@pytest.mark.parametrize("text", [b"", b"not json", b"[1]", b"\xff\xfe"])
def test_lock_still_names_the_path_when_the_holder_wrote_nonsense(tmp_path: pathlib.Path, text: bytes) -> None:
    """What the file says is a courtesy; the lock itself is the kernel's."""
    lock = StoreLock(tmp_path / "db")
    lock_path(tmp_path / "db").write_bytes(text)
    with pytest.raises(StoreHeld, match="is held by process unknown"):
        StoreLock(tmp_path / "db")
    lock.release()


def test_lock_file_never_holds_a_password(tmp_path: pathlib.Path) -> None:
    """The command line stands in it for a person to read; an address there may carry one."""
    code = f"from acceptfirst_store.lock import *; StoreLock(pathlib.Path({str(tmp_path / 'db')!r}))"
    arguments = ["--store", "clickhouse://writer:hunter2@host:8123/acceptfirst"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)

    written = (tmp_path / "db.lock").read_text()
    assert "clickhouse://writer:…@host:8123" in json.loads(written)["command"]
    assert "hunter2" not in written
