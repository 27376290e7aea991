"""What the middleware costs a connection, as ratios against OpenTelemetry's own ASGI middleware in the same run.

Run with ``make bench``. Figures are CPU time of this process, the best of several rounds: on a shared machine the best
round is the one that others disturbed least. No network is involved: the server is a list of messages.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from acceptfirst import AcceptFirstMiddleware

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
MESSAGE = {"type": "websocket.receive", "text": "x"}
ANSWER = {"type": "websocket.send", "text": "x"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
SCOPE = {"type": "websocket", "path": "/ws", "headers": []}

MESSAGES = 10
CONNECTIONS = 1000
ROUNDS = 5

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Discard(SpanProcessor):
    """Takes every span and does nothing with it: what is measured is the making of spans."""

    def on_end(self, span: ReadableSpan) -> None:
        """Drop it."""


async def echo(_: Any, receive: Any, send: Any) -> None:
    """The application: accepts and answers each message."""
    await receive()
    await send(ACCEPT)
    while (await receive())["type"] == "websocket.receive":
        await send(ANSWER)


async def connect_once(target: Application, messages: int) -> None:
    """One connection from connect to disconnect."""
    incoming = iter([CONNECT, *[MESSAGE] * messages, DISCONNECT])

    async def receive() -> Any:
        return next(incoming)

    async def send(_: Any) -> None:
        return None

    await target(dict(SCOPE), receive, send)


async def cpu_us(target: Application, messages: int) -> float:
    """CPU microseconds a connection, the best of ``ROUNDS``."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(CONNECTIONS):
            await connect_once(target, messages)
        rounds.append((time.process_time() - started) / CONNECTIONS * 1e6)
    return min(rounds)


async def compare() -> None:
    """Print the table."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Discard())
    wire_spans: list[Any] = ["send", "receive"]
    targets: dict[str, Application] = {
        "no instrumentation": echo,
        "acceptfirst": AcceptFirstMiddleware(echo, tracer_provider=provider),
        "opentelemetry-asgi": OpenTelemetryMiddleware(echo, tracer_provider=provider),
        "opentelemetry-asgi, exclude_spans": OpenTelemetryMiddleware(
            echo, tracer_provider=provider, exclude_spans=wire_spans
        ),
    }
    print(f"CPU of one connection with {MESSAGES} messages each way, every span made and discarded")
    figures = {name: await cpu_us(target, MESSAGES) for name, target in targets.items()}
    for name, figure in figures.items():
        print(f"  {name:36}{figure:10.1f} µs   acceptfirst / this = {figures['acceptfirst'] / figure:6.2f}")


def import_ms(statement: str) -> float:
    """Milliseconds that a fresh interpreter takes for a statement, the best of ``ROUNDS``."""
    code = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS))  # noqa: S603 - our own interpreter, our own code


def main() -> None:
    """Print both tables."""
    asyncio.run(compare())
    peers = import_ms("import opentelemetry.trace, opentelemetry.metrics, opentelemetry.propagate")
    ours = import_ms("import opentelemetry.trace, opentelemetry.metrics, opentelemetry.propagate, acceptfirst")
    print(f"import opentelemetry {peers:.0f} ms, acceptfirst on top of it {ours - peers:.0f} ms")


if __name__ == "__main__":
    main()
