"""Simulated spans against the library's own: its connections are led through the same events, at the same times."""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import acceptfirst.connection
from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst.connection import Connection
from acceptfirst.connection_id import is_drawn
from acceptfirst.telemetry.tracing import HandshakeTracer
from acceptfirst_analysis.simulate import Place, Plan, place, simulate
from acceptfirst_analysis.simulate.group import Group
from acceptfirst_analysis.simulate.spans import spans_of, user_hash
from acceptfirst_analysis.simulate.violations import violations

UNREAD_NS = 60_000_000_000
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
TEXTS = frozenset({"acceptfirst.pattern.evidence"})
"""Sentences that name places in code, which nothing simulated has."""


@dataclass
class Clock:
    """What the library takes for the time."""

    ns: int = 0

    def perf_counter_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""
        return self.ns

    time_ns = perf_counter_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test sets, wherever the library asks for the time."""
    clock = Clock()
    own = {"perf_counter_ns": clock.perf_counter_ns, "time_ns": clock.time_ns}
    stand_in = types.SimpleNamespace(**{**vars(time), **own})
    for module in [module for name, module in sys.modules.items() if name.startswith("acceptfirst.")]:
        replaced: dict[str, Any] = {name: own[name] for name in own if vars(module).get(name) is getattr(time, name)}
        if vars(module).get("time") is time:
            replaced["time"] = stand_in
        for name, value in replaced.items():
            monkeypatch.setattr(module, name, value)
    return clock


class Straight:
    """Hears of connections and tells the tracer at once."""

    def __init__(self, tracer: HandshakeTracer) -> None:
        self._tracer = tracer

    def opened(self, connection: Connection) -> None:
        """Nothing is traced yet."""

    def moved(self, connection: Connection) -> None:
        """It is asked for at the end."""

    def violated(self, connection: Connection, violation: Any) -> None:
        """Export the transitions before it, then the violation."""
        connection.attended()
        self._tracer.export(connection)
        self._tracer.violated(connection, violation)

    def finished(self, connection: Connection) -> None:
        """Export the rest."""
        connection.attended()
        self._tracer.export(connection)


Replay = Callable[[Group, int], list[ReadableSpan]]


@pytest.fixture
def replay(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """Leads a connection of the library's through what a simulated one went through; gives the spans it exports."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    catalogue = load_catalogue()

    def run(group: Group, row: int) -> list[ReadableSpan]:
        exporter.clear()
        monkeypatch.setattr(acceptfirst.connection, "kind_of_error", lambda *_, **__: group.error_kind)
        clock.ns = int(group.started_ns[row])
        connection = Connection(
            scope={"type": "websocket", "path_template": group.place.route},
            policy=group.place.policy,
            readiness_mode=group.place.mode,
            gate_mode=group.place.gate,
            catalogue=catalogue,
            observers=Straight(HandshakeTracer(provider)),
        )
        connection.id = bytes(group.ids[row])
        connection.drawn = bool(group.drawn[row])
        connection.user_hash = user_hash(int(group.user[row]))
        for event, at_ns in zip(group.course.events, group.event_ns[row], strict=True):
            clock.ns = int(group.started_ns[row]) + int(at_ns)
            if group.unread and int(at_ns) > UNREAD_NS:  # the sweep over open connections comes by
                clock.ns = int(group.started_ns[row]) + int(group.event_ns[row, 1]) + UNREAD_NS
                connection.look_again()
                clock.ns = int(group.started_ns[row]) + int(at_ns)
            if event in "DXEZ":  # by now the messages have been exchanged that a signature does not show
                connection.messages_received = connection.unread_after_messages = int(group.received[row])
                connection.messages_sent = int(group.sent[row])
                last_ns = int(group.last_frame_ns[row])
                connection.last_frame_monotonic_ns = last_ns and int(group.started_ns[row]) + last_ns
            lead(connection, event, group, row)
        return list(exporter.get_finished_spans())

    yield run
    provider.shutdown()


KINDS = {"A": "accept", "S": "send", "X": "close", "a": "accept", "s": "send"}


