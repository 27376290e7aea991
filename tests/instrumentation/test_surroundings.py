"""Which trace a connection joins: the client's, told by the propagator in force, or that of a server's span."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import acceptfirst
from acceptfirst import failsafe

MESSAGES = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
TRACE = "a" * 32
SPAN = "b" * 16


class OneHeader(TextMapPropagator):
    """A propagator of somebody's own: `<trace>/<span>/<sampled>` in one header."""

    def __init__(self, header: str) -> None:
        self.header = header

    @property
    def fields(self) -> set[str]:
        """The header, as people write it."""
        return {self.header.title()}

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = default_getter) -> Context:
        """The span that the header names."""
        values = getter.get(carrier, self.header)
        if not values or self.header.title() not in map(str.title, getter.keys(carrier)):
            return context or Context()
        trace_id, span_id, sampled = values[0].split("/")
        named = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(sampled)))
        return trace.set_span_in_context(NonRecordingSpan(named), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = default_setter) -> None:
        """Nothing: nobody is called."""


@pytest.fixture
def propagator() -> Iterator[Any]:
    """Sets a global propagator for one test."""
    before = propagate.get_global_textmap()
    yield propagate.set_global_textmap
    propagate.set_global_textmap(before)


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and waits for the disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


async def refused(scope: Any, receive: Any, send: Any) -> None:
    """Sends after the disconnect."""
    await healthy(scope, receive, send)
    await send({"type": "websocket.send", "text": "too late"})


def observed(app: Any, spans: Any, **options: Any) -> Any:
    """The application with the middleware around it."""
    return acceptfirst.instrument(app, environment="testing", tracer_provider=spans.provider, **options)


def play(app: Any, server: Any, *headers: tuple[str, str]) -> None:
    """One connection whose client sends these headers."""
    script = server(MESSAGES)
    script.scope["headers"] = [(name.encode(), value.encode()) for name, value in headers]
    asyncio.run(script.run(app))


@pytest.mark.parametrize("header", ["b3", "x-cloud-trace", "x-b3-traceid"])
def test_handshake_joins_the_trace_that_the_propagator_in_force_reads(
    server: Any, spans: Any, propagator: Any, header: str
) -> None:
    """Whatever the header is called, and however its name is written."""
    propagator(OneHeader(header))
    play(observed(healthy, spans), server, (header, f"{TRACE}/{SPAN}/1"))

    (handshake,) = spans.named("websocket.handshake")
    assert (handshake.context.trace_id, handshake.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))


def test_handshake_joins_a_trace_in_the_other_form_of_b3(server: Any, spans: Any, propagator: Any) -> None:
    """Such a propagator reads both forms and names the one that it writes."""

    class B3(OneHeader):
        fields = {"b3"}  # noqa: RUF012 - a property there, a constant here

    propagator(B3("x-b3-traceid"))
    play(observed(healthy, spans), server, ("x-b3-traceid", f"{TRACE}/{SPAN}/1"))

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.context.trace_id == int(TRACE, 16)


def test_handshake_ignores_a_header_that_no_propagator_reads(server: Any, spans: Any, propagator: Any) -> None:
    """Whoever has taken the W3C propagator away does not want its header."""
    propagator(OneHeader("x-cloud-trace"))
    play(observed(healthy, spans), server, ("traceparent", f"00-{TRACE}-{SPAN}-01"))

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.parent is None


def test_parent_of_another_propagator_that_was_not_sampled_is_linked(server: Any, spans: Any, propagator: Any) -> None:
    """It silences nothing."""
    propagator(OneHeader("x-cloud-trace"))
    play(observed(healthy, spans), server, ("x-cloud-trace", f"{TRACE}/{SPAN}/0"))

    (handshake,) = spans.named("websocket.handshake")
    assert [link.context.span_id for link in handshake.links] == [int(SPAN, 16)]


