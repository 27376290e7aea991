"""Each violation is one line of log, in words and in fields, and a flood of them is a count."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import acceptfirst
from acceptfirst import failsafe
from acceptfirst.diagnosis.rate_limit import RateLimit
from acceptfirst.diagnosis.violation_log import LOGGER_NAME

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
SECRET = "s3cr3t"  # noqa: S105 - a word to look for
MESSAGE = {"type": "websocket.send", "text": SECRET}


async def sends_after_its_own_close(scope: Any, receive: Any, send: Any) -> None:
    """One warning."""
    await receive()
    await send(ACCEPT)
    await send(CLOSE)
    await send(MESSAGE)


async def sends_before_accept(scope: Any, receive: Any, send: Any) -> None:
    """One critical violation."""
    await receive()
    await send(MESSAGE)
    await send(ACCEPT)


class Route:
    """What a framework puts into the scope."""

    path = "/ws/{room}"


def play(app: Any, server: Any, caplog: pytest.LogCaptureFixture, connections: int = 1) -> list[logging.LogRecord]:
    """The records of some connections, one after the other."""

    async def run() -> None:
        for _ in range(connections):
            script = server([CONNECT])
            script.scope |= {
                "path": f"/ws/{SECRET}",
                "query_string": f"token={SECRET}".encode(),
                "headers": [(b"authorization", SECRET.encode())],
                "route": Route(),
            }
            await script.run(app)

    caplog.set_level(logging.WARNING, LOGGER_NAME)
    asyncio.run(run())
    return [record for record in caplog.records if record.name == LOGGER_NAME]


def watched(app: Any, **options: Any) -> Any:
    """The application, instrumented."""
    return acceptfirst.AcceptFirstMiddleware(app, environment="testing", **options)


@pytest.mark.parametrize(
    ("app", "level"), [(sends_after_its_own_close, logging.WARNING), (sends_before_accept, logging.ERROR)]
)
def test_violation_is_one_record_of_its_severitys_level(
    server: Any, caplog: pytest.LogCaptureFixture, app: Any, level: int
) -> None:
    """A warning warns, what is critical is an error."""
    records = play(watched(app), server, caplog)
    assert [record.levelno for record in records] == [level]


def test_message_says_what_where_whether_to_wait_and_how_to_mend(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One line, and no stack is needed to read it."""
    (record,) = play(watched(sends_after_its_own_close), server, caplog)
    message = record.getMessage()

    assert message.startswith("send_after_close (warning) on /ws/{room}: the application itself had closed")
    assert "Does a delay help? No." in message
    assert "Fix: Take the connection out of every list" in message
    assert "\n" not in message


def test_record_carries_the_same_as_fields(server: Any, spans: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Under the names of the span, so that a log and a trace are joined without a table."""
    app = watched(sends_after_its_own_close, tracer_provider=spans.provider)
    (record,) = play(app, server, caplog)
    (span,) = spans.named("websocket.violation")
    fields = vars(record)

    common = ["connection.id", "environment", "signature", "pattern.type", "pattern.severity"]
    assert {name: fields[f"acceptfirst.{name}"] for name in common} == {
        name: span.attributes[f"acceptfirst.{name}"] for name in common
    }
    assert fields["acceptfirst.trace.id"] == f"{span.context.trace_id:032x}"
    assert fields["http.route"] == "/ws/{room}"
    assert fields["acceptfirst.pattern.delay_helps"] == "useless"
    assert fields["acceptfirst.pattern.docs"] == "patterns/send_after_close.md"


def test_fields_can_go_into_json(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Plain strings and numbers."""
    (record,) = play(watched(sends_after_its_own_close), server, caplog)
    fields = {name: value for name, value in vars(record).items() if "." in name}
    assert json.loads(json.dumps(fields)) == fields


def test_trace_is_the_servers_where_nothing_is_exported(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A backend that is traced by others finds its line by its own trace id."""
    span = NonRecordingSpan(SpanContext(0xABC, 1, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span):
        (record,) = play(watched(sends_after_its_own_close), server, caplog)
    assert vars(record)["acceptfirst.trace.id"] == f"{0xABC:032x}"


def test_nothing_of_payload_header_query_or_path_is_written(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The secret stands in all four."""
    (record,) = play(watched(sends_after_its_own_close), server, caplog)
    assert SECRET not in str(vars(record))


def test_flood_is_five_lines_and_a_count(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """When the server shuts down, what was kept back is told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await sends_after_its_own_close(scope, receive, send)

    instrumented = watched(app)
    play(instrumented, server, caplog, connections=30)
    asyncio.run(instrumented({"type": "lifespan"}, None, None))
    records = [record for record in caplog.records if record.name == LOGGER_NAME]

    assert len(records) == 6
    assert records[-1].getMessage() == "send_after_close (warning) on /ws/{room}: … and 25 more in the last 0 s"
    assert vars(records[-1])["acceptfirst.violations.suppressed"] == 25


def test_count_comes_at_the_end_of_the_interval_by_itself(server: Any) -> None:
    """Nobody has to shut down or to err again for it."""
    instrumented = watched(sends_after_its_own_close)
    instrumented._telemetry.log._limit = RateLimit(burst=1, interval_s=0.5)

    summarised = asyncio.Event()

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "… and 3 more" in record.getMessage():
                summarised.set()

    async def run() -> None:
        for _ in range(4):
            await server([CONNECT]).run(instrumented)
        async with asyncio.timeout(30):
            await summarised.wait()

    handler = Waits()
    logging.getLogger(LOGGER_NAME).addHandler(handler)
    try:
        asyncio.run(run())
    finally:
        logging.getLogger(LOGGER_NAME).removeHandler(handler)
    assert summarised.is_set()


def test_logger_that_is_off_costs_nothing_and_says_nothing(
    server: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logging's own switches are the switches."""
    monkeypatch.setattr(logging.getLogger(LOGGER_NAME), "disabled", True)
    assert play(watched(sends_after_its_own_close), server, caplog) == []


def test_handler_that_raises_stops_neither_the_application_nor_the_spans(
    server: Any, spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is counted, theirs goes on."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError(f"the disk is full: {record.name}")

    handler = Broken()
    logging.getLogger(LOGGER_NAME).addHandler(handler)
    try:
        error = asyncio.run(server([CONNECT]).run(watched(sends_after_its_own_close, tracer_provider=spans.provider)))
    finally:
        logging.getLogger(LOGGER_NAME).removeHandler(handler)
    failed = dict(failsafe.failures)
    failsafe.failures.clear()

    assert (error, failed) == (None, {"ViolationLog.violated": 1})
    assert spans.violations() == ["send_after_close"]
