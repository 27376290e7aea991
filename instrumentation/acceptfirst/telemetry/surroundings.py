"""Which trace a connection belongs to."""

from __future__ import annotations

from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from acceptfirst.asgi import Scope


def surrounding_context(surroundings: Context | None, scope: Scope) -> SpanContext | None:
    """The span that a connection belongs under: the one around us, else the one the client's headers name.

    Args:
        surroundings: the OTel context in which the server called.
        scope: of the connection.
    """
    if surroundings:
        current = trace.get_current_span(surroundings).get_span_context()
        if current.is_valid:
            return current
    carrier = {}
    for key, value in scope.get("headers", ()):
        if key in _TRACE_HEADERS:
            carrier[key.decode("latin-1")] = value.decode("latin-1")
    if not carrier:
        return None
    remote = trace.get_current_span(propagate.extract(carrier, Context())).get_span_context()
    return remote if remote.is_valid else None


_TRACE_HEADERS: Final = frozenset(
    {b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"}
)
