"""Real backends under uvicorn, exporting to a receiver in this process, and figures made by hand."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from acceptfirst.policy import Policy, dump_policy_file
from acceptfirst_chat.guests import Kind, Stay
from acceptfirst_chat.plants import CODE_PLANTS, DENIAL, TIMING_RACE
from acceptfirst_chat.traffic import Driven
from acceptfirst_chat.visitors import visit
from acceptfirst_cli.demo.backend import STOP_PATIENCE_S, BackendRun, free_port
from acceptfirst_cli.demo.children import Child, Children
from acceptfirst_cli.demo.collector import answers
from acceptfirst_cli.demo.figures import Happened, RunFigures, Stored
from acceptfirst_cli.demo.outcome import Outcome
from acceptfirst_cli.demo.sequence import BASELINE

HELD = Policy(
    environment="production", version="held", readiness_mode="event", gate="hold", handshake_timeout_ms=5000.0
)

HELD_AS_LONG_AS_BASELINE = replace(HELD, handshake_timeout_ms=BASELINE.handshake_timeout_ms)


@dataclass
class SpanReceiver:
    """Takes what a stock OTLP/HTTP exporter sends, and keeps it.

    Attributes:
        url: where it listens.
        spans: everything so far.
    """

    url: str
    spans: list[Span] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        """The spans of one name."""
        return [span for span in self.spans if span.name == name]

    def patterns_by_route(self) -> dict[str, list[str]]:
        """What the violation spans say, sorted."""
        found: dict[str, list[str]] = {}
        for span in self.named("websocket.violation"):
            values = {attribute.key: attribute.value.string_value for attribute in span.attributes}
            found.setdefault(values["http.route"], []).append(values["acceptfirst.pattern.type"])
        return {route: sorted(patterns) for route, patterns in found.items()}


@pytest.fixture(scope="module")
def receiver() -> Iterator[SpanReceiver]:
    """A receiver for one module."""
    received: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    received.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            """Nothing: the test's output is for failures."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield SpanReceiver(f"http://127.0.0.1:{server.server_address[1]}", received)
        server.shutdown()
        thread.join()


@dataclass
class Backend:
    """A running backend.

    Attributes:
        run: how it was set up.
        child: its process.
        port: where it listens.
    """

    run: BackendRun
    child: Child
    port: int

    @property
    def url(self) -> str:
        """For WebSocket clients."""
        return f"ws://127.0.0.1:{self.port}"

    def stopped(self) -> Happened:
        """Stop it, and read its ledger."""
        assert self.child.stop(STOP_PATIENCE_S), self.child.log_tail()
        return Happened.read(self.run.ledger)


StartBackend = Callable[..., Backend]


@pytest.fixture(scope="module")
def start_backend(receiver: SpanReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBackend]:
    """Starts backends that export to the module's receiver, and ends them."""

    def start(policy: Policy, name: str = "chat") -> Backend:
        folder: Path = tmp_path_factory.mktemp(name)
        policy_file = folder / "policy.toml"
        policy_file.write_text(dump_policy_file({policy.environment: policy}), encoding="utf-8")
        run = BackendRun(
            name=name,
            folder=folder,
            collector_url=receiver.url,
            policy=policy_file,
            environment=policy.environment,
            seed=1,
        )
        port = free_port()
        child = children.start(name, run.arguments(port), run.log)
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), 60, "ready")
        return Backend(run, child, port)

    with Children(STOP_PATIENCE_S) as children:
        yield start


@pytest.fixture
def held() -> Policy:
    """Messages wait for the event."""
    return HELD


@pytest.fixture
def blind() -> Policy:
    """What the incident's team had."""
    return BASELINE


@dataclass
class BugsMet:
    """What one visit to each bug left behind.

    Attributes:
        happened: what the backend counted.
        found: patterns by route, from the spans.
        transitions: spans that arrived.
    """

    happened: Happened
    found: dict[str, list[str]]
    transitions: int


@pytest.fixture(scope="module", params=["blind", "held"])
def bugs_met(request: pytest.FixtureRequest, start_backend: StartBackend, receiver: SpanReceiver) -> BugsMet:
    """Each bug visited once, under the baseline policy and under a gate."""
    receiver.spans.clear()
    backend = start_backend(BASELINE if request.param == "blind" else HELD_AS_LONG_AS_BASELINE, request.param)

    async def visit_all() -> None:
        """All at once, as in the demo."""
        await asyncio.gather(*(visit(backend.url, plant.name) for plant in (*CODE_PLANTS, DENIAL)))

    asyncio.run(visit_all())
    happened = backend.stopped()
    return BugsMet(happened, receiver.patterns_by_route(), len(receiver.named("websocket.transition")))


@pytest.fixture
def run_figures() -> Callable[..., RunFigures]:
    """Makes figures of a run in which everything holds; keyword arguments change what a test is about."""

    def make(
        *,
        races: int = 0,
        waits_ms: tuple[float, ...] = (10.0, 20.0),
        kind: Kind = "eager",
        **stored: Any,
    ) -> RunFigures:
        planted = {plant.name: 2 for plant in CODE_PLANTS} | ({TIMING_RACE.name: races} if races else {})
        happened = Happened(connections=50, transitions=200, planted=planted)
        figures: dict[str, Any] = {
            "connections": 50,
            "transitions": 200,
            "found": happened.expected(),
            "chat_ready_p95_ms": 12.0,
        }
        stays = tuple(Stay(kind, 1, wait_ms > 0, wait_ms) for wait_ms in waits_ms)
        return RunFigures(Driven(stays, 50), happened, Stored(**(figures | stored)))

    return make


@pytest.fixture
def outcome_of() -> Callable[..., Outcome]:
    """Makes an outcome of two runs."""

    def make(before: RunFigures, after: RunFigures) -> Outcome:
        return Outcome(before=before, after=after, recommendations=[], report="report.html", seed=1, seconds=30.0)

    return make
