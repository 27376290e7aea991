"""Real parts for the collector's tests: requests made with the official protobuf, and serve processes to take them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from acceptfirst_collector.log.request_log import Limits, RequestLog
from acceptfirst_collector.log.segments import segment_paths

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def _value(value: Any) -> AnyValue:
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value", bytes: "bytes_value"}
    if value is None:
        return AnyValue()
    if isinstance(value, list):
        wrapped = AnyValue()
        wrapped.array_value.values.extend(_value(item) for item in value)
        return wrapped
    if isinstance(value, dict):
        wrapped = AnyValue()
        wrapped.kvlist_value.values.extend(KeyValue(key=key, value=_value(item)) for key, item in value.items())
        return wrapped
    return AnyValue(**{kinds[type(value)]: value})


class RequestFactory(Protocol):
    """Makes the protobuf of a request with one span per name."""

    def __call__(self, *names: str, attributes: dict[str, Any] | None = None, start_ns: int | None = None) -> bytes:
        """Make it."""
        ...


@pytest.fixture
def make_request() -> RequestFactory:
    """Make requests whose spans are told apart by their names."""

    def make(*names: str, attributes: dict[str, Any] | None = None, start_ns: int | None = None) -> bytes:
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name", value=_value("test"))
        scope_spans = resource_spans.scope_spans.add()
        start = time.time_ns() if start_ns is None else start_ns
        for name in names:
            span = scope_spans.spans.add(
                name=name,
                trace_id=os.urandom(16),
                span_id=os.urandom(8),
                start_time_unix_nano=start,
                end_time_unix_nano=start + 1000,
            )
            span.attributes.extend(KeyValue(key=key, value=_value(item)) for key, item in (attributes or {}).items())
        return request.SerializeToString()

    return make


@dataclasses.dataclass
class ServeProcess:
    """A real `acceptfirst serve` over a data directory."""

    process: subprocess.Popen[str]
    url: str
    data_dir: pathlib.Path

    @property
    def grpc_address(self) -> str:
        """Where it takes OTLP/gRPC."""
        return f"127.0.0.1:{json.loads((self.data_dir / 'serve.json').read_text())['grpc_port']}"

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """Send a body to the traces endpoint as protobuf."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{self.url}/v1/traces", content=body, headers={**PROTOBUF, **named}, timeout=60)

    def kill(self) -> None:
        """End it with signal 9."""
        self.process.kill()
        self.process.communicate()
        (self.data_dir / "serve.json").unlink(missing_ok=True)

    def stop(self) -> str:
        """End it with SIGTERM; returns what it wrote to standard error."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=STOP_SECONDS_MAX)[1]


def _wait_for_url(process: subprocess.Popen[str], path: pathlib.Path) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"serve did not come up: {process.communicate()[1]}")


StartServe = Callable[..., ServeProcess]

#: The real server with a limit that a test can reach without sending 64 MiB.
SMALL_LIMITS = """
import pathlib, sys
import chdb
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, grpc_port=0, request_bytes_max=100_000))
"""


class _Starter:
    """Starts serve processes on one data directory, and ends what still runs."""

    def __init__(self, data_dir: pathlib.Path) -> None:
        self.data_dir = data_dir
        self.started: list[ServeProcess] = []

    def __call__(self, *arguments: str, code: str = "") -> ServeProcess:
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "acceptfirst_cli", "serve"]
        command += ["--port", "0", "--data-dir", str(self.data_dir), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        serve = ServeProcess(process, "", self.data_dir)
        self.started.append(serve)
        serve.url = _wait_for_url(process, self.data_dir / "serve.json")
        return serve

    def end(self) -> None:
        """Kill what still runs."""
        for serve in self.started:
            if serve.process.poll() is None:
                serve.kill()


@pytest.fixture
def start_serve(tmp_path: pathlib.Path) -> Iterator[StartServe]:
    """Start serve processes on a data directory of the test; what still runs at its end is killed."""
    starter = _Starter(tmp_path / "data")
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def serve_starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServe]:
    """Start a serve process that the tests of a module share."""
    starter = _Starter(tmp_path_factory.mktemp("shared") / "data")
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """Share one serve process among the tests of a module that don't end it; small bodies only, so that limits hit."""
    starter = _Starter(tmp_path_factory.mktemp("serve") / "data")
    yield starter(code=SMALL_LIMITS)
    starter.end()


@pytest.fixture
def stored_names() -> Callable[[pathlib.Path], list[str]]:
    """Read the names of all stored spans, sorted, out of a data directory that nobody holds."""

    def read(data_dir: pathlib.Path) -> list[str]:
        # In a process of its own: an engine that was opened here would hinder every later test with another path.
        code = (
            "import json, sys\n"
            "from acceptfirst_store.database import open_database\n"
            "with open_database('chdb://' + sys.argv[1]) as database:\n"
            "    rows = database.rows('SELECT SpanName FROM acceptfirst.otel_traces ORDER BY SpanName')\n"
            "print(json.dumps([row['SpanName'] for row in rows]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(data_dir / "db")], capture_output=True, text=True, check=True
        )
        names: list[str] = json.loads(done.stdout)
        return names

    return read


DIGEST = b"d" * 16


@dataclasses.dataclass
class LogFolder:
    """A log's folder, opened as often as a test likes; every log is closed at the test's end."""

    path: pathlib.Path
    opened: list[RequestLog]

    def open(self, limits: Limits | None = None) -> RequestLog:
        """Open the log, after closing the one before."""
        self.close()
        self.opened.append(RequestLog(self.path, limits))
        return self.opened[-1]

    def close(self) -> None:
        """Close what is open."""
        while self.opened:
            self.opened.pop().close()

    def fill(self, *payloads: bytes) -> None:
        """Append payloads through a log of its own, so that they share one segment, then close it."""
        log = self.open()
        for payload in payloads:
            log.append(DIGEST, payload).result()
        self.close()

    def read_payloads(self) -> list[bytes]:
        """Open the log and read everything that is not stored."""
        return [record.payload for record in self.open().read(1 << 30)]

    def segments(self) -> list[pathlib.Path]:
        """Return the segment files in order."""
        return segment_paths(self.path)


@pytest.fixture
def log_folder(tmp_path: pathlib.Path) -> Iterator[LogFolder]:
    """Give a test a log's folder."""
    folder = LogFolder(tmp_path / "log", [])
    yield folder
    folder.close()
