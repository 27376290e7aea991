"""The limits that users set for span attributes hold for finished spans, as the SDK's own span limits do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import acceptfirst

MESSAGES = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and waits for the disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def finished(server: Any, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[Any]:
    """The spans of a connection under limits from the environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watched = acceptfirst.instrument(healthy, environment="testing", tracer_provider=provider)
    asyncio.run(server(MESSAGES).run(watched))
    yield from exporter.get_finished_spans()


def test_texts_are_cut_at_the_limit(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT``; numbers stay what they are."""
    for span in finished(server, monkeypatch, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="6"):
        assert max(len(value) for value in span.attributes.values() if isinstance(value, str)) == 6
        assert span.attributes["acceptfirst.environment"] == "testin"
        assert span.attributes["acceptfirst.sample.weight"] == 1.0
        assert span.dropped_attributes == 0


def test_attributes_over_the_limit_are_dropped_and_counted(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT``: the first stay, the connection's id among them."""
    whole = [len(span.attributes) for span in finished(server, monkeypatch)]
    kept = list(finished(server, monkeypatch, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="3"))

    assert [len(span.attributes) + span.dropped_attributes for span in kept] == whole
    assert [len(span.attributes) for span in kept] == [3] * len(whole)
    assert all("acceptfirst.connection.id" in span.attributes for span in kept)


def test_the_general_limit_holds_where_the_spans_own_is_not_set(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_ATTRIBUTE_COUNT_LIMIT``."""
    for span in finished(server, monkeypatch, OTEL_ATTRIBUTE_COUNT_LIMIT="2"):
        assert len(span.attributes) == 2
