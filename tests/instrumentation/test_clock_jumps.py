"""The wall clock is set forward and back while connections live: no duration is negative, every identity is valid."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import acceptfirst
from acceptfirst import (
    AcceptFirstMiddleware,
    HandshakeCoordinator,
    RaceConditionDetector,
    RaceConditionPattern,
    failsafe,
)
from acceptfirst.connection_id import new_connection_id

INCOMING = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "a"},
    {"type": "websocket.receive", "text": "b"},
    {"type": "websocket.disconnect", "code": 1001},
]
LIFE_NS_MAX = 60_000_000_000
WALL_CLOCK = st.lists(st.integers(0, 2**62), min_size=1, max_size=8)


class Shelf(SpanProcessor):
    """Keeps finished spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


class Durations:
    """A meter provider that keeps what its histograms are given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def get_meter(self, *_: Any) -> Any:
        """A meter, which is its own instruments."""
        return self

    create_counter = create_histogram = create_up_down_counter = get_meter

    def add(self, *_: Any) -> None:
        """Counts are not of interest here."""

    def record(self, value: float, *_: Any) -> None:
        """Keep it."""
        self.seconds.append(value)


async def has_races(scope: Any, receive: Any, send: Any) -> None:
    """Takes its time in a phase, gets ready, sends after its close, and fails."""
    await receive()
    with acceptfirst.phase(scope, "auth", receives=True):
        await send({"type": "websocket.accept"})
        await receive()
    acceptfirst.ready(scope)
    await receive()
    await send({"type": "websocket.close"})
    await send({"type": "websocket.send", "text": "late"})
    acceptfirst.explain(scope)
    raise ConnectionError("redis is away")


def lived(server: Any, wall_clock_ns: list[int], app: Any) -> Any:
    """What the application saw of one connection while the wall clock says these things, one after the other."""
    readings = itertools.cycle(wall_clock_ns)
    one = server(INCOMING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: next(readings))
        error = asyncio.run(one.run(app))
    return type(error), str(error), one.sent


@settings(max_examples=60, deadline=None)
@given(WALL_CLOCK, st.sampled_from(["auto", "event", "blind"]))
def test_spans_of_a_connection_are_sound_whatever_the_wall_clock_says(
    scripted_server: Any, wall_clock_ns: list[int], mode: Any
) -> None:
    """Each lasts as long as it did, they join on to each other, all can be encoded, and the application is the same."""
    shelf, durations = Shelf(), Durations()
    provider: Any = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(shelf)
    options: dict[str, Any] = {"tracer_provider": provider, "meter_provider": durations}

    seen = lived(scripted_server, wall_clock_ns, AcceptFirstMiddleware(has_races, readiness=mode, **options))

    assert seen == lived(scripted_server, wall_clock_ns, has_races)
    assert dict(failsafe.failures) == {}
    assert all(0 <= (s.end_time or 0) - (s.start_time or 0) < LIFE_NS_MAX for s in shelf.spans)
    steps = [span for span in shelf.spans if span.name == "websocket.transition"]
    assert all(before.end_time == after.start_time for before, after in itertools.pairwise(steps))
    assert all(span.context is not None and span.context.is_valid for span in shelf.spans)
    assert {len(str((span.attributes or {})["acceptfirst.connection.id"])) for span in shelf.spans} == {32}
    assert encode_spans(shelf.spans).ByteSize()
    assert min(durations.seconds, default=0) >= 0
    assert durations.seconds or mode == "blind"


@pytest.mark.parametrize("started_ns", [-1, 0, 2**62, 2**80])
def test_connection_has_an_identity_of_16_bytes_whatever_the_wall_clock_says(started_ns: int) -> None:
    """Before 1970 and in a million years."""
    assert len(new_connection_id(started_ns)) == 16


class SetBack(datetime):
    """A clock that goes back by a minute each time somebody looks."""

    moments = itertools.count()

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """The time."""
        return datetime(2026, 1, 1, tzinfo=tz) - timedelta(minutes=next(cls.moments))


def test_pattern_is_never_younger_than_new_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its age is zero until the clock has come up with it."""
    monkeypatch.setattr("acceptfirst.detector.datetime", SetBack)
    pattern = RaceConditionPattern(
        pattern_type="send_after_close",
        severity="critical",
        environment="testing",
        detected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert pattern.age_seconds == 0


def test_detector_keeps_its_patterns_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What seems to come from the future is not old."""
    kept = RaceConditionDetector("testing")
    kept.add_detected_pattern("send_after_close", "critical")
    monkeypatch.setattr("acceptfirst.detector.datetime", SetBack)
    kept.clear_old_patterns(1.0)

    assert len(kept.get_detected_patterns()) == 1


def test_unbound_handshake_has_no_negative_duration_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nothing but the wall clock's times."""
    monkeypatch.setattr(sys.modules[HandshakeCoordinator.__module__], "datetime", SetBack)
    unbound = HandshakeCoordinator("testing")
    assert asyncio.run(unbound.coordinate_handshake())

    assert unbound.get_handshake_duration() == 0
