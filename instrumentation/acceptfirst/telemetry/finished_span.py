"""A finished span that is spelt out when somebody reads it.

A connection makes five spans or more, in the backend's process, and what they say is for the exporter, which reads them
later and in a thread of its own. So what goes to the SDK's processors is a span that keeps the few values it will be
made of; attributes, contexts and the rest are made at the first look. A span that nobody reads costs next to nothing.

The values are settled when the span is made: whatever happens to the connection afterwards, it reads the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from acceptfirst.telemetry.span_attributes import (
    HANDSHAKE_SPAN,
    TRANSITION_SPAN,
    VIOLATION_SPAN,
    Attributes,
    Settled,
)
from acceptfirst.telemetry.span_limits import AttributeLimits

_ERROR: Final = Status(StatusCode.ERROR)
_UNSET: Final = Status(StatusCode.UNSET)


class Origin(NamedTuple):
    """What every span of a provider shares."""

    resource: Resource
    scope: InstrumentationScope
    limits: AttributeLimits


def origin(provider: Any, scope_name: str) -> Origin:
    """What the spans of a provider of the SDK share."""
    return Origin(
        _ResourceHashedOnce(provider.resource), InstrumentationScope(scope_name), AttributeLimits.of(provider)
    )


class Identity(NamedTuple):
    """What every span of a connection shares.

    Attributes:
        origin: what every span of the provider shares.
        trace_id: of all of them.
        span_id: of the handshake span, parent of the others; theirs are made from it.
        parent: of the handshake span, where there is one.
        links: of the handshake span.
    """

    origin: Origin
    trace_id: int
    span_id: int
    parent: SpanContext | None
    links: tuple[Link, ...]

    def context(self, number: int) -> SpanContext:
        """The identity of one span: number 0 is the handshake span."""
        return _context((self.trace_id, (self.span_id + number * _SPREAD) & _SPAN_ID_MAX, *_SAMPLED))


_SPREAD: Final = 0x9E3779B97F4A7C15
"""Odd, so that the ids of a connection's spans differ, and far apart, so that they meet no other connection's even
where a generator counts its ids up."""
_SPAN_ID_MAX: Final = 2**64 - 1

# A context costs ten times as much through its constructor, which checks what is known here, and every processor asks
# for it. What follows the two ids is taken from one that the constructor made.
_SAMPLED: Final = tuple(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))[2:]
_context: Final[Callable[[tuple[Any, ...]], SpanContext]] = partial(tuple.__new__, SpanContext)


new_identity: Final[Callable[[tuple[Any, ...]], Identity]] = partial(tuple.__new__, Identity)
"""Makes an ``Identity`` of its values; likewise without its constructor."""


class _ResourceHashedOnce(Resource):
    """The provider's resource with its hash kept: exporters group spans by it, and it is a hash of its JSON."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


class FinishedSpan(ReadableSpan):
    """See the module.

    What differs from span to span is filled in at the first look at anything but the context; what is alike in all of
    them stays with the class. Both together stand in for ``ReadableSpan.__init__``.

    Attributes:
        settled: what it is made of; none of it changes afterwards.
        number: which of the connection's spans it is: 0 for the handshake's, and its transitions' from 1.
    """

    settled: Settled
    number: int
    _name = TRANSITION_SPAN

    @property
    def dropped_attributes(self) -> int:
        """How many attributes the user's limits left out."""
        # The SDK asks whether they are an instance of an abstract class, which takes ten times as long.
        return getattr(self._attributes, "dropped", 0)

    @property
    def dropped_events(self) -> int:
        """None: there are no events."""
        return 0

    @property
    def dropped_links(self) -> int:
        """None."""
        return 0

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there yet: the fields that ``ReadableSpan``'s properties read."""
        if name == "_context":  # a processor looks at this alone, to see whether the span is sampled
            self._context = context = self.settled.identity.context(self.number)
            return context
        if name not in _OWN:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._spell_out()
        return object.__getattribute__(self, name)  # not by ``__dict__``, which would have to be made first

    def _spell_out(self) -> None:
        """Fill in the fields. Two threads may do this at once: both make the same."""
        number = self.number - 1
        times = self.settled.transition_times(number)
        self._fill_in(times, self.settled.transition(number), _UNSET)

    def _fill_in(self, times: tuple[int, int], attributes: Attributes, status: Status) -> None:
        # Each field once, with the value that it keeps: another thread may read it as soon as it is there.
        identity: Identity = self.settled.identity
        if self.number:
            self._parent: SpanContext | None = self.settled.handshake_context
            self._links: tuple[Link, ...] = ()
        else:
            self._parent = identity.parent
            self._links = identity.links
        origin = identity.origin
        self._resource = origin.resource
        self._attributes = origin.limits.apply(attributes)
        self._status = status
        self._start_time = times[0]
        self._end_time = max(times)
        self._instrumentation_scope = origin.scope


class FinishedHandshake(FinishedSpan):
    """The span of a handshake."""

    number = 0
    _name = HANDSHAKE_SPAN

    def _spell_out(self) -> None:
        settled = self.settled
        times = (settled.handshake_started_ns, settled.handshake_ended_ns or 0)
        self._fill_in(times, settled.handshake(), _ERROR if settled.handshake_failed else _UNSET)


class FinishedViolation(FinishedSpan):
    """The span of a violation; what it says is made at once, since the connection goes on."""

    violation: tuple[tuple[int, int], Attributes]
    _name = VIOLATION_SPAN

    def _spell_out(self) -> None:
        times, attributes = self.violation
        self._fill_in(times, attributes, _ERROR)


new_span: Final = object.__new__
"""Makes a span; what it is made of is set by whoever makes it, without the call of a constructor for two values."""

_OWN: Final = frozenset(
    {
        "_attributes",
        "_context",
        "_end_time",
        "_instrumentation_scope",
        "_links",
        "_parent",
        "_resource",
        "_start_time",
        "_status",
    }
)
"""What differs from span to span. A field that may must be here: the class's value would be read first."""


def _keep_what_is_alike() -> None:
    """Give the class what a span has that was told nothing."""
    fields = vars(ReadableSpan("", resource=Resource({})))  # without one it would detect the machine
    for name in fields.keys() - _OWN - {"_name"}:
        setattr(FinishedSpan, name, fields[name])


_keep_what_is_alike()
