"""A finished span that is spelt out when somebody reads it.

A connection makes five spans or more, in the backend's process, and what they say is for the exporter, which reads them
later and in a thread of its own. So what goes to the SDK's processors is a span that keeps the few values it will be
made of; attributes, contexts and the rest are made at the first look. A span that nobody reads costs next to nothing.

The values are settled when the span is made: whatever happens to the connection afterwards, it reads the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from acceptfirst.telemetry.span_limits import AttributeLimits

Attributes = dict[str, Any]
_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Origin(NamedTuple):
    """What every span of a provider shares."""

    resource: Resource
    scope: InstrumentationScope
    limits: AttributeLimits


class Parentage(NamedTuple):
    """What every span of a connection shares.

    Attributes:
        trace_id: of all of them.
        handshake_span_id: of the handshake span, parent of the others.
        parent: of the handshake span, where there is one.
        links: of the handshake span.
    """

    trace_id: int
    handshake_span_id: int
    parent: SpanContext | None
    links: tuple[Link, ...]

    @property
    def handshake(self) -> SpanContext:
        """The identity of the handshake span."""
        return _context(self.trace_id, self.handshake_span_id)


class ResourceHashedOnce(Resource):
    """The provider's resource with its hash kept: exporters group spans by it, and it is a hash of its JSON."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


Spell = Callable[[Any], Attributes]
"""Makes a span's attributes from the values that were kept for them."""


Kept = tuple[Origin, Parentage, str, int, tuple[int, int], Spell, Any, bool]
"""What a span will be made of: what all spans of the provider and all of the connection share; its name; its id (the
handshake's own makes it the handshake span); start and end in Unix nanoseconds; what makes its attributes, from which
values; whether the status is ERROR. None of it may change afterwards."""


class FinishedSpan(ReadableSpan):
    """See the module. ``ReadableSpan.__init__`` runs at the first look at anything but the context."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet: the fields that ``ReadableSpan``'s properties read."""
        if name == "_kept" or name.startswith("__"):
            raise AttributeError(name)
        if name == "_context":  # a processor looks at this alone, to see whether the span is sampled
            self._context = _context(self._kept[1].trace_id, self._kept[3])
            return self._context
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._spell_out()
        return self.__dict__[name]

    def _spell_out(self) -> None:
        """Two threads may do this at once: both make the same."""
        origin, parentage, name, span_id, times, spell, values, failed = self._kept
        is_handshake = span_id == parentage.handshake_span_id
        super().__init__(
            name,
            context=self._context,
            parent=parentage.parent if is_handshake else parentage.handshake,
            resource=origin.resource,
            attributes=origin.limits.apply(spell(values)),
            links=parentage.links if is_handshake else (),
            kind=SpanKind.INTERNAL,
            status=_ERROR if failed else _UNSET,
            start_time=times[0],
            end_time=max(times),
            instrumentation_scope=origin.scope,
        )


_FIELDS: Final = frozenset(vars(ReadableSpan("")))


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)
