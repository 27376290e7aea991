"""Metrics, logs and copies of spans: passed on to a receiver behind that is well, slow, refusing or gone."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

PROTOBUF = {"Content-Type": "application/x-protobuf"}
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
PATIENCE_S = 60.0


class Receiver(ThreadingHTTPServer):
    """A receiver behind: what came, and what it answers next."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: list[tuple[str, str, bytes]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.statuses: list[int] = []
        self.body = b""
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    """Takes OTLP and remembers it."""

    server: Receiver

    def do_POST(self) -> None:
        """Answer as the test wants it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.gate.wait(PATIENCE_S)
        self.server.headers_seen.append(dict(self.headers))
        self.server.came.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver behind, on a free port."""
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.gate.set()
        server.shutdown()


def metrics_request() -> bytes:
    """A request with one metric."""
    request = ExportMetricsServiceRequest()
    request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    return request.SerializeToString()


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("signal", ["metrics", "logs"])
@pytest.mark.parametrize("media_type", ["application/x-protobuf", "application/json"])
def test_serve_says_that_it_takes_no_other_signal(serve: Any, signal: str, media_type: str) -> None:
    """A final answer, in the request's encoding, that says what to do."""
    answer = httpx.post(f"{serve.url}/v1/{signal}", content=b"{}", headers={"Content-Type": media_type})
    is_json = media_type == "application/json"
    message = answer.json()["message"] if is_json else Status.FromString(answer.content).message
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, media_type)
    assert message.startswith(f"acceptfirst stores spans, not {signal}")
    assert "--forward-otlp" in message


def test_serve_says_so_over_grpc(serve: Any) -> None:
    """UNIMPLEMENTED, with the same words."""
    with grpc.insecure_channel(serve.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(METRICS)(metrics_request())
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "--forward-otlp" in refused.value.details()


@pytest.fixture
def forwarding(start_serve: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A serve that passes everything on, with a header of its own."""
    monkeypatch.setenv("ACCEPTFIRST_FORWARD_HEADERS", "Authorization=Bearer%20behind, x-team=a")
    return start_serve("--forward-otlp", receiver.url)


def test_metrics_and_logs_are_passed_on_while_the_client_waits(forwarding: Any, receiver: Receiver) -> None:
    """Protobuf, gzip, JSON and gRPC; a partial success comes back as it is; a refusal is the receiver's own."""
    url, body = forwarding.url, metrics_request()
    assert httpx.post(f"{url}/v1/metrics", content=body, headers=PROTOBUF).status_code == 200
    zipped = {**PROTOBUF, "Content-Encoding": "gzip"}
    assert httpx.post(f"{url}/v1/metrics", content=gzip.compress(body), headers=zipped).status_code == 200
    answer = httpx.post(f"{url}/v1/logs", json={"resourceLogs": []})
    assert (answer.status_code, answer.headers["Content-Type"], answer.json()) == (200, "application/json", {})
    partial = ExportMetricsServiceResponse()
    partial.partial_success.rejected_data_points = 1
    receiver.body = partial.SerializeToString()
    with grpc.insecure_channel(forwarding.grpc_address) as channel:
        assert channel.unary_unary(METRICS)(body) == receiver.body
    assert httpx.post(f"{url}/v1/metrics", content=body, headers=PROTOBUF).content == receiver.body
    assert [(path, sent) for path, _, sent in receiver.came] == [
        ("/v1/metrics", body),
        ("/v1/metrics", body),
        ("/v1/logs", json.dumps({"resourceLogs": []}, separators=(",", ":")).encode()),
        ("/v1/metrics", body),
        ("/v1/metrics", body),
    ]
    assert receiver.headers_seen[0]["Authorization"] == "Bearer behind"
    receiver.statuses = [400, 500, 503]
    answers = [httpx.post(f"{url}/v1/metrics", content=body, headers=PROTOBUF) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 503, 503]
    assert "Retry-After" in answers[1].headers


def test_copies_of_spans_are_retried_and_never_hold_a_request_up(
    forwarding: Any, receiver: Receiver, make_request: Callable[..., bytes]
) -> None:
    """While the receiver hangs spans are acknowledged; then it refuses once, and gets each copy in the end."""
    receiver.gate.clear()
    receiver.statuses = [503]
    bodies = [make_request(str(position)) for position in range(8)]
    assert [forwarding.post(body).status_code for body in bodies] == [200] * 8
    assert forwarding.post(bodies[0]).status_code == 200  # a repeat is not passed on again
    assert not receiver.came
    receiver.gate.set()
    wait_for(lambda: {body for _, _, body in receiver.came} == set(bodies))
    wait_for(lambda: "acceptfirst_collector_forwarded_total 8.0" in httpx.get(f"{forwarding.url}/metrics").text)
    assert len(receiver.came) == 9


def test_receiver_that_is_gone_costs_copies_only(
    start_serve: Any, receiver: Receiver, make_request: Callable[..., bytes]
) -> None:
    """Spans are taken; metrics may come again; it still ends when it is told to."""
    receiver.server_close()
    serve = start_serve("--forward-otlp", receiver.url)
    assert serve.post(make_request("a")).status_code == 200
    answer = httpx.post(f"{serve.url}/v1/metrics", content=metrics_request(), headers=PROTOBUF)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    wait_for(lambda: "forward_queue_bytes 0.0" not in httpx.get(f"{serve.url}/metrics").text)
    assert "does not take copies" in serve.stop()
    assert serve.process.returncode == 0


@pytest.mark.parametrize("url", ["collector:4318", "ftp://x", "http://"])
def test_serve_refuses_an_address_that_is_no_url(start_serve: Any, url: str) -> None:
    """A usage error before anything is opened."""
    with pytest.raises(pytest.fail.Exception, match="expected --forward-otlp to be a URL"):
        start_serve("--forward-otlp", url)
