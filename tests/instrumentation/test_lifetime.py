"""Ends and forks of a process, without a server: nothing is lost, nothing goes out twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any

import acceptfirst
from acceptfirst import failsafe
from acceptfirst.telemetry import lifetime

FORK = """
import asyncio, gc, json, os, sys
import acceptfirst
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class Pipe(SpanExporter):
    def export(self, spans):
        for span in spans:
            line = [os.getpid() == parent, span.name, span.attributes.get("acceptfirst.state.to"), span.context.span_id]
            os.write(1, (json.dumps(line) + "\\n").encode())
        return SpanExportResult.SUCCESS


parent = os.getpid()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(Pipe()))


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.close"})
    await asyncio.sleep(3600)


async def healthy(scope, receive, send):
    await receive()


watched = acceptfirst.instrument(app, environment="testing", tracer_provider=provider)
again = acceptfirst.instrument(healthy, environment="testing", tracer_provider=provider)


async def connect(to, until_closed):
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}])
    closed = asyncio.Event()

    async def receive():
        return next(messages)

    async def send(message):
        if message["type"] == "websocket.close":
            closed.set()

    task = asyncio.ensure_future(to({"type": "websocket", "path": "/", "headers": []}, receive, send))
    await (closed.wait() if until_closed else task)
    return task


loop = asyncio.new_event_loop()
task = loop.run_until_complete(connect(watched, True))
child = os.fork()
if not child:
    asyncio.run(connect(again, False))
    sys.exit()
os.waitpid(child, 0)
"""


def test_forked_child_exports_its_own_connections_and_none_of_its_parents() -> None:
    """The parent has one that is closed and not over; both processes exit in the ordinary way."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    of_parent = [state for is_parent, name, state, _ in lines if is_parent and name == "websocket.transition"]
    of_child = [state for is_parent, name, state, _ in lines if not is_parent and name == "websocket.transition"]
    assert of_parent == ["HANDSHAKE_PENDING", "CONNECTED", "READY_FOR_MESSAGES", "CLOSED"]
    assert of_child == ["HANDSHAKE_PENDING", "CLOSED"]
    assert len({span_id for *_, span_id in lines}) == len(lines)


async def lives(scope: Any, receive: Any, send: Any) -> None:
    """Answers the lifespan."""
    assert scope == {"type": "lifespan", "state": {}}
    assert await receive() == {"type": "lifespan.startup"}
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    await send({"type": "lifespan.shutdown.complete"})


class Provider:
    """Notes when it is flushed."""

    def __init__(self, sent: list[str], error: Exception | None = None) -> None:
        self.sent = sent
        self.error = error

    def force_flush(self, _: int) -> bool:
        """Note it."""
        self.sent.append("flushed")
        if self.error is not None:
            raise self.error
        return True

    def get_tracer(self, *_: Any) -> None:
        """Nobody asks."""


def live(provider: Any, sent: list[str]) -> None:
    """A lifespan from its start to its end."""
    watched = acceptfirst.instrument(lives, environment="testing", tracer_provider=provider)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(watched({"type": "lifespan", "state": {}}, receive, send))


def test_lifespan_passes_unchanged_and_flushes_before_the_server_may_end() -> None:
    """The application sees the server's own scope and messages; the providers are flushed before the last one."""
    sent: list[str] = []
    live(Provider(sent), sent)

    assert sent == ["lifespan.startup.complete", "flushed", "lifespan.shutdown.complete"]


def test_provider_that_fails_to_flush_fails_nobody() -> None:
    """It is counted, and the server ends."""
    sent: list[str] = []
    live(Provider(sent, RuntimeError("full")), sent)

    assert sent[-1] == "lifespan.shutdown.complete"
    assert failsafe.failures.pop("force_flush") == 1


def test_provider_that_hangs_is_left_behind(monkeypatch: Any) -> None:
    """The server waits as long as it says, and no thread of ours keeps the process."""
    monkeypatch.setattr(lifetime, "FLUSH_PATIENCE_S", 0.01)
    sent: list[str] = []
    released = threading.Event()

    class Hanging(Provider):
        def force_flush(self, _: int) -> bool:
            return released.wait(60)

    try:
        live(Hanging(sent), sent)
    finally:
        released.set()
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
