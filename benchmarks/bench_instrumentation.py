"""What the middleware costs a connection, as ratios against other instrumentations of ASGI in the same run.

Run with ``make bench``; ``--write FILE`` writes the tables as a page. Figures are CPU time of this process, the best of
many short rounds in which all peers take turns: on a shared machine the best round is the one that others disturbed
least, and a short one is sometimes not disturbed at all. What a round has begun it ends: its last spans are encoded
too. No network is involved: the server is a list of messages. As with a real server, nothing has arrived yet when the
application first asks for a message.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

# Set before it is imported: no agent, no telemetry of its own.
os.environ.update(
    DD_TRACE_AGENT_URL="http://127.0.0.1:9",
    DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
    DD_REMOTE_CONFIGURATION_ENABLED="false",
    DD_TRACE_STARTUP_LOGS="false",
)

from ddtrace.contrib.asgi import TraceMiddleware
from ddtrace.trace import tracer as ddtracer
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from acceptfirst import AcceptFirstMiddleware, Policy
from acceptfirst.connection import Connection
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.lifecycle import ApplicationConnectionState as State

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
MESSAGE = {"type": "websocket.receive", "text": "x"}
ANSWER = {"type": "websocket.send", "text": "x"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
SCOPE = {
    "type": "websocket",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "scheme": "ws",
    "http_version": "1.1",
    "server": ("127.0.0.1", 8000),
    "client": ("127.0.0.1", 50000),
    "path": "/ws",
    "raw_path": b"/ws",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1:8000"), (b"upgrade", b"websocket"), (b"user-agent", b"bench")],
    "subprotocols": [],
}

MESSAGES = 10
CONNECTIONS = 100
ROUNDS = 50
IMPORT_ROUNDS = 12
BATCH = 512
TENTH = "acceptfirst, a tenth drawn"
LONG_LIVED = "acceptfirst, open for longer"

Application = Callable[[Any, Any, Any], Awaitable[None]]
Table = list[tuple[str, float]]


class Discard(SpanProcessor):
    """Takes every span and does nothing with it: what is measured is the making of spans."""

    def on_end(self, span: ReadableSpan) -> None:
        """Drop it."""


class Encode(SpanProcessor):
    """Encodes spans as the stock OTLP exporter does, in batches of its size, and sends them nowhere."""

    def __init__(self) -> None:
        self._batch: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it until the batch is full."""
        self._batch.append(span)
        if len(self._batch) >= BATCH:
            self.encode()

    def encode(self) -> None:
        """Encode what has come since the last batch."""
        if self._batch:
            encode_spans(self._batch).SerializeToString()
            self._batch.clear()


class Keep(SpanProcessor):
    """Keeps every span."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


class NullWriter:
    """Takes ddtrace's spans and does nothing with them."""

    def write(self, spans: Any = None) -> None:
        """Drop them."""


