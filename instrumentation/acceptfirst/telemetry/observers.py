"""Who is told about connections: spans, metrics, detector, log, watchers, each kept apart from the others' failures."""

from __future__ import annotations

from collections.abc import Callable

from acceptfirst.connection import Connection, Violation
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.diagnosis.violation_log import ViolationLog
from acceptfirst.diagnosis.watchers import watchers
from acceptfirst.failsafe import record_failure
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.next_moment import NextMoment
from acceptfirst.telemetry.tracing import HandshakeTracer


class Telemetry:
    """Tells spans, metrics, detector, log and watchers; one that fails does not keep the others from hearing.

    Transitions are told when the event loop has a moment, or with the violation or the end that comes first.
    """

    def __init__(self, tracer: HandshakeTracer, meter: HandshakeMeter, detector: RaceConditionDetector) -> None:
        self._tracer = tracer
        self._meter = meter
        self._detector = detector
        self._soon = NextMoment(self._tell_transitions)
        self.moved = self._soon.add
        self.log = ViolationLog()

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""
        connection.metered = self._meter.is_heard()
        if connection.metered:
            _told(self._meter.opened, connection)
        self._soon.add(connection)
        for watcher in watchers():
            _told(watcher.opened, connection)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""
        self._tell_transitions(connection)
        details = {"connection": connection.id.hex(), "signature": str(connection.signature), "route": connection.route}
        _told(self._tracer.violated, connection, violation)
        if connection.metered:
            _told(self._meter.violated, connection, violation)
        for detector in self._detectors_of(connection):
            _told(detector.add_detected_pattern, violation.pattern.name, violation.pattern.severity, details)
        _told(self.log.violated, connection, violation)
        for watcher in watchers():
            _told(watcher.violated, connection, violation)

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""
        self._tell_transitions(connection)
        self._soon.done(connection)
        if connection.metered:
            _told(self._meter.finished, connection)

    def _detectors_of(self, connection: Connection) -> tuple[RaceConditionDetector, ...]:
        """The process's, and the one that the connection's coordinator keeps for itself."""
        own = getattr(connection.coordinator, "detector", None)
        if not isinstance(own, RaceConditionDetector) or own is self._detector:
            return (self._detector,)
        return (own,) if own.reports_to is self._detector else (self._detector, own)

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
