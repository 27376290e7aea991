"""One server process holds an application thrice: as it is, observed, and observed in event mode.

``/plain/<scenario>`` is the application without the middleware, ``/observed/<scenario>`` with it. Around all of them
the diary notes how the application left, which is what the server gets to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

import acceptfirst
from acceptfirst import failsafe
from server_matrix.applications import diary

HANDSHAKE_TIMEOUT_MS: Final = 2500.0
"""Far above what an honest handshake takes on a busy machine, below what a receive waits."""


class FileExporter(SpanExporter):
    """Writes each span as one line of JSON, and as the request that an exporter would send, at once."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans to ``spans.ndjson`` and to ``request.otlp``: requests in a row are one request."""
        with (diary.FOLDER / "request.otlp").open("ab") as request:
            request.write(encode_spans(spans).SerializeToString())
        lines = [json.dumps(_plain(span)) + "\n" for span in spans]
        with (diary.FOLDER / "spans.ndjson").open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        return SpanExportResult.SUCCESS


def _plain(span: ReadableSpan) -> dict[str, Any]:
    trace_id = span.context.trace_id if span.context else 0
    return {"trial": f"{trace_id:032x}", "name": span.name, "attributes": dict(span.attributes or {})}


class Variants:
    """The ASGI application that a server loads."""

    def __init__(self, build: Callable[[str], Any]) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(FileExporter()))
        policy = acceptfirst.Policy(environment="testing", handshake_timeout_ms=HANDSHAKE_TIMEOUT_MS)
        self._variants = {
            "plain": build("plain"),
            "observed": acceptfirst.instrument(build("observed"), policy=policy, tracer_provider=provider),
            "event": acceptfirst.instrument(build("event"), policy=policy, tracer_provider=provider, readiness="event"),
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand a WebSocket to its variant; answer everything else by ourselves."""
        if scope["type"] != "websocket":
            await _answer(scope["type"], receive, send)
            return
        diary.trial.set(_trace_id(scope))
        try:
            await self._variants[scope["path"].split("/")[1]](scope, receive, send)
        except BaseException as error:
            _left(diary.named(error))
            raise
        _left("returns")


def _left(how: str) -> None:
    diary.note(left=how, failures={name: str(count) for name, count in failsafe.failures.items()})


def _trace_id(scope: Any) -> str:
    header: bytes = next(value for name, value in scope["headers"] if name == b"traceparent")
    return header.decode("ascii").split("-")[1]


async def _answer(kind: str, receive: Any, send: Any) -> None:
    if kind == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif kind == "http":  # the runner asks whether the server is up
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
