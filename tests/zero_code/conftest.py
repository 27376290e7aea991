"""Real parts: server processes on the loopback, and a receiver that keeps what their stock OTLP exporters send."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 60.0
BIN = Path(sys.executable).parent


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


@dataclass
class Span:
    """A span as it arrived."""

    name: str
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def connection(self) -> str:
        """The connection that it belongs to."""
        return str(self.attributes["acceptfirst.connection.id"])


@dataclass
class Receiver:
    """Takes OTLP over HTTP and keeps it."""

    port: int
    traces: list[ExportTraceServiceRequest] = field(default_factory=list, repr=False)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list, repr=False)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send everything here, in the exporters' own words; spans in the SDK's own time."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
        }

    def spans(self, scope: str = "acceptfirst") -> list[Span]:
        """The spans of one instrumentation, in the order of their arrival."""
        return [
            Span(
                span.name,
                of_scope.scope.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                _plain(span.attributes),
                _plain(of_resource.resource.attributes),
            )
            for request in self.traces
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
            if of_scope.scope.name == scope
        ]

    def steps(self) -> dict[str, list[str]]:
        """The states that each connection entered, by its id, in the order of their sequence."""
        found: dict[str, list[tuple[int, str]]] = {}
        for span in self.spans():
            if span.name == "websocket.transition":
                step = (span.attributes["acceptfirst.transition.sequence"], span.attributes["acceptfirst.state.to"])
                found.setdefault(span.connection, []).append(step)
        return {connection: [state for _, state in sorted(steps)] for connection, steps in found.items()}

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something has arrived."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"got only {[span.name for span in self.spans()]}"
            time.sleep(0.05)


_KINDS: dict[str, tuple[str, Any]] = {
    "/v1/traces": ("traces", ExportTraceServiceRequest),
    "/v1/metrics": ("metrics", ExportMetricsServiceRequest),
    "/v1/logs": ("logs", ExportLogsServiceRequest),
}


class _Handler(BaseHTTPRequestHandler):
    """Parses each body with the official protobuf."""

    def do_POST(self) -> None:
        """Keep what came, and say so."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        name, kind = _KINDS[self.path]
        getattr(cast("Any", self.server).receiver, name).append(kind.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port of the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    kept = cast("Any", server).receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Served:
    """A running server process and the file that its log goes to."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def url(self, path: str) -> str:
        """Where a client connects."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def wait_for(self, pattern: str, *, times: int = 1) -> str:
        """The log, once it contains the pattern so many times."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            has_ended = self.process.poll() is not None
            text = self.log.read_text()
            if len(re.findall(pattern, text)) >= times:
                return text
            assert time.monotonic() < deadline, f"expected {pattern!r} in the server's log, but got:\n{text}"
            assert not has_ended, f"the server ended:\n{text}"
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Send a signal and wait for the end; gives the log."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE_S)
        return self.log.read_text()


class _Starter:
    """Starts server processes in a folder, and ends what still runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Served] = []
        self.listeners: list[socket.socket] = []

    def __call__(
        self,
        application: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        zero_code: bool = True,
        ready: str = "startup complete",
        times: int = 1,
    ) -> Served:
        (self.folder / "served.py").write_text(textwrap.dedent(application))
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)
        number = len(self.started)
        log = self.folder / f"server-{number}.log"
        given = [part.replace("{fd}", str(listener.fileno())) for part in (command or UVICORN)]
        given[0] = str(BIN / given[0])
        if zero_code:
            given.insert(0, str(BIN / "opentelemetry-instrument"))
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        with log.open("wb") as output:
            process = subprocess.Popen(
                given,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={**variables, **(environment or {})},
                pass_fds=[listener.fileno()],
            )
        served = Served(process, listener.getsockname()[1], log)
        self.started.append(served)
        served.wait_for(ready, times=times)
        return served

    def end(self) -> None:
        """Kill what still runs."""
        for served in self.started:
            if served.process.poll() is None:
                served.process.terminate()
                served.process.wait(PATIENCE_S)
        for listener in self.listeners:
            listener.close()


UVICORN = ("uvicorn", "served:app", "--fd", "{fd}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[_Starter]:
    """Start server processes; what still runs at the test's end is ended."""
    starter = _Starter(tmp_path)
    yield starter
    starter.end()


@pytest.fixture
def chat() -> str:
    """A FastAPI application that knows nothing of us."""
    return """
        from fastapi import FastAPI, WebSocket

        app = FastAPI()


        @app.websocket("/chat/{room}")
        async def chat(websocket: WebSocket, room: str):
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(text)
    """
