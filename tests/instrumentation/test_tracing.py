"""The spans: names, attributes, parents, sampling and the ways in which tracing can be off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import acceptfirst
from acceptfirst import Policy

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1001}

COMMON = {
    "acceptfirst.connection.id",
    "acceptfirst.environment",
    "http.route",
    "acceptfirst.attempt",
    "acceptfirst.readiness.mode",
    "acceptfirst.gate",
    "acceptfirst.policy.version",
    "acceptfirst.policy.arm",
    "acceptfirst.sample.weight",
}


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and waits for the disconnect."""
    await receive()
    await send(ACCEPT)
    await receive()


async def misbehaved(scope: Any, receive: Any, send: Any) -> None:
    """Sends after the disconnect."""
    await healthy(scope, receive, send)
    await send({"type": "websocket.send", "text": "too late"})


def run(app: Any, server: Any, provider: Any, *, times: int = 1, **scope: Any) -> None:
    """One or more connections, one after another, through one middleware."""
    policy = scope.pop("policy", None)
    observed = acceptfirst.instrument(app, environment="testing", tracer_provider=provider, policy=policy)

    async def connections() -> None:
        for _ in range(times):
            script = server([CONNECT, DISCONNECT])
            script.scope |= scope
            await script.run(observed)

    asyncio.run(connections())


def test_every_span_carries_the_common_attributes(server: Any, spans: Any) -> None:
    """Handshake, transitions and violations alike."""
    run(misbehaved, server, spans.provider)

    finished = spans.exporter.get_finished_spans()
    assert {span.name for span in finished} == {"websocket.handshake", "websocket.transition", "websocket.violation"}
    for span in finished:
        assert set(span.attributes) >= COMMON
        assert span.instrumentation_scope.name == "acceptfirst"


def test_handshake_span_is_the_parent_of_the_rest(server: Any, spans: Any) -> None:
    """One trace; every other span is a child of the handshake's."""
    run(misbehaved, server, spans.provider)

    (handshake,) = spans.named("websocket.handshake")
    for span in [*spans.named("websocket.transition"), *spans.named("websocket.violation")]:
        assert span.context.trace_id == handshake.context.trace_id
        assert span.parent.span_id == handshake.context.span_id
    assert handshake.parent is None


def test_handshake_span_covers_connect_to_ready(server: Any, spans: Any) -> None:
    """It begins where HANDSHAKE_PENDING began and ends where READY began."""
    run(healthy, server, spans.provider)

    (handshake,) = spans.named("websocket.handshake")
    _, pending, connected, _ = spans.named("websocket.transition")
    assert handshake.start_time <= pending.start_time
    assert handshake.end_time == connected.end_time


def test_transitions_follow_one_another_without_a_gap(server: Any, spans: Any) -> None:
    """Each begins at the nanosecond at which the one before it ended."""
    run(healthy, server, spans.provider)

    steps = spans.named("websocket.transition")
    assert [step.start_time for step in steps[1:]] == [step.end_time for step in steps[:-1]]
    assert [step.attributes["acceptfirst.transition.sequence"] for step in steps] == [0, 1, 2, 3]


def test_connection_id_carries_its_own_time(server: Any, spans: Any) -> None:
    """32 hex digits, of which the first twelve are Unix milliseconds."""
    run(healthy, server, spans.provider)

    first = spans.named("websocket.transition")[0]
    identity = str(first.attributes["acceptfirst.connection.id"])
    assert len(identity) == 32
    assert int(identity[:12], 16) == first.start_time // 1_000_000


def test_violation_has_the_status_and_the_type_of_an_error(server: Any, spans: Any) -> None:
    """Status ERROR, ``error.type`` is the pattern."""
    run(misbehaved, server, spans.provider)

    (violation,) = spans.named("websocket.violation")
    assert violation.status.status_code is trace.StatusCode.ERROR
    assert (
        violation.attributes["error.type"]
        == violation.attributes["acceptfirst.pattern.type"]
        == "send_after_disconnect"
    )
    assert violation.attributes["acceptfirst.pattern.severity"] == "warning"


