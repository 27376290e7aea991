"""Real Redis and Postgres servers from Debian, on the loopback and a temporary directory, that tests may kill."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from acceptfirst import failsafe

PATIENCE_S = 30.0
REQUIRED = "ACCEPTFIRST_TEST_REQUIRE"


def program(name: str, *folders: Path) -> str:
    """Where a program of Debian's is; skips the test where it is not, unless CI requires it."""
    found = shutil.which(name) or next(
        (str(f / name) for f in sorted(folders, reverse=True) if (f / name).exists()), ""
    )
    if not found:
        reason = f"{name} is not installed: apt-get install redis-server postgresql"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class RealServer:
    """A server process that can be killed and started again on the same port.

    Attributes:
        command: that starts it.
        port: where it listens.
        stop_signal: ends it at once.
        log: what it says.
        owner: options of ``Popen`` that say as whom it runs.
        asks: a command that succeeds when the server serves; one that listens may still be starting up.
    """

    command: list[str]
    port: int
    stop_signal: signal.Signals
    log: Path
    owner: dict[str, Any] = field(default_factory=dict)
    asks: list[str] = field(default_factory=lambda: ["true"])
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self.command, stdout=output, stderr=output, cwd="/", **self.owner)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self._process.poll() is None:
            if self._serves():
                return
            time.sleep(0.05)
        raise AssertionError(f"expected {self.command[0]} to listen, but got:\n{self.log.read_text()}")

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return subprocess.run(self.asks, check=False, capture_output=True).returncode == 0

    def kill(self) -> None:
        """End it, without any farewell to its clients."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(PATIENCE_S)
            self._process = None

    def freeze(self) -> None:
        """Let it hang: connections are taken by the kernel, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RealServer]:
    """A running Redis."""
    port = free_port()
    listens = ["--bind", "127.0.0.1", "--port", str(port)]
    command = [program("redis-server"), *listens, "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    server = RealServer(command, port, signal.SIGKILL, tmp_path / "redis.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def somebody_but_root() -> dict[str, Any]:
    """Whom Postgres, which refuses to run as root, may run as: options of ``Popen``."""
    if os.geteuid() != 0:
        return {}
    user = next(entry for name in ("postgres", "nobody") for entry in pwd.getpwall() if entry.pw_name == name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgres_files() -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    """The folder of Postgres' programs, an empty database made once, and as whom to run."""
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    programs = Path(program("initdb", *folders)).resolve().parent
    owner = somebody_but_root()
    folder = Path(tempfile.mkdtemp(prefix="acceptfirst-postgres-"))
    if owner:
        os.chown(folder, owner["user"], owner["group"])
    data = folder / "data"
    make = [str(programs / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "--no-sync", "--locale=C"]
    subprocess.run(make, check=True, capture_output=True, cwd="/", **owner)
    yield programs, data, owner
    shutil.rmtree(folder)


@pytest.fixture
def postgres_server(postgres_files: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> Iterator[RealServer]:
    """A running Postgres."""
    programs, data, owner = postgres_files
    port = free_port()
    settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
    options = [part for setting in settings for part in ("-c", setting)]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *options]
    asks = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    server = RealServer(command, port, signal.SIGQUIT, tmp_path / "postgres.log", owner, asks)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass
class Exported:
    """The spans that were exported so far."""

    exporter: InMemorySpanExporter
    provider: TracerProvider

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of one name, in the order of their export."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def attributes(self, name: str) -> list[dict[str, Any]]:
        """What those of one name say."""
        return [dict(span.attributes or {}) for span in self.named(name)]


@pytest.fixture
def exported() -> Iterator[Exported]:
    """An SDK provider that exports into memory at once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Exported(exporter, provider)
    provider.shutdown()


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], Any]:
    """Waits, on the event loop, until something is true."""

    async def wait_until(is_true: Callable[[], object]) -> object:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if found := is_true():
                return found
            await asyncio.sleep(0.02)
        raise AssertionError("expected it to become true in time, but it did not")

    return wait_until


@pytest.fixture(autouse=True)
def no_failure_of_ours() -> Iterator[None]:
    """Every test starts with no failure of ours counted, and fails when one was."""
    failsafe.failures.clear()
    yield
    assert dict(failsafe.failures) == {}
