"""Several processes behind one port, spawned or forked: each connection's spans arrive once, and no identity twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from websockets.asyncio.client import connect

CONNECTIONS = 40
HEALTHY = ["HANDSHAKE_PENDING", "CONNECTED", "READY_FOR_MESSAGES", "CLOSED"]

#: The provider is set before the fork, and the application is built before it.
PRELOADED = """
    import acceptfirst
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


    async def chat(websocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)


    app = acceptfirst.instrument(
        Starlette(routes=[WebSocketRoute("/chat/{room}", chat)]), environment="testing"
    )
"""

GUNICORN = ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", "2", "--bind", "fd://{fd}", "served:app")
SERVERS = {
    "uvicorn-spawns": ("uvicorn", "served:app", "--fd", "{fd}", "--workers", "2"),
    "gunicorn-forks": GUNICORN,
    "gunicorn-forks-preloaded": (*GUNICORN, "--preload"),
}


async def talk(url: str) -> None:
    """A whole conversation."""
    async with connect(url) as client:
        await client.send("hello")
        assert await client.recv() == "hello"


async def crowd(url: str) -> None:
    """Many at once."""
    await asyncio.gather(*(talk(url) for _ in range(CONNECTIONS)))


def assert_everything_arrived_once(receiver: Any) -> None:
    """Every connection is there with every step, each under a span and a trace of its own."""
    assert list(receiver.steps().values()) == [HEALTHY] * CONNECTIONS
    spans = receiver.spans()
    steps = Counter((s.connection, s.attributes.get("acceptfirst.transition.sequence"), s.name) for s in spans)
    assert set(steps.values()) == {1}
    assert len({span.span_id for span in spans}) == len(spans)
    assert len({span.trace_id for span in spans}) == CONNECTIONS


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_workers_deliver_each_connection_once(serve: Any, receiver: Any, command: tuple[str, ...]) -> None:
    """Instrumented by hand, with the provider in the application's module."""
    served = serve(PRELOADED, *command, environment=receiver.environment, zero_code=False, times=2)
    asyncio.run(crowd(served.url("/chat/den")))
    served.stop()

    assert_everything_arrived_once(receiver)


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_workers_deliver_each_connection_once_without_code(
    serve: Any, receiver: Any, chat: str, command: tuple[str, ...]
) -> None:
    """Instrumented from outside, with the provider that was set before anything else ran."""
    served = serve(chat, *command, environment=receiver.environment, times=2)
    asyncio.run(crowd(served.url("/chat/den")))
    served.stop()

    assert_everything_arrived_once(receiver)
