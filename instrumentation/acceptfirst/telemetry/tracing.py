"""Makes the three spans of a connection, after the fact, with the times at which things happened.

``websocket.handshake`` is the parent of the rest. Where the provider is the SDK's, finished spans go straight to its
processors: nothing is alive while a connection is open, and the sampler (which would judge each span alone) is not
asked; ``OTEL_SDK_DISABLED`` and ``always_off`` still silence everything. Any other provider gets ``start_span`` and
``end`` with explicit times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from acceptfirst.asgi import Scope
from acceptfirst.connection import Connection, Transition, Violation
from acceptfirst.diagnosis.note import evidence_text
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.signature import SIGNATURE_VERSION

SCOPE_NAME: Final = "acceptfirst"
HANDSHAKE_SPAN: Final = "websocket.handshake"
TRANSITION_SPAN: Final = "websocket.transition"
VIOLATION_SPAN: Final = "websocket.violation"

Attributes = dict[str, Any]

_HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})
_FAILED_OUTCOMES: Final = frozenset({"failed", "timed_out"})


class ConnectionTrace:
    """Which trace a connection belongs to and what of it has been exported."""

    __slots__ = ("exported", "exporting", "handshake", "handshake_done", "links", "live_handshake", "parent", "weight")

    def __init__(self, parent: SpanContext | None) -> None:
        self.parent = parent
        self.links: list[Link] = []
        self.handshake: SpanContext | None = None
        self.live_handshake: trace.Span | None = None
        self.handshake_done = False
        self.exporting = False
        self.exported = 0  # how many transitions have gone out
        self.weight = 0.0


class Writer(Protocol):
    """Writes one finished span somewhere."""

    def handshake_context(self, connection_trace: ConnectionTrace, started_ns: int) -> SpanContext:
        """The identity of the handshake span, settled before it is written, since its children refer to it."""

    def handshake(
        self, connection_trace: ConnectionTrace, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """Write the handshake span."""

    def child(
        self, name: str, parent: SpanContext, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """Write a child of the handshake span."""


def surrounding_context(scope: Scope) -> SpanContext | None:
    """The span that this connection belongs under: the one around us, else the one the client's headers name."""
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        return current
    carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope.get("headers", ()) if k in _TRACE_HEADERS}
    if not carrier:
        return None
    remote = trace.get_current_span(propagate.extract(carrier)).get_span_context()
    return remote if remote.is_valid else None


