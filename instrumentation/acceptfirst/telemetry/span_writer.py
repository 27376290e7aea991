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

from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import Violation
from acceptfirst.telemetry.span_attributes import (
    HANDSHAKE_SPAN,
    TRANSITION_SPAN,
    VIOLATION_SPAN,
    Attributes,
    Settled,
)
from acceptfirst.telemetry.surroundings import surrounding_context

SCOPE_NAME: Final = "acceptfirst"
TRANSITIONS_MAX: Final = len(State)
"""A connection never comes back to a state that it has left, so it has fewer transitions than there are states."""
_ERROR: Final = Status(StatusCode.ERROR)


class ConnectionTrace:
    """What has been exported of a connection, and under which identity.

    Attributes:
        weight: how many connections this one stands for.
        exported: how many transitions have gone out.
        handshake_done: whether the handshake span has.
        identity: what the writer gives all spans of the connection; the writer's own affair.
        violations: how many of them have gone out.
        live: the handshake span, where the provider must start it before its children.
    """

    __slots__ = ("exported", "handshake_done", "identity", "live", "violations", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.exported = 0
        self.handshake_done = False
        self.identity: Any = None
        self.violations = 0
        self.live: trace.Span | None = None


class Writer(Protocol):
    """Writes finished spans somewhere."""

    def write(self, connection: Connection, numbers: range, *, handshake: bool) -> None:
        """Write the spans of the transitions of these numbers, and that of the handshake."""

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
    parent = surrounding_context(connection)
    if parent is not None and not parent.trace_flags.sampled:
        return None, (Link(parent),)
    return parent, ()


class ProcessorWriter:
    """Hands finished spans to the SDK's processors."""

    def __init__(self, provider: Any) -> None:
        # Imported here because an application without the SDK must be able to import acceptfirst.
        from acceptfirst.telemetry import finished_span  # noqa: PLC0415

        self._kinds = finished_span
        self._origin = finished_span.origin(provider, SCOPE_NAME)
        self._provider = provider
        self._ids = provider.id_generator

    def write(self, connection: Connection, numbers: range, *, handshake: bool) -> None:
        """See ``Writer``."""
        state: ConnectionTrace = connection.trace
        settled = Settled(connection, state.weight)
        settled.identity = state.identity or self._identity(connection)
        kinds, end = self._kinds, self._provider._active_span_processor.on_end  # noqa: SLF001 - the SDK has no public way in for a finished span
        new, transition = kinds.new_span, kinds.FinishedSpan
        for number in numbers:
            span = new(transition)
            span.settled, span.number = settled, number + 1
            end(span)
        if handshake:
            span = new(kinds.FinishedHandshake)
            span.settled = settled
            end(span)

    def violation(self, connection: Connection, violation: Violation) -> None:
        """See ``Writer``."""
        state: ConnectionTrace = connection.trace
        state.violations += 1
        span = self._kinds.new_span(self._kinds.FinishedViolation)
        span.settled = settled = Settled(connection, state.weight)
        settled.identity = state.identity or self._identity(connection)
        span.number = TRANSITIONS_MAX + state.violations
        span.violation = ((violation.caused_ns, violation.at_ns), settled.violation(connection, violation))
        self._provider._active_span_processor.on_end(span)  # noqa: SLF001 - as above

    def identity(self, connection: Connection) -> SpanContext:
        """See ``Writer``."""
        identity: SpanContext = (connection.trace.identity or self._identity(connection)).context(0)
        return identity

    def _identity(self, connection: Connection) -> Any:
        parent, links = _parent(connection)
        trace_id = parent.trace_id if parent else self._ids.generate_trace_id()
        identity = self._kinds.new_identity((self._origin, trace_id, self._ids.generate_span_id(), parent, links))
        connection.trace.identity = identity
        return identity


class TracerWriter:
    """Writes through any provider's tracer, which must start the handshake span before its children."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def write(self, connection: Connection, numbers: range, *, handshake: bool) -> None:
        """See ``Writer``."""
        settled = Settled(connection, connection.trace.weight)
        for number in numbers:
            self._child(connection, TRANSITION_SPAN, settled.transition_times(number), settled.transition(number))
        if handshake:
            span = self._handshake_span(connection)
            span.set_attributes(settled.handshake())
            if settled.handshake_failed:
                span.set_status(_ERROR)
            span.end(end_time=max(settled.handshake_started_ns, settled.handshake_ended_ns or 0))

    def violation(self, connection: Connection, violation: Violation) -> None:
        """See ``Writer``."""
        attributes = Settled(connection, connection.trace.weight).violation(connection, violation)
        self._child(connection, VIOLATION_SPAN, (violation.caused_ns, violation.at_ns), attributes, _ERROR)

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
