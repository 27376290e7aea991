"""Who is told about connections: the spans, the metrics and the detector, each kept apart from the others' failures."""

from __future__ import annotations

from collections.abc import Callable

from acceptfirst.connection import Connection, Violation
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.failsafe import record_failure
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.next_moment import NextMoment
from acceptfirst.telemetry.tracing import HandshakeTracer


class Telemetry:
    """Tells the spans, the metrics and the detector; one that fails does not keep the others from hearing.

    Transitions are told when the event loop has a moment, or with the violation or the end that comes first.
    """

    def __init__(self, tracer: HandshakeTracer, meter: HandshakeMeter, detector: RaceConditionDetector) -> None:
        self._tracer = tracer
        self._meter = meter
        self._detector = detector
        self._soon = NextMoment(self._tell_transitions)
        self.moved = self._soon.add

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""
        connection.metered = self._meter.is_heard()
        if connection.metered:
            _told(self._meter.opened, connection)
        self._soon.add(connection)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""
        self._tell_transitions(connection)
        details = {"connection": connection.id.hex(), "signature": str(connection.signature), "route": connection.route}
        _told(self._tracer.violated, connection, violation)
        if connection.metered:
            _told(self._meter.violated, connection, violation)
        _told(self._detector.add_detected_pattern, violation.pattern.name, violation.pattern.severity, details)

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""
        self._tell_transitions(connection)
        self._soon.done(connection)
        if connection.metered:
            _told(self._meter.finished, connection)

    def _tell_transitions(self, connection: Connection) -> None:
        transitions = connection.attended()
        try:
            self._tracer.export(connection)
        except Exception as error:  # noqa: BLE001 - as in ``_told``, without the call
            record_failure("HandshakeTracer.export", error)
        if connection.metered:
            for transition in transitions:
                _told(self._meter.transitioned, connection, transition)


def _told(listener: Callable[..., object], *news: object) -> None:
    try:
        listener(*news)
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure(listener.__qualname__, error)
