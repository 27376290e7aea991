"""Decides which spans of a connection go out.

``websocket.handshake`` is the parent of the rest. Everything has the time at which it happened; nothing is alive while
a connection is open.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.trace import SpanContext

from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import STEP, Violation
from acceptfirst.telemetry.lifetime import run_before_the_provider_at_exit
from acceptfirst.telemetry.span_attributes import HANDSHAKE_OVER
from acceptfirst.telemetry.span_writer import ConnectionTrace, Writer, writer_for


class HandshakeTracer:
    """Turns what the connections tell into spans; one for each instrumented application."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._given = provider
        self._provider: trace.TracerProvider | None = None
        self._writer: Writer | None = None

    def export(self, connection: Connection) -> None:
        """Export what a drawn connection has not exported; the one into CLOSED only when the signature is complete."""
        state: ConnectionTrace | None = connection.trace
        if state is None:
            if not connection.drawn:
                return
            rate = connection.policy.sample_rate
            # One in all connections where all are drawn: not a number of its own for each.
            connection.trace = state = ConnectionTrace(1.0 if rate >= 1.0 else 1.0 / rate)
        writer = self._current_writer()
        if writer is None:
            return
        steps = connection.steps
        end = len(steps) // STEP
        if not connection.finished and connection.state is State.CLOSED:
            end -= 1
        first, state.exported = state.exported, end
        handshake = not state.handshake_done and connection.state in HANDSHAKE_OVER
        if handshake:
            state.handshake_done = True
        if first < end or handshake:
            writer.write(connection, range(first, end), handshake=handshake)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """Export a violation, and for its sake all that a connection that was not drawn has kept back.

        From now on everything of it goes out, with weight 0: it counts for no other, only for its violation.
        """
        if connection.trace is None:
            connection.trace = ConnectionTrace(0.0)
            self.export(connection)
        writer = self._current_writer()
        if writer is not None:
            writer.violation(connection, violation)

    def provider(self) -> Any:
        """Where spans go now."""
        return self._given or trace.get_tracer_provider()

    def identify(self, connection: Connection) -> SpanContext | None:
        """The identity of the handshake span, also before it is exported; ``None`` where nothing goes out (yet)."""
        writer = self._current_writer()
        if writer is None:
            return None
        if connection.trace is None:
            if not connection.drawn:
                return None
            if not connection.steps:
                connection.first_called_in = get_current()  # what asks may run inside the server's span already
            connection.trace = ConnectionTrace(1.0 / connection.policy.sample_rate)
        return writer.identity(connection)

    def forget(self) -> None:
        """In a forked child: the provider may have changed."""
        self._provider = self._writer = None

    def _current_writer(self) -> Writer | None:
        """The writer of the provider that is in force now: an application may set its own after it was instrumented."""
        provider = self._given or trace.get_tracer_provider()
        if provider is not self._provider:
            self._writer = writer_for(provider)
            self._provider = provider  # only now: a provider that fails is asked again
            run_before_the_provider_at_exit()
        return self._writer