def test_spans_go_out_when_the_propagator_fails(server: Any, spans: Any, propagator: Any) -> None:
    """A header that it can't read costs the parent, not the spans."""
    propagator(OneHeader("x-cloud-trace"))
    play(observed(healthy, spans), server, ("x-cloud-trace", "rubbish"))

    assert len(spans.named("websocket.transition")) == 4
    assert failsafe.failures.pop("propagator") == 1


def server_span(spans: Any) -> Any:
    """The span that OpenTelemetryMiddleware makes of a connection."""
    (found,) = [span for span in spans.exporter.get_finished_spans() if span.kind is trace.SpanKind.SERVER]
    return found


NESTINGS = ("inside", "outside")


def nested(nesting: str, app: Any, spans: Any, otel: dict[str, Any] | None = None, **ours: Any) -> Any:
    """The application in both middlewares; we are inside or outside of OpenTelemetryMiddleware."""
    otel = {"tracer_provider": spans.provider, **(otel or {})}
    if nesting == "inside":
        return OpenTelemetryMiddleware(observed(app, spans, **ours), **otel)
    return observed(OpenTelemetryMiddleware(app, **otel), spans, **ours)


@pytest.mark.parametrize("exclude", [[], ["receive", "send"]], ids=["each-message", "connection-only"])
@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("headers", [[], [("traceparent", f"00-{TRACE}-{SPAN}-01")]], ids=["alone", "called"])
def test_handshake_is_the_child_of_the_server_span_in_either_nesting(
    server: Any, spans: Any, nesting: str, exclude: list[str], headers: list[tuple[str, str]]
) -> None:
    """Whether OpenTelemetryMiddleware is around us or inside of us, and whether or not the client is traced."""
    play(nested(nesting, healthy, spans, {"exclude_spans": exclude}), server, *headers)

    (handshake,) = spans.named("websocket.handshake")
    around = server_span(spans)
    assert handshake.parent.span_id == around.context.span_id
    assert handshake.context.trace_id == around.context.trace_id


@pytest.mark.parametrize("nesting", NESTINGS)
def test_violation_outside_the_sample_joins_the_server_span_too(server: Any, spans: Any, nesting: str) -> None:
    """Its spans are made when it shows, long after the first receive."""
    unsampled = acceptfirst.Policy(environment="testing", sample_rate=0.0)
    play(nested(nesting, refused, spans, policy=unsampled), server)

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.parent.span_id == server_span(spans).context.span_id


@pytest.mark.parametrize("nesting", NESTINGS)
def test_server_span_that_was_not_sampled_is_linked(server: Any, spans: Any, nesting: str) -> None:
    """The spans start a trace of their own, and say where they come from."""
    silent = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    play(nested(nesting, healthy, spans, {"tracer_provider": silent}), server)

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.parent is None
    assert len(handshake.links) == 1


def test_span_of_the_applications_own_is_not_taken_for_a_servers(server: Any, spans: Any) -> None:
    """What the application traces while it accepts is its own affair, not what the handshake is part of."""
    tracer = spans.provider.get_tracer("application")

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span("my handler"):
            await healthy(scope, receive, send)

    play(observed(traced, spans), server)

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.parent is None


def test_context_and_baggage_of_the_application_are_the_servers(server: Any, spans: Any) -> None:
    """What it sees with us is what it sees without us."""
    seen: list[Any] = []

    async def looks(scope: Any, receive: Any, send: Any) -> None:
        seen.append((context.get_current(), baggage.get_all()))
        await healthy(scope, receive, send)
        seen.append((context.get_current(), baggage.get_all()))

    async def called_with_baggage(app: Any) -> None:
        token = context.attach(baggage.set_baggage("tenant", "7"))
        script = server(MESSAGES)
        script.scope["headers"] = [(b"baggage", b"other=1"), (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())]
        await app(script.scope, script.receive, script.send)
        context.detach(token)

    asyncio.run(called_with_baggage(observed(looks, spans)))
    asyncio.run(called_with_baggage(looks))

    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert seen[0][1] == {"tenant": "7"}
