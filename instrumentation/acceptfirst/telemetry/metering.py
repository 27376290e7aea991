"""The counters that a dashboard needs when spans are sampled: through the metrics API, one set a process."""

from __future__ import annotations

from typing import Final

from opentelemetry import metrics

from acceptfirst.connection import Connection, Transition, Violation
from acceptfirst.lifecycle import ApplicationConnectionState as State

_NS_PER_S: Final = 1_000_000_000
_HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})
_HANDSHAKING: Final = frozenset({State.INITIALIZING, State.HANDSHAKE_PENDING, State.CONNECTED})

_DEAF: Final = frozenset({"_ProxyMeterProvider", "NoOpMeterProvider"})
"""Providers of the API that drop everything: what stands there until somebody sets one."""


class HandshakeMeter:
    """Counts what the connections tell; names, units and meanings are those of the design's telemetry contract."""

    def __init__(self, provider: metrics.MeterProvider | None) -> None:
        self._given = provider
        self._seen: metrics.MeterProvider | None = None
        self._heard = False
        meter = (provider or metrics.get_meter_provider()).get_meter("acceptfirst")
        self._handshakes = meter.create_counter(
            "acceptfirst.handshakes", "{handshake}", "Handshakes that ended, by outcome"
        )
        self._duration = meter.create_histogram("acceptfirst.handshake.duration", "s", "Connect delivered to ready")
        self._handshakes_open = meter.create_up_down_counter(
            "acceptfirst.handshakes.open", "{handshake}", "Handshakes under way"
        )
        self._connections_open = meter.create_up_down_counter(
            "acceptfirst.connections.open", "{connection}", "Connections under way"
        )
        self._violations = meter.create_counter("acceptfirst.violations", "{violation}", "Violations, by pattern")
        self._held = meter.create_counter("acceptfirst.gate.held", "{message}", "Messages that hold kept back")
        self._wait = meter.create_histogram("acceptfirst.gate.wait", "s", "The longest wait at the gate, a connection")
        self._early = meter.create_counter("acceptfirst.messages.early", "{message}", "Messages before readiness")

    def is_heard(self) -> bool:
        """Whether anybody takes measurements now; asked once for each connection, so that its ups have their downs."""
        provider = self._given or metrics.get_meter_provider()
        if provider is not self._seen:
            self._seen = provider
            self._heard = type(provider).__name__ not in _DEAF
        return self._heard

    def opened(self, connection: Connection) -> None:
        """One more connection, one more handshake."""
        attributes = {"acceptfirst.environment": connection.policy.environment}
        self._connections_open.add(1, attributes)
        self._handshakes_open.add(1, attributes)

    def transitioned(self, connection: Connection, transition: Transition) -> None:
        """A handshake that is over is counted by its outcome; one that got ready is timed as well."""
        if transition.old not in _HANDSHAKING or transition.new not in _HANDSHAKE_OVER:
            return
        environment = {"acceptfirst.environment": connection.policy.environment}
        self._handshakes_open.add(-1, environment)
        attributes = {**environment, "http.route": connection.route}
        self._handshakes.add(1, {**attributes, "acceptfirst.handshake.outcome": connection.outcome})
        if transition.new is State.READY_FOR_MESSAGES:
            started_ns = connection.moments.get("C", connection.started_ns)
            self._duration.record((transition.left_ns - started_ns) / _NS_PER_S, attributes)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """One violation."""
        self._violations.add(
            1,
            {
                "acceptfirst.environment": connection.policy.environment,
                "http.route": connection.route,
                "acceptfirst.pattern.type": violation.pattern.name,
            },
        )

    def finished(self, connection: Connection) -> None:
        """One connection less, and the messages that came too early on it."""
        environment = {"acceptfirst.environment": connection.policy.environment}
        self._connections_open.add(-1, environment)
        if connection.messages_early:
            self._early.add(connection.messages_early, {**environment, "http.route": connection.route})
        if connection.gate is not None and connection.gate.held:
            attributes = {**environment, "http.route": connection.route}
            self._held.add(connection.gate.held, attributes)
            self._wait.record(connection.gate.longest_wait_ms / 1000, attributes)
