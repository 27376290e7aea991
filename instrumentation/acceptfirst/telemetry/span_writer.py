"""Writes the spans of connections to a tracer provider.

Where the provider is the SDK's, finished spans go straight to its processors (ADR 0003): the sampler, which would judge
each span alone, is not asked; ``OTEL_SDK_DISABLED`` and ``always_off`` still silence everything. Any other provider is
given ``start_span`` and ``end`` with explicit times.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from acceptfirst.connection import Connection, Transition, Violation
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.telemetry.span_attributes import (
    FAILED_OUTCOMES,
    HANDSHAKE_SPAN,
    TRANSITION_SPAN,
    VIOLATION_SPAN,
    Attributes,
    closing,
    common_attributes,
    handshake_attributes,
    transition_attributes,
    violation_attributes,
)
from acceptfirst.telemetry.span_limits import AttributeLimits
from acceptfirst.telemetry.surroundings import surrounding_context

SCOPE_NAME: Final = "acceptfirst"
_ERROR: Final = Status(StatusCode.ERROR)


class ConnectionTrace:
    """What has been exported of a connection, and under which identity.

    Attributes:
        weight: how many connections this one stands for.
        waits: whether its transitions wait for the event loop.
        exported: how many transitions have gone out.
        handshake_done: whether the handshake span has.
        parentage: the identity, once there is one; the writer's own affair.
        live: the handshake span, where the provider must start it before its children.
    """

    __slots__ = ("_common", "_common_of", "exported", "handshake_done", "live", "parentage", "waits", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.waits = False
        self.exported = 0
        self.handshake_done = False
        self.parentage: Any = None
        self.live: trace.Span | None = None
        self._common: Attributes = {}
        self._common_of: tuple[Any, ...] = ()

    def common(self, connection: Connection) -> Attributes:
        """What every span says; one dictionary for as long as it stays true, since spans keep it."""
        current = (connection.policy, connection.route, connection.attempt, connection.user_hash)
        if current != self._common_of:
            self._common = common_attributes(connection, self.weight)
            self._common_of = current
        return self._common


class Writer(Protocol):
    """Writes finished spans somewhere."""

    def handshake(self, connection: Connection, ended_ns: int) -> None:
        """Write the handshake span."""

    def transition(self, connection: Connection, transition: Transition) -> None:
        """Write a transition span."""

    def violation(self, connection: Connection, violation: Violation) -> None:
        """Write a violation span."""

    def identity(self, connection: Connection) -> SpanContext:
        """The identity of the handshake span, written or not."""


def writer_for(provider: Any) -> Writer | None:
    """The writer that suits a provider, ``None`` where nobody listens."""
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


def _started_ns(connection: Connection) -> int:
    return connection.moments.get("C", connection.started_ns)


def _parent(connection: Connection) -> tuple[SpanContext | None, tuple[Link, ...]]:
    """The parent of the handshake span and its links: one that was not sampled is linked to instead of joined."""
    parent = surrounding_context(connection.surroundings, connection.scope)
    if parent is not None and not parent.trace_flags.sampled:
        return None, (Link(parent),)
    return parent, ()


class ProcessorWriter:
    """Hands finished spans to the SDK's processors."""

    def __init__(self, provider: Any) -> None:
        # Imported here because an application without the SDK must be able to import acceptfirst.
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        from acceptfirst.telemetry import finished_span  # noqa: PLC0415

        self._span_type = finished_span.FinishedSpan
        self._parentage_type = finished_span.Parentage
        self._origin = finished_span.Origin(
            finished_span.ResourceHashedOnce(provider.resource),
            InstrumentationScope(SCOPE_NAME),
            AttributeLimits.of(provider),
        )
        self._provider = provider
        self._ids = provider.id_generator

    def handshake(self, connection: Connection, ended_ns: int) -> None:
        """See ``Writer``."""
        outcome = connection.outcome
        values = (connection.trace.common(connection), outcome, connection.error_type)
        parentage = self._parentage(connection)
        times = (_started_ns(connection), ended_ns)
        span_id = parentage.handshake_span_id
        failed = outcome in FAILED_OUTCOMES
        self._end((self._origin, parentage, HANDSHAKE_SPAN, span_id, times, handshake_attributes, values, failed))

    def transition(self, connection: Connection, transition: Transition) -> None:
        """See ``Writer``."""
        closed = closing(connection) if transition.new is State.CLOSED else None
        values = (connection.trace.common(connection), transition, connection.delay_applied_ms, closed)
        times = (transition.entered_ns, transition.left_ns)
        parentage = self._parentage(connection)
        span_id = self._ids.generate_span_id()
        self._end((self._origin, parentage, TRANSITION_SPAN, span_id, times, transition_attributes, values, False))

    def violation(self, connection: Connection, violation: Violation) -> None:
        """See ``Writer``; what it says is made at once, since the connection goes on."""
        attributes = violation_attributes(connection.trace.common(connection), connection, violation)
        times = (violation.caused_ns, violation.at_ns)
        parentage = self._parentage(connection)
        span_id = self._ids.generate_span_id()
        self._end((self._origin, parentage, VIOLATION_SPAN, span_id, times, dict, attributes, True))

    def identity(self, connection: Connection) -> SpanContext:
        """See ``Writer``."""
        identity: SpanContext = self._parentage(connection).handshake
        return identity

    def _end(self, kept: Any) -> None:
        self._provider._active_span_processor.on_end(self._span_type(kept))  # noqa: SLF001 - the SDK has no public way in for a finished span

    def _parentage(self, connection: Connection) -> Any:
        state: ConnectionTrace = connection.trace
        if state.parentage is None:
            parent, links = _parent(connection)
            trace_id = parent.trace_id if parent else self._ids.generate_trace_id()
            state.parentage = self._parentage_type(trace_id, self._ids.generate_span_id(), parent, links)
        return state.parentage