def provider(processor: SpanProcessor) -> TracerProvider:
    """A provider of the SDK with one processor."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(processor)
    return made


async def echo(_: Any, receive: Any, send: Any) -> None:
    """The application: accepts and answers each message."""
    await receive()
    await send(ACCEPT)
    while (await receive())["type"] == "websocket.receive":
        await send(ANSWER)


def long_lived(made: TracerProvider) -> Application:
    """Ours, on connections that are still open when what was put off is done: in life nearly all of them are.

    A connection of the benchmark is over long before that moment, so it is brought about, after the first message.
    """

    async def echo_and_do_it(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        message = await receive()
        middleware._telemetry.look_after_all_now()  # noqa: SLF001 - the benchmark is of the inside
        while message["type"] == "websocket.receive":
            await send(ANSWER)
            message = await receive()

    middleware = AcceptFirstMiddleware(echo_and_do_it, tracer_provider=made)
    return middleware


async def connect_once(target: Application, messages: int) -> None:
    """One connection from connect to disconnect."""
    incoming = iter([CONNECT, None, *[MESSAGE] * messages, DISCONNECT])

    async def receive() -> Any:
        message = next(incoming)
        if message is None:
            await asyncio.sleep(0)
            return next(incoming)
        return message

    async def send(_: Any) -> None:
        return None

    await target(dict(SCOPE), receive, send)


async def cpu_us(targets: dict[str, Application], messages: int, encoder: Encode | None = None) -> dict[str, float]:
    """CPU microseconds a connection for each target, the best of ``ROUNDS``; the encoder is one that they share."""
    best = dict.fromkeys(targets, float("inf"))
    for _ in range(ROUNDS):
        for name, target in targets.items():
            started = time.process_time()
            for _ in range(CONNECTIONS):
                await connect_once(target, messages)
            if encoder is not None:
                encoder.encode()
            best[name] = min(best[name], (time.process_time() - started) / CONNECTIONS * 1e6)
    return best


def null_targets() -> dict[str, Application]:
    """Each instrumentation, all spans made and dropped."""
    drop: Any = NullWriter()
    ddtracer._span_aggregator.writer = drop  # noqa: SLF001 - ddtrace has no public way to drop spans
    traced: Any = TraceMiddleware
    made = provider(Discard())
    wire_spans: list[Any] = ["send", "receive"]
    return {
        "no instrumentation": echo,
        "acceptfirst": AcceptFirstMiddleware(echo, tracer_provider=made),
        LONG_LIVED: long_lived(made),
        "opentelemetry-asgi": OpenTelemetryMiddleware(echo, tracer_provider=made),
        "opentelemetry-asgi, exclude_spans": OpenTelemetryMiddleware(
            echo, tracer_provider=made, exclude_spans=wire_spans
        ),
        "ddtrace": traced(echo),
    }


def encoding_targets(encoder: Encode) -> dict[str, Application]:
    """Each instrumentation, all spans encoded as OTLP, and ours where a connection is not drawn."""
    wire_spans: list[Any] = ["send", "receive"]
    made = provider(encoder)
    nothing = Policy(environment="development", sample_rate=0.0)
    return {
        "no instrumentation": echo,
        "acceptfirst": AcceptFirstMiddleware(echo, tracer_provider=made),
        "acceptfirst, not drawn": AcceptFirstMiddleware(echo, tracer_provider=made, policy=nothing),
        "opentelemetry-asgi": OpenTelemetryMiddleware(echo, tracer_provider=made),
        "opentelemetry-asgi, exclude_spans": OpenTelemetryMiddleware(
            echo, tracer_provider=made, exclude_spans=wire_spans
        ),
    }


def ratio_table(title: str, figures: dict[str, float], measured: list[str]) -> str:
    """The figures, and how each of ours compares with each of the others."""
    lines = [f"### {title}", "", "| | µs | " + " | ".join(f"{name} / this" for name in measured) + " |"]
    lines.append("|---|---:|" + "---:|" * len(measured))
    for name, figure in figures.items():
        ratios = " | ".join(f"{figures[one] / figure:.3f}" for one in measured)
        lines.append(f"| {name} | {figure:.1f} | {ratios} |")
    return "\n".join(lines)


async def encoder_alone_us() -> float:
    """CPU microseconds that the stock encoder takes for the spans of one connection, when they are there and plain."""
    keep = Keep()
    target = AcceptFirstMiddleware(echo, tracer_provider=provider(keep))
    for _ in range(CONNECTIONS):
        await connect_once(target, MESSAGES)
    plain = [
        ReadableSpan(
            span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=dict(span.attributes or {}),
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        for span in keep.spans
    ]
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        encode_spans(plain).SerializeToString()
        best = min(best, (time.process_time() - started) / CONNECTIONS * 1e6)
    return best


async def added_before_first_message_us() -> float:
    """Median wall time that the middleware adds between the server's call and the application's first message.

    Of several medians, taken in turns, the least: it is the one that others disturbed least.
    """
    seen: list[int] = []

    async def first(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        seen.append(time.perf_counter_ns())

    instrumented = AcceptFirstMiddleware(first, tracer_provider=provider(Discard()))
    medians: dict[Application, float] = {}
    for _ in range(ROUNDS):
        for target in (instrumented, first):
            waits = []
            for _ in range(CONNECTIONS):
                seen.clear()
                started = time.perf_counter_ns()
                await connect_once(target, 1)
                waits.append(seen[0] - started)
            median = sorted(waits)[len(waits) // 2] / 1000
            medians[target] = min(median, medians.get(target, median))
    return medians[instrumented] - medians[first]


async def added_a_message_us() -> float:
    """CPU that one message more costs, of a chat that goes to and fro."""
    targets: dict[str, Application] = {
        "bare": echo,
        "ours": AcceptFirstMiddleware(echo, tracer_provider=provider(Discard())),
    }
    short, long = await cpu_us(targets, 10), await cpu_us(targets, 110)
    return ((long["ours"] - short["ours"]) - (long["bare"] - short["bare"])) / 200


async def state_operation_us() -> float:
    """CPU that one move of the lifecycle costs, its time and its letter included."""
    detector = RaceConditionDetector("development")
    count = 20_000
    best = float("inf")
    for _ in range(ROUNDS):
        records = [_connected(detector) for _ in range(count // 20)]
        started = time.process_time()
        for record in records:
            record.say_ready()
        best = min(best, (time.process_time() - started) / len(records) * 1e6)
    return best


class _Nobody:
    """Is told of nothing."""

    def _drop(self, *_: Any) -> None:
        """Let it go."""

    opened = moved = violated = finished = _drop


def _connected(detector: RaceConditionDetector) -> Connection:
    """A connection that waits to be told that it is ready."""
    middleware = AcceptFirstMiddleware(echo, readiness="event")
    record = Connection(
        scope=dict(SCOPE),
        policy=middleware.policy,
        readiness_mode="event",
        gate_mode="observe",
        catalogue=middleware._catalogue,  # noqa: SLF001 - the benchmark is of the inside
        observers=_Nobody(),
    )
    record.receive_began()
    record.received("websocket.connect")
    record.send_began("websocket.accept")
    record.sent("websocket.accept", ACCEPT)
    if record.state is not State.CONNECTED:
        raise AssertionError(f"expected CONNECTED, but got {record.state} ({detector.environment})")
    return record


def import_ms(statement: str) -> float:
    """Milliseconds that a fresh interpreter takes for a statement, the best of ``ROUNDS``."""
    code = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(IMPORT_ROUNDS))  # noqa: S603 - our own interpreter, our own code


async def measure() -> str:
    """Every table."""
    null = await cpu_us(null_targets(), MESSAGES)
    encoder = Encode()
    encoded = await cpu_us(encoding_targets(encoder), MESSAGES, encoder)
    encoded["the encoder alone, on acceptfirst's spans"] = await encoder_alone_us()
    # Worked out: a round in which few happened to be drawn would pass for the best one.
    encoded[TENTH] = 0.1 * encoded["acceptfirst"] + 0.9 * encoded["acceptfirst, not drawn"]
    peers = "import opentelemetry.trace, opentelemetry.metrics, opentelemetry.propagate"
    import_peers, import_ours = import_ms(peers), import_ms(f"{peers}, acceptfirst")
    single = [
        ("added before the application's first message, median", await added_before_first_message_us(), "µs"),
        ("added to each message after that", await added_a_message_us(), "µs"),
        ("one move of the lifecycle", await state_operation_us(), "µs"),
        ("`import opentelemetry`", import_peers, "ms"),
        ("`import acceptfirst` on top of it", import_ours - import_peers, "ms"),
    ]
    return "\n\n".join(
        [
            ratio_table(
                f"CPU of one connection with {MESSAGES} messages each way, all spans made and dropped",
                null,
                ["acceptfirst", LONG_LIVED],
            ),
            ratio_table(
                "The same, spans encoded as OTLP in batches by the stock encoder",
                encoded,
                ["acceptfirst", TENTH],
            ),
            "### Single figures\n\n| | |\n|---|---:|\n"
            + "\n".join(f"| {what} | {figure:.2f} {unit} |" for what, figure, unit in single),
        ]
    )


def main() -> None:
    """Print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="a page between whose marks the tables are put")
    arguments = parser.parse_args()
    tables = f"{asyncio.run(measure())}\n\nPython {platform.python_version()}, {os.cpu_count()} cores, shared."
    print(tables)
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        before, after = page.split("<!-- measured -->")[0], page.split("<!-- /measured -->")[1]
        arguments.write.write_text(
            f"{before}<!-- measured -->\n\n{tables}\n\n<!-- /measured -->{after}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