_TRACE_HEADERS: Final = frozenset(
    {b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"}
)


class HandshakeTracer:
    """Turns what the connections tell into spans; one for each instrumented application."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._given = provider
        self._provider: trace.TracerProvider | None = None
        self._writer: Writer | None = None

    def transitioned(self, connection: Connection, transition: Transition) -> None:
        """Export the transition of a drawn connection at once; the last one waits for ``finished``."""
        if connection.drawn and not connection.trace.exporting:
            self._begin(connection)
        self._export_transitions(connection)
        if transition.new in _HANDSHAKE_OVER:
            self._export_handshake(connection)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """Export a violation, and for its sake all that a connection that was not drawn has kept back."""
        if not connection.trace.exporting:
            self._begin(connection)
            self._export_transitions(connection)
            if connection.state in _HANDSHAKE_OVER:
                self._export_handshake(connection)
        attributes = _common(connection) | {
            "acceptfirst.pattern.type": violation.pattern.name,
            "acceptfirst.pattern.severity": violation.pattern.severity,
            "acceptfirst.pattern.evidence": evidence_text(connection, violation.pattern),
            "acceptfirst.signature": str(connection.signature),
            "acceptfirst.signature.version": SIGNATURE_VERSION,
            "error.type": violation.pattern.name,
        }
        self._child(
            connection, VIOLATION_SPAN, (violation.caused_ns, violation.at_ns), attributes, Status(StatusCode.ERROR)
        )

    def finished(self, connection: Connection) -> None:
        """Export what is left: the last transition, with all that came after the close."""
        self._export_transitions(connection, last=True)

    @staticmethod
    def _begin(connection: Connection) -> None:
        """From now on everything goes out; one that was not drawn counts for no other, only for its violation."""
        connection.trace.exporting = True
        connection.trace.weight = 1.0 / connection.policy.sample_rate if connection.drawn else 0.0

    def _export_transitions(self, connection: Connection, *, last: bool = False) -> None:
        state = connection.trace
        if not state.exporting:
            return
        while state.exported < len(connection.transitions):
            transition = connection.transitions[state.exported]
            if transition.new is State.CLOSED and not (last or connection.finished):
                return
            state.exported += 1
            self._child(
                connection,
                TRANSITION_SPAN,
                (transition.entered_ns, transition.left_ns),
                _transition_attributes(connection, transition),
                Status(StatusCode.UNSET),
            )

    def _export_handshake(self, connection: Connection) -> None:
        state = connection.trace
        writer = self._current_writer()
        if writer is None or not state.exporting or state.handshake_done:
            return
        state.handshake_done = True
        started_ns = connection.moments.get("C", connection.started_ns)
        writer.handshake_context(state, started_ns)
        outcome = connection.outcome
        attributes = _common(connection) | {"acceptfirst.handshake.outcome": outcome}
        failed = outcome in _FAILED_OUTCOMES
        if failed and connection.error_type is not None:
            attributes["error.type"] = connection.error_type
        status = Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET)
        ended_ns = next(t.left_ns for t in connection.transitions if t.new in _HANDSHAKE_OVER)
        writer.handshake(state, (started_ns, ended_ns), attributes, status)

    def _child(
        self, connection: Connection, name: str, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        writer = self._current_writer()
        if writer is not None:
            parent = writer.handshake_context(connection.trace, connection.moments.get("C", connection.started_ns))
            writer.child(name, parent, times, attributes, status)

    def _current_writer(self) -> Writer | None:
        """The writer of the provider that is in force now: an application may set its own after it was instrumented."""
        provider = self._given or trace.get_tracer_provider()
        if provider is not self._provider:
            self._provider = provider
            self._writer = _writer(provider)
        return self._writer


def _common(connection: Connection) -> Attributes:
    policy = connection.policy
    attributes: Attributes = {
        "acceptfirst.connection.id": connection.id.hex(),
        "acceptfirst.environment": policy.environment,
        "http.route": connection.route,
        "acceptfirst.attempt": connection.attempt,
        "acceptfirst.readiness.mode": connection.readiness_mode,
        "acceptfirst.gate": connection.gate_mode,
        "acceptfirst.policy.version": policy.version,
        "acceptfirst.policy.arm": "baseline",
        "acceptfirst.sample.weight": connection.trace.weight,
    }
    if connection.user_hash is not None:
        attributes["acceptfirst.user.hash"] = connection.user_hash
    return attributes


def _transition_attributes(connection: Connection, transition: Transition) -> Attributes:
    attributes = _common(connection) | {
        "acceptfirst.state.from": str(transition.old),
        "acceptfirst.state.to": str(transition.new),
        "acceptfirst.transition.sequence": transition.sequence,
        "acceptfirst.transition.trigger": str(transition.trigger),
        "acceptfirst.delay.applied_ms": connection.delay_applied_ms,
    }
    if transition.new is State.CLOSED:
        attributes |= _closing_attributes(connection)
    return attributes


def _closing_attributes(connection: Connection) -> Attributes:
    evidence = connection.evidence()
    first_message_ns = connection.moments.get("R")
    optional: Attributes = {
        "acceptfirst.close.code": connection.close_code,
        "acceptfirst.dwell_ms": evidence.dwell_ms,
        "acceptfirst.idle_ms": evidence.idle_ms,
        "acceptfirst.first_message_ms": None
        if first_message_ns is None
        else connection.since_ms("C", first_message_ns),
        "error.type": connection.error_type,
        "acceptfirst.error.kind": connection.error_kind,
    }
    phases = {f"acceptfirst.phase.{name}.duration_ms": ms for name, ms in connection.phases_ms.items()}
    return {
        "acceptfirst.signature": evidence.signature,
        "acceptfirst.signature.version": SIGNATURE_VERSION,
        "acceptfirst.close.initiator": connection.close_initiator,
        "acceptfirst.messages.received": connection.messages_received,
        "acceptfirst.messages.sent": connection.messages_sent,
        "acceptfirst.messages.early": connection.messages_early,
        **{key: value for key, value in optional.items() if value is not None},
        **phases,
    }


def _writer(provider: trace.TracerProvider) -> Writer | None:
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None  # nobody has set a provider, or somebody has set none
    if not any(cls.__module__.startswith("opentelemetry.sdk.") for cls in type(provider).__mro__):
        return TracerWriter(provider.get_tracer(SCOPE_NAME))
    if getattr(provider, "_disabled", False) or _samples_nothing(provider):
        return None
    return ProcessorWriter(provider)


def _samples_nothing(provider: Any) -> bool:
    """Whether the user switched tracing off by sampler; a parent-based one names its root first."""
    description: str = provider.sampler.get_description()
    return description.removeprefix("ParentBased{root:").startswith("AlwaysOffSampler")


class ProcessorWriter:
    """Hands finished spans to the SDK's processors."""

    def __init__(self, provider: Any) -> None:
        # Imported here because an application without the SDK must be able to import acceptfirst.
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        self._span_type = ReadableSpan
        self._scope = InstrumentationScope(SCOPE_NAME)
        self._provider = provider

    def handshake_context(self, connection_trace: ConnectionTrace, started_ns: int) -> SpanContext:
        """See ``Writer``; a parent that was not sampled is linked to instead of joined."""
        del started_ns
        if connection_trace.handshake is None:
            ids = self._provider.id_generator
            parent = connection_trace.parent
            if parent is not None and not parent.trace_flags.sampled:
                connection_trace.links.append(Link(parent))
                parent = connection_trace.parent = None
            trace_id = parent.trace_id if parent else ids.generate_trace_id()
            connection_trace.handshake = _sampled(trace_id, ids.generate_span_id())
        return connection_trace.handshake

    def handshake(
        self, connection_trace: ConnectionTrace, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """See ``Writer``."""
        context = self.handshake_context(connection_trace, times[0])
        identity = (HANDSHAKE_SPAN, context, connection_trace.parent)
        self._end(identity, times, attributes, status, connection_trace.links)

    def child(
        self, name: str, parent: SpanContext, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """See ``Writer``."""
        context = _sampled(parent.trace_id, self._provider.id_generator.generate_span_id())
        self._end((name, context, parent), times, attributes, status)

    def _end(
        self,
        identity: tuple[str, SpanContext, SpanContext | None],
        times: tuple[int, int],
        attributes: Mapping[str, Any],
        status: Status,
        links: Sequence[Link] = (),
    ) -> None:
        name, context, parent = identity
        span = self._span_type(
            name,
            context=context,
            parent=parent,
            resource=self._provider.resource,
            attributes=attributes,
            links=links,
            kind=SpanKind.INTERNAL,
            status=status,
            start_time=times[0],
            end_time=max(times),
            instrumentation_scope=self._scope,
        )
        self._provider._active_span_processor.on_end(span)  # noqa: SLF001 - the SDK has no public way in for a finished span


def _sampled(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class TracerWriter:
    """Writes through any provider's tracer, which must start the handshake span before its children."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def handshake_context(self, connection_trace: ConnectionTrace, started_ns: int) -> SpanContext:
        """See ``Writer``; the span is started at the first call and ended by ``handshake``."""
        if connection_trace.handshake is None:
            parent = connection_trace.parent
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent)) if parent else None
            live = self._tracer.start_span(HANDSHAKE_SPAN, context=context, start_time=started_ns)
            connection_trace.live_handshake = live
            connection_trace.handshake = live.get_span_context()
        return connection_trace.handshake

    def handshake(
        self, connection_trace: ConnectionTrace, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """See ``Writer``."""
        span = connection_trace.live_handshake
        if span is not None:
            span.set_attributes(attributes)
            span.set_status(status)
            span.end(end_time=max(times))

    def child(
        self, name: str, parent: SpanContext, times: tuple[int, int], attributes: Attributes, status: Status
    ) -> None:
        """See ``Writer``."""
        context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        span = self._tracer.start_span(name, context=context, attributes=attributes, start_time=times[0])
        span.set_status(status)
        span.end(end_time=max(times))
