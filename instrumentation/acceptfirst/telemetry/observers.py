"""Who is told about connections: spans, metrics, detector, log, watchers, each kept apart from the others' failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.trace import SpanContext

from acceptfirst.connection import Connection
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.diagnosis import watchers
from acceptfirst.diagnosis.violation_log import ViolationLog
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import Violation
from acceptfirst.open_connections import OpenConnections
from acceptfirst.telemetry.lifetime import look_after
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.next_moment import NextMoment
from acceptfirst.telemetry.tracing import HandshakeTracer


class Telemetry(NextMoment):
    """Tells spans, metrics, detector, log and watchers; one that fails does not keep the others from hearing.

    Transitions are told when the event loop has a moment, or with the violation or the end that comes first.

    Attributes:
        open_connections: those that were still open when there was a moment for them.
        log: where violations are written for people.
    """

    def __init__(self, tracer: HandshakeTracer, meter: HandshakeMeter, detector: RaceConditionDetector) -> None:
        self._tracer = tracer
        self._meter = meter
        self._detector = detector
        super().__init__()
        self._closed: set[Connection] = set()  # and not finished: their last transition has yet to go out
        self.open_connections = OpenConnections()
        self.log = ViolationLog()
        meter.identify = tracer.identify
        look_after(self)

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""
        if self._meter.is_heard():
            connection.metered = True
            _told(self._meter.opened, connection)
        self.look_after_soon(connection)
        for watcher in watchers.watching:
            _told(watcher.opened, connection)

    def moved(self, connection: Connection) -> None:
        """See ``Observers``."""
        self.look_after_soon(connection)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""
        self.look_after(connection)
        details = {"connection": connection.id.hex(), "signature": connection.signature, "route": connection.route}
        _told(self._tracer.violated, connection, violation)
        if connection.metered:
            _told(self._meter.violated, connection, violation)
        for detector in self._detectors_of(connection):
            _told(detector.add_detected_pattern, violation.pattern.name, violation.pattern.severity, details)
        _told(self.log.violated, connection, violation)
        for watcher in watchers.watching:
            _told(watcher.violated, connection, violation)

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""
        self.looked_after(connection)
        if connection.was_attended:
            self._closed.discard(connection)
        self._tell_transitions(connection)
        if connection.metered:
            _told(self._meter.finished, connection)

    def withdrawn(self, connection: Connection) -> None:
        """Another middleware observes this connection: it was never ours."""
        if connection.metered:
            _told(self._meter.withdrawn, connection)

    @failsafe
    def identify(self, connection: Connection) -> SpanContext | None:
        """The identity of the connection's handshake span, ``None`` where nothing of it is exported."""
        return self._tracer.identify(connection)

    def flush(self) -> None:
        """See ``Outlet``: a connection that is closed is finished, though something may still have come after it."""
        self.look_after_all_now()
        for connection in list(self._closed):
            connection.finish()

    def forget(self) -> None:
        """See ``Outlet``."""
        self._closed.clear()
        self.forget_waiting()
        self._tracer.forget()

    def providers(self) -> Iterable[Any]:
        """See ``Outlet``."""
        return self._tracer.provider(), self._meter.provider()

    def _detectors_of(self, connection: Connection) -> tuple[RaceConditionDetector, ...]:
        """The process's, and the one that the connection's coordinator keeps for itself."""
        own = getattr(connection.coordinator, "detector", None)
        if not isinstance(own, RaceConditionDetector) or own is self._detector:
            return (self._detector,)
        return (own,) if own.reports_to is self._detector else (self._detector, own)

    def look_after(self, connection: Connection) -> None:
        """Tell its transitions."""
        if connection.observers is not self:
            return  # withdrawn while it waited
        if not connection.finished:
            if not connection.was_attended:
                self.open_connections.add(connection)
            if connection.state is State.CLOSED:
                self._closed.add(connection)
        self._tell_transitions(connection)

    def _tell_transitions(self, connection: Connection) -> None:
        if connection.metered or not connection.finished:  # else nothing is left to be seen to, nor to be counted
            told_before = connection.attended()
        if connection.drawn or connection.trace is not None:
            try:
                self._tracer.export(connection)
            except Exception as error:  # noqa: BLE001 - as in ``_told``, without the call
                record_failure("HandshakeTracer.export", error)
        if connection.metered:
            for transition in connection.transitions[told_before:]:
                _told(self._meter.transitioned, connection, transition)


def _told(listener: Callable[..., object], *news: object) -> None:
    try:
        listener(*news)
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure(listener.__qualname__, error)
