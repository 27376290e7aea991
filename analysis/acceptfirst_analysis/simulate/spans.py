"""The spans that the library would export for simulated connections, as OTLP requests.

Attributes are made by the library's own functions (``acceptfirst.telemetry.span_attributes``) from the values that it
would have kept; a test compares them with what its connections export when they go through the same events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import md5
from typing import Any, Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

import acceptfirst
from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import Transition
from acceptfirst.signature import SIGNATURE_VERSION
from acceptfirst.telemetry.span_attributes import (
    FAILED_OUTCOMES,
    HANDSHAKE_SPAN,
    TRANSITION_SPAN,
    VIOLATION_SPAN,
    Closing,
    Common,
    handshake_attributes,
    transition_attributes,
)
from acceptfirst_analysis.simulate.group import Group
from acceptfirst_analysis.simulate.plan import Plan
from acceptfirst_analysis.simulate.violations import Violations, violations
from acceptfirst_analysis.simulate.world import Block

SCOPE_NAME: Final = "acceptfirst"
CONNECTIONS_A_REQUEST: Final = 500
_SPREAD: Final = 0x9E3779B97F4A7C15
_SPAN_ID_MAX: Final = 2**64 - 1
_HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})


def requests(plan: Plan, blocks: Iterable[Block], catalogue: Catalogue | None = None) -> Iterator[tuple[bytes, int]]:
    """A plan's connections as encoded ``ExportTraceServiceRequest`` and the number of connections in each.

    Only connections that leave spans are in them: those that were drawn, and those that had a violation.

    Args:
        plan: what is simulated.
        blocks: its connections.
        catalogue: the one that ``simulate`` was given.
    """
    waiting, count = bytearray(), 0
    for part, connections in _parts(plan, blocks, catalogue or load_catalogue()):
        waiting += part  # one request behind another is one request
        count += connections
        if count >= CONNECTIONS_A_REQUEST:
            yield bytes(waiting), count
            waiting, count = bytearray(), 0
    if count:
        yield bytes(waiting), count


def _parts(plan: Plan, blocks: Iterable[Block], catalogue: Catalogue) -> Iterator[tuple[bytes, int]]:
    for block in blocks:
        for index, group in enumerate(block.groups):
            found = violations(group, block.reported[index], catalogue)
            for version in np.unique(group.version):
                rows = np.flatnonzero(block.stored(index) & (group.version == version))
                for first in range(0, len(rows), CONNECTIONS_A_REQUEST):
                    some = rows[first : first + CONNECTIONS_A_REQUEST]
                    yield _request(group, found, some, plan.versions[int(version)]), len(some)


def _request(group: Group, found: list[Violations], rows: Any, version: str) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.CopyFrom(
        Resource(
            attributes=_pairs(
                {
                    "service.name": group.place.service,
                    "service.version": version,
                    "deployment.environment.name": group.place.policy.environment,
                }
            )
        )
    )
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.CopyFrom(InstrumentationScope(name=SCOPE_NAME, version=acceptfirst.__version__))
    for row in rows:
        scope_spans.spans.extend(spans_of(group, int(row), found))
    return request.SerializeToString()


def spans_of(group: Group, row: int, found: list[Violations]) -> list[Span]:
    """Every span of one connection.

    Args:
        group: the connections that it is one of.
        row: which one.
        found: the group's violations.
    """
    connection_id = bytes(group.ids[row])
    started_ns = int(group.started_ns[row])
    maker = _Maker(connection_id)
    common = _common(group, row, connection_id)
    boundaries = [started_ns + int(at) for at in group.boundaries_ns[row]]
    spans = [
        maker.span(
            HANDSHAKE_SPAN, *_handshake(group, row, boundaries, common), failed=group.course.outcome in FAILED_OUTCOMES
        )
    ]
    last = len(group.course.steps) - 1
    for sequence, step in enumerate(group.course.steps):
        times = (boundaries[sequence], boundaries[sequence + 1])
        transition = Transition(sequence, step.old, step.new, *times, step.trigger)
        closed = _closing(group, row, started_ns) if sequence == last else None
        attributes = transition_attributes((common, transition, group.delay_applied_ms, closed))
        spans.append(maker.span(TRANSITION_SPAN, times, attributes))
    for violation in found:
        if violation.of[row]:
            times = (started_ns + int(violation.caused_ns[row]), started_ns + int(violation.at_ns[row]))
            spans.append(maker.span(VIOLATION_SPAN, times, _violation(common, violation, row), failed=True))
    return spans


class _Maker:
    """Gives the spans of one connection their identities."""

    def __init__(self, connection_id: bytes) -> None:
        digest = md5(connection_id, usedforsecurity=False).digest()
        self._trace_id = digest
        self._first = int.from_bytes(digest[:8], "big")
        self._made = 0

    def span(self, name: str, times: tuple[int, int], attributes: Mapping[str, Any], *, failed: bool = False) -> Span:
        number, self._made = self._made, self._made + 1
        return Span(
            trace_id=self._trace_id,
            span_id=self._id(number),
            parent_span_id=self._id(0) if number else b"",
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=times[0],
            end_time_unix_nano=max(times),
            attributes=_pairs(attributes),
            status=Status(code=Status.STATUS_CODE_ERROR) if failed else Status(),
        )

    def _id(self, number: int) -> bytes:
        return ((self._first + number * _SPREAD) & _SPAN_ID_MAX).to_bytes(8, "big")


def _common(group: Group, row: int, connection_id: bytes) -> Common:
    hashed = user_hash(int(group.user[row]))
    place = group.place
    return Common(
        (connection_id, place.policy, place.route, place.mode, place.gate, 0, float(group.weight[row]), hashed)
    )


def user_hash(user: int) -> str | None:
    """What stands for a user's hash: its number, so that the store can make the same."""
    return md5(str(user).encode(), usedforsecurity=False).hexdigest() if user else None