def lead(connection: Connection, event: str, group: Group, row: int) -> None:
    """One event. Somebody always receives, but for the connections that are about nobody's doing so."""
    code = int(group.close_code[row])
    becomes_ready = {"auto": connection.receive_began, "blind": connection.delay_is_over}
    events: dict[str, Callable[[], Any]] = {
        "G": becomes_ready.get(connection.readiness_mode, connection.say_ready),
        "P": connection.say_ready,
        "O": connection.receive_began,
        "R": lambda: connection.received("websocket.receive"),
        "D": lambda: connection.received("websocket.disconnect", code),
        "T": connection.time_is_up,
        "E": lambda: connection.raised(type(group.error_type, (Exception,), {})()),
        "Z": connection.returned,
    }
    if event.startswith("!"):
        connection.guard_refused(event[1])
    elif event == "C":
        connection.receive_began()
        connection.received("websocket.connect")
    elif event in KINDS:
        kind = f"websocket.{KINDS[event]}"
        connection.send_began(kind)
        connection.sent(kind, {"code": code}) if event.isupper() else connection.send_failed(kind)
    else:
        events[event]()
    starts_to_receive = event == "R" or (event == "A" and connection.readiness_mode != "auto")
    if starts_to_receive and not group.unread and not connection.receives_pending:
        connection.receive_began()


def comparable(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without the sentences, and without a delay before accept: whether it is known by then is a matter of export."""
    first = attributes.get("acceptfirst.state.from") == "INITIALIZING"
    left_out = TEXTS | {"acceptfirst.delay.applied_ms"} if first else TEXTS
    return {key: value for key, value in attributes.items() if key not in left_out}


def simulated(span: Span) -> tuple[Any, ...]:
    """A simulated span as something that can be compared."""
    attributes = {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes
    }
    kept = comparable(attributes)
    return (span.name, span.start_time_unix_nano, span.end_time_unix_nano, sorted(kept.items()), int(span.status.code))


def exported(span: ReadableSpan) -> tuple[Any, ...]:
    """The library's span in the same form."""
    kept = comparable(dict(span.attributes or {}))
    return (span.name, span.start_time, span.end_time, sorted(kept.items()), span.status.status_code.value)


PLACES = {
    "event": place("production"),
    "auto": place("staging", mode="auto"),
    "polled": place("development", mode="polled"),
    "blind": place("production", mode="blind"),
    "sampled": place("production", sample_rate=0.25),
}


def one_of_each_course(where: Place, catalogue: Catalogue) -> list[tuple[Group, dict[str, Any]]]:
    """A plan's groups, one of each course and cause."""
    plan = Plan(
        connections=3000,
        since=MONDAY,
        until=MONDAY + timedelta(days=1),
        places=(where,),
        faults=0.5,
        cold_starts=400,
        leave_ms=300,
        impatient=0.6,
    )
    chosen: dict[tuple[str, str], tuple[Group, dict[str, Any]]] = {}
    for block in simulate(plan, catalogue):
        for index, group in enumerate(block.groups):
            chosen.setdefault((group.truth.cause, group.course.signature), (group, block.reported[index]))
    return list(chosen.values())


@pytest.mark.parametrize("name", PLACES)
def test_simulator_makes_the_spans_that_the_library_exports(replay: Replay, catalogue: Catalogue, name: str) -> None:
    """Names, times, every attribute and its type, status: of every course that anything takes."""
    groups = one_of_each_course(PLACES[name], catalogue)
    assert len(groups) > 40
    for group, reported in groups:
        row = int(np.flatnonzero(group.drawn)[0]) if group.drawn.any() else 0
        spans = spans_of(group, row, violations(group, reported, catalogue))
        expected = sorted(map(exported, replay(group, row)))
        if not group.drawn[row] and not any(mask[row] for mask in reported.values()):
            assert expected == []
            continue
        assert sorted(map(simulated, spans)) == expected, group.course.events


def test_simulator_draws_the_connections_that_the_library_draws(catalogue: Catalogue) -> None:
    """By the same half of the identity, at the same rate, and each stands for as many."""
    for group, _ in one_of_each_course(PLACES["sampled"], catalogue):
        assert group.drawn.tolist() == [is_drawn(bytes(row), 0.25) for row in group.ids]
        assert group.weight.tolist() == [4.0 if drawn else 0.0 for drawn in group.drawn]
