"""Who is told about connections: the spans, the metrics and the detector, each kept apart from the others' failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.trace import SpanContext

from acceptfirst.connection import Connection, Transition, Violation
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.telemetry.lifetime import look_after
from acceptfirst.telemetry.metering import HandshakeMeter
from acceptfirst.telemetry.tracing import HandshakeTracer


class Telemetry:
    """Tells the spans, the metrics and the detector; one that fails does not keep the others from hearing."""

    def __init__(self, tracer: HandshakeTracer, meter: HandshakeMeter, detector: RaceConditionDetector) -> None:
        self._tracer = tracer
        self._meter = meter
        self._detector = detector
        self._closed: set[Connection] = set()  # and not finished: their last transition has yet to go out
        meter.identify = tracer.identify
        look_after(self)

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""
        connection.metered = self._meter.is_heard()
        if connection.metered:
            _told(self._meter.opened, connection)

    def transitioned(self, connection: Connection, transition: Transition) -> None:
        """See ``Observers``."""
        if transition.new is State.CLOSED:
            self._closed.add(connection)
        _told(self._tracer.transitioned, connection, transition)
        if connection.metered:
            _told(self._meter.transitioned, connection, transition)

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""
        details = {"connection": connection.id.hex(), "signature": str(connection.signature), "route": connection.route}
        _told(self._tracer.violated, connection, violation)
        if connection.metered:
            _told(self._meter.violated, connection, violation)
        _told(self._detector.add_detected_pattern, violation.pattern.name, violation.pattern.severity, details)

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""
        self._closed.discard(connection)
        _told(self._tracer.finished, connection)
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
        for connection in list(self._closed):
            connection.finish()
        self._tracer.flush()

    def forget(self) -> None:
        """See ``Outlet``."""
        self._closed.clear()
        self._tracer.forget()

    def providers(self) -> Iterable[Any]:
        """See ``Outlet``."""
        return self._tracer.provider(), self._meter.provider()


def _told(listener: Callable[..., object], *news: object) -> None:
    try:
        listener(*news)
    except Exception as error:  # noqa: BLE001 - ours must never reach the application
        record_failure(listener.__qualname__, error)
