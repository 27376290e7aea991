"""Which trace a connection belongs to."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind

from acceptfirst.asgi import Scope
from acceptfirst.connection import Connection
from acceptfirst.failsafe import record_failure


def surrounding_context(connection: Connection) -> SpanContext | None:
    """The span that a connection belongs under: one around us, else the server's, else the one that the headers name.

    The server's is one that a middleware inside of us has begun. When the application receives or sends for the first
    time it is the current one, or the parent of the span that this middleware makes of that receive or send.
    """
    around: Context | None = connection.surroundings
    if around:
        current = trace.get_current_span(around).get_span_context()
        if current.is_valid:
            return current
    within: Context | None = connection.first_called_in
    if within and within is not around:
        inner = _server_span(trace.get_current_span(within))
        if inner is not None and inner.is_valid:
            return inner
    return _remote_context(connection.scope)


def _server_span(span: Any) -> SpanContext | None:
    """The server's span, told from a span of the application's own by its kind or by the name of its maker."""
    identity: SpanContext = span.get_span_context()
    if getattr(span, "kind", None) is SpanKind.SERVER:
        return identity
    maker = getattr(getattr(span, "instrumentation_scope", None), "name", "")
    if maker.startswith("opentelemetry.instrumentation.") and span.name.endswith(_OF_ONE_MESSAGE):
        parent: SpanContext | None = span.parent
        return parent
    # One that was not sampled has neither kind nor maker.
    return identity if type(span) is NonRecordingSpan and identity.is_valid else None


_OF_ONE_MESSAGE: Final = (" websocket receive", " websocket send")
"""How OpenTelemetryMiddleware names its spans of single messages, children of its span of the connection."""


class _Headers(Getter[Scope]):
    """Reads the headers of a scope, which ASGI gives in lower case."""

    def get(self, carrier: Scope, key: str) -> list[str] | None:
        name = key.lower().encode("latin-1")
        values = [value.decode("latin-1") for header, value in carrier.get("headers", ()) if header == name]
        return values or None

    def keys(self, carrier: Scope) -> list[str]:
        return [header.decode("latin-1") for header, _ in carrier.get("headers", ())]


_headers: Final = _Headers()

_B3: Final = frozenset({b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"x-b3-flags"})
"""A B3 propagator reads either form and names, in its ``fields``, only the one that it writes."""


class _Known:
    """The headers that a propagator reads, worked out once for each that is set."""

    def __init__(self) -> None:
        self._of: tuple[TextMapPropagator | None, frozenset[bytes]] = (None, frozenset())

    def of(self, propagator: TextMapPropagator) -> frozenset[bytes]:
        """Their names, in lower case."""
        if self._of[0] is not propagator:
            fields = frozenset(field.lower().encode("latin-1") for field in propagator.fields)
            self._of = (propagator, fields | _B3)
        return self._of[1]


_known: Final = _Known()
_NAME_OF: Final = itemgetter(0)


def _remote_context(scope: Scope) -> SpanContext | None:
    """What the propagator in force makes of the headers; baggage is read by whoever attaches it, not here."""
    try:
        propagator = propagate.get_global_textmap()
        if _known.of(propagator).isdisjoint(map(_NAME_OF, scope.get("headers", ()))):
            return None
        extracted = propagator.extract(scope, Context(), getter=_headers)
    except Exception as error:  # noqa: BLE001 - a propagator of the user's that fails must not cost the spans
        record_failure("propagator", error)
        return None
    remote = trace.get_current_span(extracted).get_span_context()
    return remote if remote.is_valid else None