class TracerWriter:
    """Writes through any provider's tracer, which must start the handshake span before its children."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def handshake(self, connection: Connection, ended_ns: int) -> None:
        """See ``Writer``."""
        span = self._handshake_span(connection)
        outcome = connection.outcome
        values = (connection.trace.common(connection), outcome, connection.error_type)
        span.set_attributes(handshake_attributes(values))
        if outcome in FAILED_OUTCOMES:
            span.set_status(_ERROR)
        span.end(end_time=max(_started_ns(connection), ended_ns))

    def transition(self, connection: Connection, transition: Transition) -> None:
        """See ``Writer``."""
        closed = closing(connection) if transition.new is State.CLOSED else None
        values = (connection.trace.common(connection), transition, connection.delay_applied_ms, closed)
        times = (transition.entered_ns, transition.left_ns)
        self._child(connection, TRANSITION_SPAN, times, transition_attributes(values))

    def violation(self, connection: Connection, violation: Violation) -> None:
        """See ``Writer``."""
        attributes = violation_attributes(connection.trace.common(connection), connection, violation)
        times = (violation.caused_ns, violation.at_ns)
        self._child(connection, VIOLATION_SPAN, times, attributes, _ERROR)

    def identity(self, connection: Connection) -> SpanContext:
        """See ``Writer``."""
        return self._handshake_span(connection).get_span_context()

    def _child(
        self,
        connection: Connection,
        name: str,
        times: tuple[int, int],
        attributes: Attributes,
        status: Status | None = None,
    ) -> None:
        parent = trace.set_span_in_context(self._handshake_span(connection))
        span = self._tracer.start_span(name, context=parent, attributes=attributes, start_time=times[0])
        if status is not None:
            span.set_status(status)
        span.end(end_time=max(times))

    def _handshake_span(self, connection: Connection) -> trace.Span:
        """The handshake span, started at the first call and ended by ``handshake``."""
        state: ConnectionTrace = connection.trace
        if state.live is None:
            parent, links = _parent(connection)
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent)) if parent else Context()
            state.live = self._tracer.start_span(
                HANDSHAKE_SPAN, context=context, links=links, start_time=_started_ns(connection)
            )
        return state.live