def test_last_transition_has_a_signature_that_holds_what_came_after_the_close(server: Any, spans: Any) -> None:
    """The span ends at the close's own time, but it is exported when the application has returned."""
    run(misbehaved, server, spans.provider)

    last = spans.named("websocket.transition")[-1]
    assert last.attributes["acceptfirst.signature"] == "CAGDSZ"
    assert last.attributes["acceptfirst.close.code"] == 1001
    assert last.attributes["acceptfirst.close.initiator"] == "client"


def test_spans_join_the_trace_that_the_client_names(server: Any, spans: Any) -> None:
    """A sampled traceparent header is the parent of the handshake."""
    run(healthy, server, spans.provider, headers=[(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")])

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.context.trace_id == int("a" * 32, 16)
    assert handshake.parent.span_id == int("b" * 16, 16)


def test_parent_that_was_not_sampled_is_linked_and_silences_nothing(server: Any, spans: Any) -> None:
    """The spans start a trace of their own."""
    run(misbehaved, server, spans.provider, headers=[(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00")])

    (handshake,) = spans.named("websocket.handshake")
    assert handshake.context.trace_id != int("a" * 32, 16)
    assert [link.context.span_id for link in handshake.links] == [int("b" * 16, 16)]
    assert spans.violations() == ["send_after_disconnect"]


def test_connection_that_was_not_drawn_exports_nothing(server: Any, spans: Any) -> None:
    """A healthy connection outside the sample costs no span."""
    run(healthy, server, spans.provider, policy=Policy(environment="testing", sample_rate=0.0))

    assert spans.exporter.get_finished_spans() == ()


def test_violation_of_a_connection_that_was_not_drawn_is_exported_with_weight_zero(server: Any, spans: Any) -> None:
    """The violation and all of its connection's spans go out; they count for no other."""
    run(misbehaved, server, spans.provider, policy=Policy(environment="testing", sample_rate=0.0))

    assert spans.violations() == ["send_after_disconnect"]
    assert len(spans.named("websocket.transition")) == 4
    assert len(spans.named("websocket.handshake")) == 1
    assert {span.attributes["acceptfirst.sample.weight"] for span in spans.exporter.get_finished_spans()} == {0.0}


def test_weights_of_a_sample_add_up_to_the_connections(server: Any, spans: Any) -> None:
    """At p = 1/4 each drawn connection stands for four."""
    run(healthy, server, spans.provider, times=400, policy=Policy(environment="testing", sample_rate=0.25))

    weights = [span.attributes["acceptfirst.sample.weight"] for span in spans.named("websocket.handshake")]
    assert set(weights) == {4.0}
    assert 200 < sum(weights) < 600  # 400 expected; 200 is 5.8 standard deviations away


def test_always_off_silences_everything(server: Any) -> None:
    """A user who switched tracing off by sampler gets no spans of ours."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run(misbehaved, server, provider)

    assert exporter.get_finished_spans() == ()


def test_disabled_sdk_silences_everything(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SDK_DISABLED`` is honoured."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run(misbehaved, server, provider)

    assert exporter.get_finished_spans() == ()


class Delegating(trace.TracerProvider):
    """A provider that is not the SDK's own type, as vendors ship them."""

    def __init__(self, inner: TracerProvider) -> None:
        self._inner = inner

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """The SDK's tracer."""
        return self._inner.get_tracer(*args, **kwargs)


def test_provider_that_is_not_the_sdks_gets_the_same_spans(server: Any, spans: Any) -> None:
    """``start_span`` with explicit times gives the same names, parents and times."""
    run(misbehaved, server, Delegating(spans.provider))

    (handshake,) = spans.named("websocket.handshake")
    assert [step[2] for step in spans.transitions()] == ["connect", "accept", "ready", "disconnect"]
    assert spans.violations() == ["send_after_disconnect"]
    assert {span.parent.span_id for span in spans.named("websocket.transition")} == {handshake.context.span_id}


def test_secrets_of_the_request_are_never_recorded(server: Any, spans: Any) -> None:
    """Headers, query strings and paths stay out of every attribute."""
    run(
        misbehaved,
        server,
        spans.provider,
        path="/ws/SECRET",
        query_string=b"token=SECRET",
        headers=[(b"cookie", b"SECRET"), (b"authorization", b"SECRET")],
    )

    recorded = "".join(str(dict(span.attributes)) for span in spans.exporter.get_finished_spans())
    assert recorded
    assert "SECRET" not in recorded
