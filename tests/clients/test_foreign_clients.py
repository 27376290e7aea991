"""Stock exporters of other languages: what they send is taken and stored, in each of their encodings."""

from __future__ import annotations

import contextlib
import importlib.metadata
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

PATIENCE_S = 60.0


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_of_the_node_exporter_are_stored(
    node_export: Callable[..., list[int]],
    collector_url: str,
    stored_spans: Callable[[int], None],
    encoding: str,
    compression: str,
) -> None:
    """The SDK counts each answer as a success, and three spans more are in the store."""
    assert node_export(encoding, compression, collector_url) == [0, 0, 0]
    stored_spans(3)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def start_rotel(collector_url: str, tmp_path: pathlib.Path) -> Iterator[Callable[[str, str], str]]:
    """Start the agent of the PyPI package rotel, exporting to the collector; gives the URL that it takes OTLP at."""
    started: list[subprocess.Popen[bytes]] = []

    def start(protocol: str, endpoint: str) -> str:
        agent = next(file for file in importlib.metadata.files("rotel") or [] if file.name == "rotel-agent").locate()
        http_port, grpc_port = _free_port(), _free_port()
        command = [str(agent), "start", "--otlp-http-endpoint", f"127.0.0.1:{http_port}"]
        command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}", "--exporter", "otlp"]
        command += ["--otlp-exporter-endpoint", endpoint, "--otlp-exporter-protocol", protocol]
        command += ["--batch-timeout", "100ms"]
        log = (tmp_path / "rotel.log").open("wb")
        started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path))
        log.close()
        url = f"http://127.0.0.1:{http_port}"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(url)
                return url
            time.sleep(0.05)
        raise AssertionError((tmp_path / "rotel.log").read_text())

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def test_spans_of_the_rotel_agent_are_stored(
    start_rotel: Callable[[str, str], str], collector_url: str, stored_spans: Callable[[int], None]
) -> None:
    """Python's exporter sends to the agent, the agent in its own batches to us."""
    url = start_rotel("http", collector_url)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    for position in range(20):
        provider.get_tracer("test").start_span(f"rotel-{position}").end()
    provider.shutdown()
    stored_spans(20)
