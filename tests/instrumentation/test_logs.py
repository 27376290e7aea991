"""Log records say which connection's code made them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

import acceptfirst
from acceptfirst import logs
from acceptfirst.connection import SCOPE_KEY

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


class Kept(logging.Handler):
    """Keeps the records that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger that nobody else listens to."""
    made = logging.getLogger("test_logs")
    made.propagate = False
    yield made
    made.handlers.clear()


@pytest.fixture
def kept(logger: logging.Logger) -> Kept:
    """A handler with the filter."""
    handler = Kept()
    handler.addFilter(logs.ConnectionFilter())
    logger.addHandler(handler)
    return handler


def ids(record: Any) -> tuple[str, str, str]:
    """The three of a record."""
    return record.connection_id, record.trace_id, record.span_id


def talkative(logger: logging.Logger) -> Any:
    """An application that logs before its first event, when connected, and from a task of its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        logger.warning("first")
        await receive()
        await send({"type": "websocket.accept"})
        logger.warning("accepted")
        await receive()
        await asyncio.create_task(later())

    async def later() -> None:
        logger.warning("later")

    return app


def observed(app: Any, spans: Any, **options: Any) -> Any:
    """The application with the middleware around it."""
    return acceptfirst.instrument(app, environment="testing", tracer_provider=spans.provider, **options)


def test_record_carries_the_ids_of_the_handshake_that_is_exported_later(
    server: Any, spans: Any, logger: logging.Logger, kept: Kept
) -> None:
    """The first record is made before there is any span; all have the same ids, also a task's."""
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(talkative(logger), spans)))

    (handshake,) = spans.named("websocket.handshake")
    expected = (
        handshake.attributes["acceptfirst.connection.id"],
        f"{handshake.context.trace_id:032x}",
        f"{handshake.context.span_id:016x}",
    )
    assert [ids(record) for record in kept.records] == [expected] * 3


def test_records_of_connections_at_the_same_time_are_told_apart(
    server: Any, spans: Any, logger: logging.Logger, kept: Kept
) -> None:
    """Each has the id of its own scope."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            logger.warning(scope[SCOPE_KEY].id.hex())

    async def many() -> None:
        watched = observed(app, spans)
        await asyncio.gather(*(server([CONNECT]).run(watched) for _ in range(20)))

    asyncio.run(many())
    assert len({ids(record)[0] for record in kept.records}) == 20
    assert [record for record in kept.records if ids(record)[0] != record.getMessage()] == []


def test_record_outside_a_connection_has_empty_ids(server: Any, spans: Any, logger: logging.Logger, kept: Kept) -> None:
    """A formatter that names them works everywhere; what ran before leaves no trace."""

    async def one_after_the_other() -> None:
        await observed(talkative(logger), spans)(script.scope, script.receive, script.send)
        logger.warning("outside")

    script = server([CONNECT, DISCONNECT])
    asyncio.run(one_after_the_other())

    assert ids(kept.records[-1]) == ("", "", "")
    assert logging.Formatter("%(connection_id)s|%(trace_id)s|%(span_id)s").format(kept.records[-1]) == "||"


def test_record_names_no_trace_where_nothing_is_exported(
    server: Any, spans: Any, logger: logging.Logger, kept: Kept
) -> None:
    """Outside the sample the connection's id is all there is."""
    policy = acceptfirst.Policy(environment="testing", sample_rate=0.0)
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(talkative(logger), spans, policy=policy)))

    assert {ids(record)[1:] for record in kept.records} == {("", "")}
    assert {len(ids(record)[0]) for record in kept.records} == {32}
    assert spans.exporter.get_finished_spans() == ()


def test_record_of_a_violation_outside_the_sample_names_the_trace_that_it_began(
    server: Any, spans: Any, logger: logging.Logger, kept: Kept
) -> None:
    """From then on its spans are exported."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        logger.warning("before")
        await send({"type": "websocket.accept"})
        logger.warning("after")

    policy = acceptfirst.Policy(environment="testing", sample_rate=0.0)
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(app, spans, policy=policy)))

    (handshake,) = spans.named("websocket.handshake")
    assert [ids(record)[1] for record in kept.records] == ["", f"{handshake.context.trace_id:032x}"]


def test_record_keeps_what_its_maker_gave_it(server: Any, spans: Any, logger: logging.Logger, kept: Kept) -> None:
    """An application may have a trace_id of its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        logger.warning("mine", extra={"trace_id": "my own"})

    asyncio.run(server([CONNECT]).run(observed(app, spans)))
    assert ids(kept.records[0])[1] == "my own"


class Vendor:
    """A provider that is not the SDK's own type."""

    def __init__(self, inner: TracerProvider) -> None:
        self._inner = inner

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        """The SDK's tracer."""
        return self._inner.get_tracer(*args, **kwargs)


def test_record_carries_the_ids_of_a_provider_that_is_not_the_sdks(
    server: Any, spans: Any, logger: logging.Logger, kept: Kept
) -> None:
    """There the handshake span is begun when the first record asks for it."""
    watched = acceptfirst.instrument(
        talkative(logger),
        environment="testing",
        tracer_provider=Vendor(spans.provider),  # type: ignore[arg-type]  # as little as is used
    )
    asyncio.run(server([CONNECT, DISCONNECT]).run(watched))

    (handshake,) = spans.named("websocket.handshake")
    assert {ids(record)[1:] for record in kept.records} == {
        (f"{handshake.context.trace_id:032x}", f"{handshake.context.span_id:016x}")
    }


@pytest.fixture
def correlating() -> Iterator[None]:
    """Every record of the process, for one test."""
    logs.correlate()
    logs.correlate()
    yield
    logs.stop_correlating()


def test_correlated_records_carry_ids_without_a_filter(
    server: Any, spans: Any, logger: logging.Logger, correlating: None
) -> None:
    """Whatever handler they reach."""
    plain = Kept()
    logger.addHandler(plain)
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(talkative(logger), spans)))

    assert {len(ids(record)[0]) for record in plain.records} == {32}


def test_correlation_ends_without_a_trace(logger: logging.Logger) -> None:
    """The factory is the one from before."""
    before = logging.getLogRecordFactory()
    logs.correlate()
    logs.correlate()
    assert logging.getLogRecordFactory() is not before
    logs.stop_correlating()
    assert logging.getLogRecordFactory() is before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sdks_handler_exports_the_ids_as_attributes(server: Any, spans: Any, logger: logging.Logger) -> None:
    """The logs signal of OpenTelemetry carries them, with nothing but the filter."""
    from opentelemetry.sdk._logs import LoggingHandler  # noqa: PLC0415 - its import warns, in this SDK

    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # the SDK's own
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    handler = LoggingHandler(logger_provider=provider)
    handler.addFilter(logs.ConnectionFilter())
    logger.addHandler(handler)
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(talkative(logger), spans)))
    provider.shutdown()

    (handshake,) = spans.named("websocket.handshake")
    exported = [dict(finished.log_record.attributes or {}) for finished in exporter.get_finished_logs()]
    assert len(exported) == 3
    assert {attributes["connection_id"] for attributes in exported} == {
        handshake.attributes["acceptfirst.connection.id"]
    }
