"""OTLP's JSON: the same spans as its protobuf, and a clear refusal of what is neither."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from acceptfirst_collector.otlp.json_request import parse_json
from acceptfirst_collector.otlp.refusal import RefusedError

SPAN: dict[str, Any] = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "eee19b7ec3c1b173",
    "name": "I'm a server span",
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": 1544712661000000000,
    "kind": 2,
    "attributes": [
        {"key": "n", "value": {"intValue": "42"}},
        {"key": "m", "value": {"intValue": 43}},
        {"key": "d", "value": {"doubleValue": "NaN"}},
        {"key": "b", "value": {"bytesValue": "AQI="}},
        {"key": "none", "value": None},
    ],
    "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b172"}],
    "status": {"code": 2, "message": "m"},
    "somethingNew": {"of": "tomorrow"},
}


def body_of(span: Any) -> bytes:
    """A request with this one span."""
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}], "unknown": 1}).encode()


def parsed(**changes: Any) -> Any:
    """The span as it was understood."""
    return parse_json(body_of(SPAN | changes)).resource_spans[0].scope_spans[0].spans[0]


def test_ids_are_hex_in_either_case() -> None:
    """Not base64, as proto3 JSON would have it; those of links too."""
    span = parsed()
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert span.links[0].span_id.hex() == "eee19b7ec3c1b172"


def test_whole_numbers_keep_every_digit_as_text_or_as_number() -> None:
    """19 digits of nanoseconds survive."""
    span = parsed()
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert [pair.value.int_value for pair in span.attributes[:2]] == [42, 43]


@pytest.mark.parametrize("text", ["-_8=", "+/8=", "-_8"])
def test_bytes_are_base64_of_either_alphabet(text: str) -> None:
    """Standard or for URLs, with padding or without."""
    span = parsed(attributes=[{"key": "b", "value": {"bytesValue": text}}])
    assert span.attributes[0].value.bytes_value == b"\xfb\xff"


def test_other_values_are_those_of_proto3_json() -> None:
    """NaN by name, bytes in base64, null for nothing."""
    _, _, number, raw, nothing = parsed().attributes
    assert number.value.double_value != number.value.double_value
    assert raw.value.bytes_value == b"\x01\x02"
    assert nothing.value.WhichOneof("value") is None


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans": []}', b'{"resourceSpans": null}'])
def test_request_without_spans_is_a_request(body: bytes) -> None:
    """Empty envelopes are no error."""
    assert parse_json(body) == ExportTraceServiceRequest()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Expecting value"),
        (b"[]", "expected an object, but got list"),
        (b'{"resourceSpans": 7}', "expected resourceSpans to be a list of objects"),
        (body_of(SPAN | {"kind": "SPAN_KIND_SERVER"}), "expected kind to be a number"),
        (body_of(SPAN | {"status": {"code": "STATUS_CODE_OK"}}), "expected status.code to be a number"),
        (body_of(SPAN | {"traceId": "W47/95gDgQPSabYzgT/GDA=="}), "expected traceId to be 32 hex digits"),
        (
            body_of(SPAN | {"trace_id": "5b8efff798038103d269b633813fc60c"}),
            "names in lowerCamelCase, but got 'trace_id'",
        ),
        (b'{"resource_spans": []}', "names in lowerCamelCase, but got 'resource_spans'"),
        (body_of(SPAN | {"spanId": 7}), "expected spanId to be 16 hex digits"),
        (body_of(SPAN | {"startTimeUnixNano": "-1"}), "expected OTLP JSON, but:"),
        (b'{"resourceSpans": ' + b"[" * 100_000, "expected OTLP JSON, but:"),
        (b"\xff\xfe\x00", "expected OTLP JSON, but:"),
    ],
    ids=[
        "nothing",
        "list",
        "number",
        "kind",
        "status",
        "base64",
        "snake",
        "snake_envelope",
        "id",
        "negative",
        "deep",
        "bytes",
    ],
)
def test_body_that_is_no_request_is_refused_with_what_is_wrong(body: bytes, message: str) -> None:
    """400, never a traceback."""
    with pytest.raises(RefusedError) as refused:
        parse_json(body)
    assert refused.value.status == 400
    assert message in refused.value.message


def test_serve_answers_json_with_an_empty_object(serve: Any) -> None:
    """Full success, in the request's encoding, parameters of the type allowed."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = httpx.post(f"{serve.url}/v1/traces", content=body_of(SPAN), headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "application/json", b"{}")


def test_serve_answers_bad_json_with_a_status_in_json(serve: Any) -> None:
    """google.rpc.Status as JSON."""
    answer = httpx.post(f"{serve.url}/v1/traces", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
