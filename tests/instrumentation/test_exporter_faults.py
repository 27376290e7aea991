"""Exporters hang, raise and are full; processors, meters and log handlers raise: the application notices nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator

from acceptfirst import AcceptFirstMiddleware, failsafe
from acceptfirst.connection import Connection

CONNECTIONS: Final = 12
QUEUE: Final = 4
INCOMING: Final = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "a"},
    0.001,
    {"type": "websocket.receive", "text": "b"},
    {"type": "websocket.disconnect", "code": 1001},
]


async def has_races(_: Any, receive: Any, send: Any) -> None:
    """Sends before accept and after the client has left, answers in between, and fails."""
    await receive()
    with suppress(OSError):
        await send({"type": "websocket.send", "text": "early"})
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": "x"})
    with suppress(OSError):
        await send({"type": "websocket.close"})
    raise ConnectionError("redis is away")


class Hangs(SpanExporter):
    """Takes its first batch and never comes back, until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.entered = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hang."""
        self.taken += len(spans)
        self.entered.set()
        self.released.wait()
        return SpanExportResult.SUCCESS


class Raises(SpanExporter):
    """Can't export."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Raise."""
        del spans
        raise ConnectionError("the collector is away")


class Refused(SpanExporter):
    """Says that it could not."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Fail politely."""
        del spans
        return SpanExportResult.FAILURE


class RaisingProcessor(SpanProcessor):
    """Fails where the span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        """Raise."""
        del span
        raise LookupError("a processor of the application's")


class SlowProcessor(SpanProcessor):
    """Takes its time where the span ends, on the application's event loop."""

    def on_end(self, span: ReadableSpan) -> None:
        """Block for a moment."""
        del span
        time.sleep(0.001)


class Foreign(trace.TracerProvider):
    """A provider that is not the SDK's."""

    def __init__(self, own: trace.TracerProvider) -> None:
        self._own = own

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:
        """A tracer."""
        return self._own.get_tracer(*arguments, **options)


class NoTracer(trace.TracerProvider):
    """A provider that can't give a tracer."""

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:
        """Raise."""
        del arguments, options
        raise RuntimeError("no tracer today")


class NoIds(IdGenerator):
    """Has run out of identities."""

    def generate_trace_id(self) -> int:
        """Raise."""
        raise OSError("no entropy")

    generate_span_id = generate_trace_id


class RaisingMeters:
    """A meter provider whose instruments raise."""

    def get_meter(self, *_: Any) -> Any:
        """A meter, which is its own instruments."""
        return self

    create_counter = create_histogram = create_up_down_counter = get_meter

    def add(self, *_: Any) -> None:
        """Raise."""
        raise ValueError("an instrument that fails")

    record = add


class RaisingHandler(logging.Handler):
    """A handler that does not even keep its own failures."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raise."""
        del record
        raise OSError("the log's disk is full")


def sdk(processor: SpanProcessor) -> TracerProvider:
    """A provider with one processor."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def batched(exporter: SpanExporter) -> BatchSpanProcessor:
    """A processor with a small queue, which it hands to the exporter at once."""
    return BatchSpanProcessor(exporter, QUEUE, schedule_delay_millis=1, max_export_batch_size=1)


def shut_down() -> TracerProvider:
    """A provider that has been shut down."""
    provider = sdk(SimpleSpanProcessor(Raises()))
    provider.shutdown()
    return provider


THEIRS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "exporter raises": lambda: {"tracer_provider": sdk(batched(Raises()))},
    "exporter says that it failed": lambda: {"tracer_provider": sdk(batched(Refused()))},
    "exporter raises in the application's path": lambda: {"tracer_provider": sdk(SimpleSpanProcessor(Raises()))},
    "processor is slow": lambda: {"tracer_provider": sdk(SlowProcessor())},
    "provider is shut down": lambda: {"tracer_provider": shut_down()},
}
"""Faults that are over before they reach us."""

OURS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "processor raises": lambda: {"tracer_provider": sdk(RaisingProcessor())},
    "processor of another provider raises": lambda: {"tracer_provider": Foreign(sdk(RaisingProcessor()))},
    "provider gives no tracer": lambda: {"tracer_provider": NoTracer()},
    "provider has no identities": lambda: {
        "tracer_provider": TracerProvider(shutdown_on_exit=False, id_generator=NoIds())
    },
    "meter raises": lambda: {"meter_provider": RaisingMeters()},
}
"""Faults that reach us."""


def lives(server: Any, app: Any) -> list[tuple[Any, ...]]:
    """What some connections at once see."""

    async def live() -> tuple[Any, ...]:
        one = server(INCOMING, refuse={"websocket.close": OSError("gone")})
        error = await one.run(app, patience_s=60)
        return type(error), str(error), one.sent

    async def all_live() -> list[tuple[Any, ...]]:
        return await asyncio.gather(*(live() for _ in range(CONNECTIONS)))

    return asyncio.run(all_live())


@pytest.fixture
def bare(server: Any) -> list[tuple[Any, ...]]:
    """What is seen without us."""
    return lives(server, has_races)


@pytest.fixture
def made_up() -> Iterator[None]:
    """Failures are expected."""
    yield
    failsafe.failures.clear()


@pytest.mark.parametrize("fault", THEIRS)
def test_application_sees_nothing_of_a_fault_that_the_sdk_keeps(server: Any, bare: Any, fault: str) -> None:
    """Nor do we."""
    assert lives(server, AcceptFirstMiddleware(has_races, **THEIRS[fault]())) == bare
    assert dict(failsafe.failures) == {}


@pytest.mark.parametrize("fault", OURS)
@pytest.mark.usefixtures("made_up")
def test_application_sees_nothing_of_a_fault_that_reaches_us(
    server: Any, bare: Any, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time, and each place tells it once."""
    assert lives(server, AcceptFirstMiddleware(has_races, **OURS[fault]())) == bare
    told = [record for record in caplog.records if record.msg.startswith("acceptfirst failed in")]
    assert len(told) == len(failsafe.failures)
    assert sum(failsafe.failures.values()) >= CONNECTIONS


def test_application_goes_on_when_the_exporter_hangs_and_its_queue_is_full(server: Any, bare: Any) -> None:
    """The SDK drops what it has no room for; nobody waits."""
    exporter = Hangs()
    provider = sdk(batched(exporter))
    try:
        seen = lives(server, AcceptFirstMiddleware(has_races, tracer_provider=provider))
        hung = exporter.entered.wait(60)
        taken_while_it_hung = exporter.taken
    finally:
        exporter.released.set()
        provider.shutdown()

    assert seen == bare
    assert hung
    assert taken_while_it_hung == 1
    assert exporter.taken <= 1 + QUEUE + 1
    assert dict(failsafe.failures) == {}


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("place", ["received", "sent", "send_failed", "raised"])
def test_application_sees_nothing_of_a_log_handler_that_raises(
    server: Any, bare: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where a violation is told, nor where a failure of ours is: that is counted all the same."""

    def fails(*_: Any) -> None:
        raise LookupError(place)

    handler = RaisingHandler()
    loggers = [logging.getLogger(name) for name in ("acceptfirst", "acceptfirst.violations")]
    monkeypatch.setattr(Connection, place, failsafe.failsafe(fails) if place == "raised" else fails)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        seen = lives(server, AcceptFirstMiddleware(has_races))
    finally:
        for logger in loggers:
            logger.removeHandler(handler)

    assert seen == bare
    assert sum(failsafe.failures.values()) >= 1
