"""OTLP's JSON into the message that it spells: proto3 JSON, but for ids in hex and enums as numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from acceptfirst_collector.otlp.refusal import RefusedError

#: Of what holds spans and their ids; a name that OTLP does not know is ignored, however it is spelt.
_SNAKE_NAMES = frozenset(
    field.name
    for message in (ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span, Span.Link)
    for field in message.DESCRIPTOR.fields
    if "_" in field.name
)
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def parse_json(body: bytes) -> ExportTraceServiceRequest:
    """Parse an ExportTraceServiceRequest in OTLP's JSON; unknown fields are ignored, `null` is unset.

    Raises:
        RefusedError: 400, with what is wrong with it.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise _refused(f"expected an object, but got {type(document).__name__}")
        _require_camel_case(document)
        for span in _spans(document):
            _settle_span(span)
        request = ExportTraceServiceRequest()
        ParseDict(document, request, ignore_unknown_fields=True)
    except (ValueError, ParseError, RecursionError) as error:
        raise _refused(f"expected OTLP JSON, but: {error}") from error
    return request


def _spans(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource_spans in _objects(document, "resourceSpans"):
        _require_camel_case(resource_spans)
        for scope_spans in _objects(resource_spans, "scopeSpans"):
            _require_camel_case(scope_spans)
            yield from _objects(scope_spans, "spans")


def _objects(parent: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = parent.get(key) or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _refused(f"expected {key} to be a list of objects")
    return items


def _settle_span(span: dict[str, Any]) -> None:
    _require_camel_case(span)
    _settle_ids(span)
    for link in _objects(span, "links"):
        _require_camel_case(link)
        _settle_ids(link)
    status = span.get("status") or {}
    for name, value in (
        ("kind", span.get("kind")),
        ("status.code", status.get("code") if isinstance(status, dict) else 0),
    ):
        if isinstance(value, str):
            raise _refused(f"expected {name} to be a number (OTLP JSON spells no enum by name), but got {value[:64]!r}")


def _require_camel_case(holder: dict[str, Any]) -> None:
    """Refuse OTLP's own names in snake case: proto3 JSON would take them, and read their ids as base64."""
    for name in holder:
        if name in _SNAKE_NAMES:
            raise _refused(f"expected names in lowerCamelCase, but got {name!r}")


def _settle_ids(holder: dict[str, Any]) -> None:
    """Hex as OTLP has it into base64 as proto3 JSON has it, in place."""
    for key, size in _ID_BYTES.items():
        given = holder.get(key)
        if given is None or given == "":
            continue
        raw = _unhex(given)
        if len(raw) != size:
            raise _refused(f"expected {key} to be {2 * size} hex digits, but got {str(given)[:64]!r}")
        holder[key] = base64.b64encode(raw).decode()


def _unhex(given: Any) -> bytes:
    try:
        return bytes.fromhex(given)
    except (TypeError, ValueError):
        return b""


def _refused(message: str) -> RefusedError:
    return RefusedError(400, message)
