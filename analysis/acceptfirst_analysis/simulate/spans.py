"""The spans that the library would export for simulated connections, as OTLP requests.

The names are those of ``docs/telemetry.md``, written down here a second time on purpose: how the library makes its
attributes is its own affair and made for speed. A test compares the two: what is simulated, and what the library's
connections export when they go through the same events.
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
from acceptfirst.live_evidence import dwell_ms, idle_ms, since_ms
from acceptfirst.signature import SIGNATURE_VERSION
from acceptfirst_analysis.simulate.group import Group
from acceptfirst_analysis.simulate.plan import Plan
from acceptfirst_analysis.simulate.violations import Violations, violations
from acceptfirst_analysis.simulate.world import Block

SCOPE_NAME: Final = "acceptfirst"
HANDSHAKE_SPAN: Final = "websocket.handshake"
TRANSITION_SPAN: Final = "websocket.transition"
VIOLATION_SPAN: Final = "websocket.violation"
FAILED_OUTCOMES: Final = frozenset({"failed", "timed_out"})
CONNECTIONS_A_REQUEST: Final = 500
_SPREAD: Final = 0x9E3779B97F4A7C15
_SPAN_ID_MAX: Final = 2**64 - 1
Attributes = dict[str, Any]
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
        attributes = {
            **common,
            "acceptfirst.state.from": step.old,
            "acceptfirst.state.to": step.new,
            "acceptfirst.transition.sequence": sequence,
            "acceptfirst.transition.trigger": step.trigger,
            "acceptfirst.delay.applied_ms": group.delay_applied_ms,
            **(_closing(group, row, started_ns) if sequence == last else {}),
        }
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


def _common(group: Group, row: int, connection_id: bytes) -> Attributes:
    place, hashed = group.place, user_hash(int(group.user[row]))
    return {
        "acceptfirst.connection.id": connection_id.hex(),
        "acceptfirst.environment": place.policy.environment,
        "http.route": place.route,
        "acceptfirst.attempt": 0,
        "acceptfirst.readiness.mode": place.mode,
        "acceptfirst.gate": place.gate,
        "acceptfirst.policy.version": place.policy.version,
        "acceptfirst.policy.arm": place.policy.arm,
        "acceptfirst.sample.weight": float(group.weight[row]),
        **({} if hashed is None else {"acceptfirst.user.hash": hashed}),
    }


def user_hash(user: int) -> str | None:
    """What stands for a user's hash: its number, so that the store can make the same."""
    return md5(str(user).encode(), usedforsecurity=False).hexdigest() if user else None


def _handshake(group: Group, row: int, boundaries: list[int], common: Attributes) -> tuple[tuple[int, int], Attributes]:
    over = next(n for n, step in enumerate(group.course.steps) if step.new in _HANDSHAKE_OVER)
    connected, outcome = group.connect_ns, group.course.outcome
    begun = boundaries[0] + (0 if connected is None else int(connected[row]))
    attributes = {**common, "acceptfirst.handshake.outcome": outcome}
    if outcome in FAILED_OUTCOMES and group.error_type:
        attributes["error.type"] = group.error_type
    return (begun, boundaries[over + 1]), attributes


def _closing(group: Group, row: int, started_ns: int) -> Attributes:
    """What the last transition says beside the others."""
    moments = _moments(group, row, started_ns)
    last_frame_ns = int(group.last_frame_ns[row])
    optional = {
        "acceptfirst.close.code": int(group.close_code[row]) or None,
        "acceptfirst.dwell_ms": dwell_ms(moments),
        "acceptfirst.idle_ms": idle_ms(moments, last_frame_ns and started_ns + last_frame_ns),
        "acceptfirst.unread_ms": _known(group.unread_ms[row]),
        "acceptfirst.first_message_ms": since_ms(moments, "C", moments["R"]) if "R" in moments else None,
        "error.type": group.error_type or None,
        "acceptfirst.error.kind": group.error_kind or None,
        "acceptfirst.phase.ready.duration_ms": _known(group.shadow_ready_ms[row]),
    }
    return {
        "acceptfirst.signature": group.course.signature,
        "acceptfirst.signature.version": SIGNATURE_VERSION,
        "acceptfirst.close.initiator": str(group.close_initiator[row]),
        "acceptfirst.messages.received": int(group.received[row]),
        "acceptfirst.messages.sent": int(group.sent[row]),
        "acceptfirst.messages.early": int(group.early[row]),
        **{key: value for key, value in optional.items() if value is not None},
        **(_held(group, row) if group.place.gate == "hold" else {}),
    }


def _moments(group: Group, row: int, started_ns: int) -> dict[str, int]:
    moments = {letter: started_ns + int(group.event_ns[row, place]) for letter, place in group.course.first.items()}
    if "C" not in moments and group.connect_ns is not None:
        moments["C"] = started_ns + int(group.connect_ns[row])
    return moments


def _held(group: Group, row: int) -> Attributes:
    waited_ms = _known(group.held_ms[row])
    return {"acceptfirst.gate.held": int(waited_ms is not None), "acceptfirst.gate.wait_ms": waited_ms or 0.0}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _violation(common: Attributes, violation: Violations, row: int) -> Attributes:
    pattern, unread_ms = violation.pattern, _known(violation.unread_ms[row])
    return {
        **common,
        **({} if unread_ms is None else {"acceptfirst.unread_ms": unread_ms}),
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
