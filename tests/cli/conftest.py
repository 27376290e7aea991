"""A real store with a little history in it, and a real ``serve`` on another one."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_cli.entry import main
from acceptfirst_store.database import open_database
from acceptfirst_store.migrations import migrate

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
START_SECONDS_MAX = 30.0


def handshake(position: int, signature: str, ready_ms: float | None, route: str) -> dict[str, Any]:
    """A row of ``handshakes`` in week 2026-W47, in blind mode with a readiness in the shadow."""
    at = MONDAY + timedelta(seconds=position)
    return {
        "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + position.to_bytes(10, "big"),
        "environment": "production",
        "service": "chat",
        "route": route,
        "readiness_mode": "blind",
        "gate": "hold",
        "policy_version": "default",
        "weight": 1.0,
        "delay_applied_ms": 25.0,
        "pending_at": at,
        "connected_at": at + timedelta(milliseconds=2) if "A" in signature else datetime(1970, 1, 1, tzinfo=UTC),
        "ended_by": "disconnect",
        "ranked_signature": chr(len(signature)) + signature,
        "phases": {} if ready_ms is None else {"ready": ready_ms},
        "close_code": 1000,
        "first_seen": at,
        "last_seen": at + timedelta(seconds=1),
    }


def fill(dsn: str) -> None:
    """A cold chat of 200 connections and a route that never accepts."""
    rows = [handshake(i, "CAGRSPD", 400.0 if i % 8 == 0 else 6.0, "/ws/chat") for i in range(200)]
    rows += [handshake(1000 + i, "C!RE", None, "/ws/bug") for i in range(30)]
    with open_database(dsn) as database:
        migrate(database)
        database.insert_rows("handshakes", rows)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The DSN of an embedded store that nobody holds."""
    dsn = f"chdb://{tmp_path_factory.mktemp('cli')}/db"
    fill(dsn)
    return dsn


@pytest.fixture(scope="session")
def outage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The DSN of a store in which a third of 120 connections failed, within two minutes."""
    dsn = f"chdb://{tmp_path_factory.mktemp('outage')}/db"
    rows = [handshake(i, "CE", None, "/ws/chat") | {"ended_by": "exception"} for i in range(40)]
    rows += [handshake(40 + i, "CAGRSPD", 6.0, "/ws/chat") for i in range(80)]
    with open_database(dsn) as database:
        migrate(database)
        database.insert_rows("handshakes", rows)
    return dsn


@pytest.fixture
def changed_store(tmp_path: Path) -> Callable[[int], str]:
    """Makes a store in which a delay was replaced by a gate, behind which so many messages came too early."""

    def make(early: int) -> str:
        before = [handshake(i, "CAGRSPD", 90.0 if i < 60 else 6.0, "/ws") for i in range(200)]
        after = [
            {
                **handshake(1000 + i, "CAGRSPD", None, "/ws"),
                "readiness_mode": "event",
                "delay_applied_ms": 0.0,
                "policy_version": "v2",
                "ready_at": MONDAY + timedelta(seconds=1000 + i, milliseconds=40),
                "messages_early": int(i < early),
            }
            for i in range(200)
        ]
        dsn = f"chdb://{tmp_path}/changed/db"
        with open_database(dsn) as database:
            migrate(database)
            for rows in (before, after):  # an insert takes the columns of its first row
                database.insert_rows("handshakes", rows)
        return dsn

    return make


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ACCEPTFIRST_")}


@pytest.fixture
def acceptfirst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Runs the command's entry point in this process, in a directory of its own: what it prints and how it ends."""
    monkeypatch.chdir(tmp_path)
    for name in set(os.environ) - set(_clean_environment()):
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr()
        return Ended(int(code), printed.out, printed.err)

    return run


@pytest.fixture
def acceptfirst_process(tmp_path: Path) -> Callable[..., Ended]:
    """Runs the command as its own process, in a directory of its own."""

    def run(*arguments: str) -> Ended:
        command: Sequence[str] = [sys.executable, "-m", "acceptfirst_cli", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=_clean_environment(), timeout=100, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def serve_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running ``acceptfirst serve`` with the same history; ended by its own process id."""
    data_dir = tmp_path_factory.mktemp("serve") / "data"
    fill(f"chdb://{data_dir}/db")
    yield from _serving(data_dir)


@pytest.fixture(scope="session")
def live_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running ``acceptfirst serve`` without a history, for handshakes that happen now."""
    yield from _serving(tmp_path_factory.mktemp("live") / "data")


def _serving(data_dir: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--no-jobs", "--port", "0"]
    command += ["--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=_clean_environment()) as process:
        try:
            yield _url_of(data_dir / "serve.json", process)
        finally:
            process.send_signal(signal.SIGTERM)


def _url_of(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.05)
    raise AssertionError("serve did not start")
