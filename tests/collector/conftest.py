"""Real parts for the collector's tests: requests built with the official protobuf, and a serve process to send them to."""

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

    def post(self, body: bytes, **headers: str) -> httpx.Response:
        """Send a body to the traces endpoint as protobuf."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(f"{self.url}/v1/traces", content=body, headers={**PROTOBUF, **named}, timeout=60)

    def kill(self) -> None:
        """End it with signal 9."""
        self.process.kill()
        self.process.wait()
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


@pytest.fixture
def start_serve(tmp_path: pathlib.Path) -> Iterator[StartServe]:
    """Start serve processes on a data directory of the test; what still runs at its end is killed."""
    started: list[ServeProcess] = []

    def start(*arguments: str, code: str = "") -> ServeProcess:
        data_dir = tmp_path / "data"
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "acceptfirst_cli", "serve"]
        command += ["--port", "0", "--data-dir", str(data_dir), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        serve = ServeProcess(process, "", data_dir)
        started.append(serve)
        serve.url = _wait_for_url(process, data_dir / "serve.json")
        return serve

    yield start
    for serve in started:
        if serve.process.poll() is None:
            serve.process.kill()
        serve.process.communicate()


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