def _handshake(
    group: Group, row: int, boundaries: list[int], common: Common
) -> tuple[tuple[int, int], Mapping[str, Any]]:
    over = next(n for n, step in enumerate(group.course.steps) if step.new in _HANDSHAKE_OVER)
    connected = group.connect_ns
    begun = boundaries[0] + (0 if connected is None else int(connected[row]))
    attributes = handshake_attributes((common, group.course.outcome, group.error_type or None))
    return (begun, boundaries[over + 1]), attributes


def _closing(group: Group, row: int, started_ns: int) -> Closing:
    moments = {letter: started_ns + int(group.event_ns[row, place]) for letter, place in group.course.first.items()}
    if "C" not in moments and group.connect_ns is not None:
        moments["C"] = started_ns + int(group.connect_ns[row])
    shadow, held = float(group.shadow_ready_ms[row]), float(group.held_ms[row])
    held_any = not np.isnan(held)
    last_frame_ns = int(group.last_frame_ns[row])
    return Closing(
        signature=group.course.signature,
        moments=moments,
        last_frame_ns=last_frame_ns and started_ns + last_frame_ns,
        close_code=int(group.close_code[row]) or None,
        close_initiator=str(group.close_initiator[row]),
        received=int(group.received[row]),
        sent=int(group.sent[row]),
        early=int(group.early[row]),
        phases_ms={} if np.isnan(shadow) else {"ready": shadow},
        error_type=group.error_type or None,
        error_kind=group.error_kind or None,
        unread_ms=None if np.isnan(group.unread_ms[row]) else float(group.unread_ms[row]),
        gate=(int(held_any), held if held_any else 0.0) if group.place.gate == "hold" else None,
    )


def _violation(common: Common, violation: Violations, row: int) -> Mapping[str, Any]:
    pattern, unread_ms = violation.pattern, float(violation.unread_ms[row])
    return {
        **common.attributes(),
        **({} if np.isnan(unread_ms) else {"acceptfirst.unread_ms": unread_ms}),
        "acceptfirst.pattern.type": pattern.name,
        "acceptfirst.pattern.severity": pattern.severity,
        "acceptfirst.pattern.evidence": f"{pattern.title}. [{violation.signature}]",
        "acceptfirst.signature": violation.signature,
        "acceptfirst.signature.version": SIGNATURE_VERSION,
        "error.type": pattern.name,
    }


def _pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [_pair(name, value) for name, value in attributes.items()]


def _pair(name: str, value: Any) -> KeyValue:
    pair = KeyValue(key=name)
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.string_value = str(value)
    return pair
