"""Several middlewares around one application: one set of spans, and the better options win."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy
from acceptfirst.instrumentor import AutomaticMiddleware

MESSAGES = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "hello"},
    {"type": "websocket.disconnect", "code": 1000},
]
HEALTHY = ["HANDSHAKE_PENDING", "CONNECTED", "READY_FOR_MESSAGES", "CLOSED"]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, says that it is ready, answers until the client leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    acceptfirst.ready(scope)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def explicit(app: Any, spans: Any, **options: Any) -> Any:
    """What an author writes."""
    return AcceptFirstMiddleware(app, environment="staging", tracer_provider=spans.provider, **options)


def automatic(app: Any, spans: Any, **options: Any) -> Any:
    """What the instrumentor puts around an application."""
    return AutomaticMiddleware(app, environment="testing", tracer_provider=spans.provider, **options)


def play(app: Any, server: Any, **scope: Any) -> Any:
    """One conversation; gives what the application sent."""
    script = server(MESSAGES)
    script.scope |= scope
    asyncio.run(script.run(app))
    return [message["type"] for message in script.sent]


def environments(spans: Any) -> set[str]:
    """Whose options the spans carry."""
    return {span.attributes["acceptfirst.environment"] for span in spans.named("websocket.transition")}


def assert_one_set(spans: Any) -> None:
    """Four transitions of one connection and one handshake."""
    assert [new for _, new, _ in spans.transitions()] == HEALTHY
    assert len(spans.named("websocket.handshake")) == 1


def between(app: Any) -> Any:
    """A middleware of somebody else's, which wraps receive and send."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        async def receives() -> Any:
            return await receive()

        async def sends(message: Any) -> None:
            await send(message)

        await app(dict(scope), receives, sends)

    return wrapped


NESTINGS = {
    "explicit-in-automatic": lambda app, spans: automatic(explicit(app, spans), spans),
    "explicit-in-automatic-with-another-between": lambda app, spans: automatic(between(explicit(app, spans)), spans),
    "automatic-in-explicit": lambda app, spans: explicit(automatic(app, spans), spans),
    "explicit-in-automatic-in-automatic": lambda app, spans: automatic(automatic(explicit(app, spans), spans), spans),
    "all-and-opentelemetry": lambda app, spans: automatic(
        OpenTelemetryMiddleware(explicit(automatic(app, spans), spans), tracer_provider=spans.provider), spans
    ),
}


@pytest.mark.parametrize("nesting", NESTINGS)
def test_options_of_the_author_win_and_spans_come_once(server: Any, spans: Any, nesting: str) -> None:
    """However the two are nested."""
    sent = play(NESTINGS[nesting](echo, spans), server)

    assert sent == ["websocket.accept", "websocket.send"]
    assert_one_set(spans)
    assert environments(spans) == {"staging"}


def test_outermost_of_two_authors_middlewares_wins(server: Any, spans: Any) -> None:
    """Both were asked for; the one that saw the connection first keeps it."""
    inner = AcceptFirstMiddleware(echo, environment="production", tracer_provider=spans.provider)
    play(explicit(inner, spans), server)

    assert_one_set(spans)
    assert environments(spans) == {"staging"}


def test_automatic_middleware_keeps_a_connection_on_which_something_has_happened(server: Any, spans: Any) -> None:
    """A middleware between the two has received already: what was seen is not thrown away."""

    def early(app: Any) -> Any:
        async def receives_first(scope: Any, receive: Any, send: Any) -> None:
            messages = [await receive()]

            async def again() -> Any:
                return messages.pop() if messages else await receive()

            await app(scope, again, send)

        return receives_first

    play(automatic(early(explicit(echo, spans)), spans), server)

    assert_one_set(spans)
    assert environments(spans) == {"testing"}


PATIENT = Policy(environment="testing", handshake_timeout_ms=60_000)
HOLDING = replace(PATIENT, gate="hold", readiness_mode="event")


@pytest.mark.parametrize(
    "options",
    [{"gate": "hold", "policy": PATIENT}, {"policy": replace(PATIENT, routes={"/held": HOLDING})}],
    ids=["of-all", "of-the-route"],
)
def test_gate_of_an_automatic_middleware_that_gave_way_holds_nothing(
    server: Any, spans: Any, options: dict[str, Any]
) -> None:
    """Nobody says ready to it, and it would wait for a minute; the author's gate is open."""

    async def hears_two(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(2):
            await receive()

    outer = automatic(explicit(hears_two, spans), spans, readiness="event", **options)
    script = server([*MESSAGES[:2], MESSAGES[1]])  # and then silence: no disconnect opens a gate
    script.scope["route"] = type("Route", (), {"path": "/held"})

    assert asyncio.run(script.run(outer)) is None
    assert_one_set(spans)
    assert spans.violations() == []


def test_path_that_the_author_excluded_is_observed_by_nobody(server: Any, spans: Any) -> None:
    """Not by the automatic middleware either."""
    play(automatic(explicit(echo, spans, exclude=["/ws"]), spans), server)

    assert spans.exporter.get_finished_spans() == ()


def test_connection_is_metered_once(server: Any, spans: Any) -> None:
    """What the automatic middleware had counted, it takes back."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    inner = explicit(echo, spans, meter_provider=provider)
    play(automatic(inner, spans, meter_provider=provider), server)

    data = reader.get_metrics_data()
    assert data is not None
    found = {m.name: m for resource in data.resource_metrics for s in resource.scope_metrics for m in s.metrics}
    provider.shutdown()
    values: Any = {name: sum(getattr(p, "value", 0) for p in m.data.data_points) for name, m in found.items()}
    assert values["acceptfirst.handshakes"] == 1
    assert values["acceptfirst.connections.open"] == values["acceptfirst.handshakes.open"] == 0


async def endpoint(websocket: WebSocket) -> None:
    """Answers until the client leaves."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        return


@pytest.mark.parametrize("inner", [explicit, automatic])
def test_mounted_application_is_observed_once(server: Any, spans: Any, inner: Any) -> None:
    """Both it and what it is mounted in are instrumented."""
    mounted = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    outer = automatic(Starlette(routes=[Mount("/sub", app=inner(mounted, spans))]), spans)
    play(outer, server, path="/sub/ws", root_path="", query_string=b"")

    assert_one_set(spans)
    assert environments(spans) == {"staging" if inner is explicit else "testing"}
