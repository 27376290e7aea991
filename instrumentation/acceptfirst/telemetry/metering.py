"""The counters that a dashboard needs when spans are sampled: through the metrics API, one set a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import Transition, Violation

_NS_PER_S: Final = 1_000_000_000
_HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})
_HANDSHAKING: Final = frozenset({State.INITIALIZING, State.HANDSHAKE_PENDING, State.CONNECTED})

_DEAF: Final = frozenset({"_ProxyMeterProvider", "NoOpMeterProvider"})
"""Providers of the API that drop everything: what stands there until somebody sets one."""


ROUTES_MAX: Final = 200
"""Routes that are counted apart; what comes after is counted as ``_OTHER``, whatever a framework calls a template."""

_OTHER: Final = "_OTHER"


class HandshakeMeter:
    """Counts what the connections tell; names, units and meanings are those of the design's telemetry contract.

    Attributes:
        identify: tells the handshake span of a connection, which becomes the exemplar of what is measured.
    """

    def __init__(self, provider: metrics.MeterProvider | None) -> None:
        self.identify: Callable[[Connection], SpanContext | None] | None = None
        self._routes: set[str] = set()
        self._given = provider
        self._heard = False
        self._meter = meter = (provider or metrics.get_meter_provider()).get_meter("acceptfirst")
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
        # A proxy's meter waits for a provider to be set. The proxy itself reads the environment each time it is asked,
        # which takes as long as much of a handshake.
        if not self._heard and getattr(self._meter, "_real_meter", self._meter) is not None:
            provider = self.provider()
            self._heard = type(provider).__name__ not in _DEAF and not getattr(provider, "_disabled", False)
        return self._heard

    def provider(self) -> Any:
        """Where measurements go now."""
        return self._given or metrics.get_meter_provider()

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
        attributes = {**environment, "http.route": self._route(connection)}
        context = self._context(connection)
        self._handshakes.add(1, {**attributes, "acceptfirst.handshake.outcome": connection.outcome}, context)
        if transition.new is State.READY_FOR_MESSAGES:
            started_ns = connection.moments.get("C", connection.started_ns)
            self._duration.record((transition.left_ns - started_ns) / _NS_PER_S, attributes, context)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """One violation."""
        self._violations.add(
            1,
            {
                "acceptfirst.environment": connection.policy.environment,
                "http.route": self._route(connection),
                "acceptfirst.pattern.type": violation.pattern.name,
            },
            self._context(connection),
        )

    def finished(self, connection: Connection) -> None:
        """One connection less, and the messages that came too early on it."""
        environment = {"acceptfirst.environment": connection.policy.environment}
        self._connections_open.add(-1, environment)
        if connection.messages_early:
            attributes = {**environment, "http.route": self._route(connection)}
            self._early.add(connection.messages_early, attributes, self._context(connection))
        if connection.gate is not None and connection.gate.held:
            attributes = {**environment, "http.route": self._route(connection)}
            self._held.add(connection.gate.held, attributes)
            self._wait.record(connection.gate.longest_wait_ms / 1000, attributes)

    def withdrawn(self, connection: Connection) -> None:
        """Take ``opened`` back."""
        attributes = {"acceptfirst.environment": connection.policy.environment}
        self._connections_open.add(-1, attributes)
        self._handshakes_open.add(-1, attributes)

    def _route(self, connection: Connection) -> str:
        route = connection.route
        if route not in self._routes:
            if len(self._routes) >= ROUTES_MAX:
                return _OTHER
            self._routes.add(route)
        return route

    def _context(self, connection: Connection) -> Context | None:
        """The context to measure in: the connection's own span where it is exported, so that exemplars name it."""
        identity = self.identify(connection) if self.identify is not None else None
        return None if identity is None else trace.set_span_in_context(NonRecordingSpan(identity), Context())
