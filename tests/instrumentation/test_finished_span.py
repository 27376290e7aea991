"""A span that is spelt out when it is read says what the SDK's own span of the same values says, whoever reads it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import acceptfirst

MESSAGES = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]


class Keep(SpanProcessor):
    """Keeps every span without a look at it."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


async def fails(scope: Any, receive: Any, send: Any) -> None:
    """Violates, and fails before accept."""
    del scope
    await receive()
    await send({"type": "websocket.send", "text": "early"})
    raise ValueError


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and waits for the disconnect."""
    del scope
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


@pytest.fixture(params=[healthy, fails])
def spans(request: pytest.FixtureRequest, server: Any) -> list[ReadableSpan]:
    """The spans of a connection, which nobody has read yet."""
    keep, provider = Keep(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(keep)
    watched = acceptfirst.instrument(request.param, environment="testing", tracer_provider=provider)
    asyncio.run(_quietly(server(MESSAGES), watched))
    return keep.spans


async def _quietly(script: Any, app: Any) -> None:
    try:
        await script.run(app)
    except ValueError:
        return


def test_span_reads_as_the_sdks_own_does(spans: list[ReadableSpan]) -> None:
    """Whole, as an exporter to the console writes it; its text is made of the private fields, not the properties."""
    for span in spans:
        text = span.to_json()
        own = ReadableSpan(
            span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=span.attributes,
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        assert json.loads(text) == json.loads(own.to_json())
        assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (0, 0, 0)


@pytest.mark.parametrize("field", sorted(vars(ReadableSpan("x"))))
def test_each_field_is_there_when_it_is_the_first_that_is_read(spans: list[ReadableSpan], field: str) -> None:
    """Whatever a processor of somebody's looks at first."""
    for span in spans:
        own = vars(ReadableSpan("x"))[field]
        assert own is None or isinstance(getattr(span, field), type(own) | dict | tuple)


def test_status_is_error_when_it_is_the_first_that_is_read(spans: list[ReadableSpan]) -> None:
    """That of a handshake or a violation, and of no transition."""
    failed = {span.name for span in spans if not span.status.is_unset}

    violates = "websocket.violation" in {span.name for span in spans}
    assert failed == ({"websocket.handshake", "websocket.violation"} if violates else set())
