"""Decides which spans of a connection go out, and when.

``websocket.handshake`` is the parent of the rest. Nothing is made on the handshake's own path: a transition is exported
as soon as the event loop has a moment, or with the violation or the end that comes first. Everything has the time at
which it happened; nothing is alive while a connection is open.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from acceptfirst.connection import Connection, Transition, Violation
from acceptfirst.failsafe import record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.telemetry.lifetime import run_before_the_provider_at_exit
from acceptfirst.telemetry.span_writer import ConnectionTrace, Writer, writer_for
from acceptfirst.telemetry.surroundings import with_server_span

WAITING_MAX: Final = 256
"""Connections whose transitions wait for the event loop; when there are more, all go out at once."""

_HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})


class HandshakeTracer:
    """Turns what the connections tell into spans; one for each instrumented application."""

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._given = provider
        self._provider: trace.TracerProvider | None = None
        self._writer: Writer | None = None
        # The loop that runs and its connections; replaced as a whole, for threads that have loops of their own.
        self._waiting: tuple[asyncio.AbstractEventLoop | None, list[Connection]] = (None, [])

    def transitioned(self, connection: Connection, transition: Transition) -> None:
        """Export a drawn connection's transition as soon as the loop has a moment; the last waits for ``finished``."""
        if not transition.sequence:  # in the application's first receive or send, so that who is in between shows
            connection.surroundings = with_server_span(connection.surroundings)
        if connection.trace is None:
            if not connection.drawn:
                return
            self._begin(connection)
        self._export_soon(connection)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """Export a violation, and for its sake all that a connection that was not drawn has kept back."""
        if connection.trace is None:
            self._begin(connection)
        self._export(connection)
        writer = self._current_writer()
        if writer is not None:
            writer.violation(connection, violation)

    def finished(self, connection: Connection) -> None:
        """Export what is left: the last transition, with all that came after the close."""
        if connection.trace is not None:
            self._export(connection)

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
            if not connection.transitions:
                connection.surroundings = with_server_span(connection.surroundings)
            self._begin(connection)
        return writer.identity(connection)

    def flush(self) -> None:
        """Export what waits for the event loop."""
        self._export_all(self._waiting[1])

    def forget(self) -> None:
        """In a forked child: what waits is the parent's to export, and the provider may have changed."""
        self._waiting = (None, [])
        self._provider = self._writer = None

    @staticmethod
    def _begin(connection: Connection) -> None:
        """From now on everything goes out; one that was not drawn counts for no other, only for its violation."""
        weight = 1.0 / connection.policy.sample_rate if connection.drawn else 0.0
        connection.trace = ConnectionTrace(weight)

    def _export_soon(self, connection: Connection) -> None:
        state: ConnectionTrace = connection.trace
        if state.waits:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # trio: nobody to call back
            self._export(connection)
            return
        state.waits = True
        waiting = self._waiting
        if waiting[0] is not loop:
            self._waiting = waiting = (loop, [])
        connections = waiting[1]
        if not connections:
            loop.call_soon(self._export_all, connections)
        connections.append(connection)
        if len(connections) >= WAITING_MAX:
            self._export_all(connections)

    def _export_all(self, connections: list[Connection]) -> None:
        waiting = connections[:]
        connections.clear()
        for connection in waiting:
            try:
                connection.trace.waits = False
                self._export(connection)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep back the others
                record_failure("HandshakeTracer._export", error)

    def _export(self, connection: Connection) -> None:
        """Export each transition that has not been; the one into CLOSED only when the signature is complete."""
        state: ConnectionTrace = connection.trace
        writer = self._current_writer()
        if writer is None:
            return
        transitions = connection.transitions
        while state.exported < len(transitions):
            transition = transitions[state.exported]
            if transition.new is State.CLOSED and not connection.finished:
                break
            state.exported += 1
            writer.transition(connection, transition)
        if not state.handshake_done and connection.state in _HANDSHAKE_OVER:
            state.handshake_done = True
            ended_ns = next(t.left_ns for t in transitions if t.new in _HANDSHAKE_OVER)
            writer.handshake(connection, ended_ns)

    def _current_writer(self) -> Writer | None:
        """The writer of the provider that is in force now: an application may set its own after it was instrumented."""
        provider = self.provider()
        if provider is not self._provider:
            self._provider = provider
            self._writer = writer_for(provider)
            run_before_the_provider_at_exit()
        return self._writer
