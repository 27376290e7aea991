"""Requests that the store parses itself become the very rows that the official exporter would have inserted."""

from __future__ import annotations

import os
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from acceptfirst_store.database import Database
from acceptfirst_store.errors import DataRefused

START_NS = 1_795_000_000_123_456_789


VALUES = [
    (AnyValue(string_value="x"), "x"),
    (AnyValue(string_value=""), ""),
    (AnyValue(bool_value=False), "false"),
    (AnyValue(bool_value=True), "true"),
    (AnyValue(int_value=0), "0"),
    (AnyValue(int_value=-(2**63)), str(-(2**63))),
    (AnyValue(double_value=0.5), "0.5"),
    (AnyValue(double_value=25.0), "25"),
    (AnyValue(double_value=-1.0e-7), "-1e-7"),
    (AnyValue(double_value=1.7976931348623157e308), "1.7976931348623157e308"),
    (AnyValue(double_value=float("nan")), "nan"),
    (AnyValue(bytes_value=b"\x00\xff"), "AP8="),
    (AnyValue(), ""),
]


def _request(**span: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name", value=AnyValue(string_value="chat"))
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "acceptfirst", "1"
    fields = {"name": os.urandom(8).hex(), "start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + 7, **span}
    scope_spans.spans.add(**fields)
    return request


def _row(database: Database, request: ExportTraceServiceRequest) -> dict[str, Any]:
    name = request.resource_spans[0].scope_spans[0].spans[0].name
    database.insert_requests(request.SerializeToString(), name)
    [row] = database.rows(
        "SELECT *, toUnixTimestamp64Nano(Timestamp) AS ns FROM acceptfirst.otel_traces WHERE SpanName = {n:String}",
        {"n": name},
    )
    return row


def test_store_writes_a_span_as_the_exporter_does(database: Database) -> None:
    """Ids in lower hex, words for kind and status, nanoseconds kept."""
    row = _row(
        database,
        _request(
            trace_id=b"\xab" * 16,
            span_id=b"\xcd" * 8,
            kind=Span.SPAN_KIND_SERVER,
            status=Status(code=Status.STATUS_CODE_ERROR, message="no"),
        ),
    )
    found = {key: row[key] for key in ("TraceId", "SpanId", "ParentSpanId", "SpanKind", "StatusCode", "ns", "Duration")}
    assert found == {
        "TraceId": "ab" * 16,
        "SpanId": "cd" * 8,
        "ParentSpanId": "",
        "SpanKind": "Server",
        "StatusCode": "Error",
        "ns": START_NS,
        "Duration": 7,
    }
    assert (row["ServiceName"], row["ScopeName"], row["ScopeVersion"]) == ("chat", "acceptfirst", "1")


@pytest.mark.parametrize(("value", "text"), VALUES, ids=[text or "empty" for _, text in VALUES])
def test_store_writes_an_attribute_as_text(database: Database, value: AnyValue, text: str) -> None:
    """Each kind of value becomes the text that the exporter makes of it."""
    request = _request()
    request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="k", value=value)
    assert _row(database, request)["SpanAttributes"] == {"k": text}


def test_store_keeps_events_and_links(database: Database) -> None:
    """Nested columns have one entry each."""
    request = _request()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    event = span.events.add(name="e", time_unix_nano=START_NS)
    event.attributes.add(key="k", value=AnyValue(int_value=1))
    span.links.add(trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    row = _row(database, request)
    assert (row["Events.Name"], row["Events.Attributes"]) == (["e"], [{"k": "1"}])
    assert (row["Links.TraceId"], row["Links.SpanId"]) == (["01" * 16], ["02" * 8])


def test_store_takes_concatenated_requests_as_one(database: Database) -> None:
    """Protobuf messages one after the other are one larger message."""
    name = os.urandom(8).hex()
    database.insert_requests(_request(name=name).SerializeToString() * 3, name)
    [row] = database.rows("SELECT count() AS n FROM acceptfirst.otel_traces WHERE SpanName = {n:String}", {"n": name})
    assert row["n"] == 3


def test_store_drops_the_twin_when_a_token_comes_again(database: Database) -> None:
    """The same block under the same token adds nothing at any level."""
    request = _request(name=os.urandom(8).hex())
    _row(database, request)
    assert _row(database, request)["SpanName"]


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2**64 - 1, 0), (0, 2**64 - 1), (2**63 - 1, 2**63), (5, 4)])
def test_store_takes_any_clock(database: Database, start: int, end: int) -> None:
    """A hostile or broken clock must not refuse the whole block."""
    request = _request(start_time_unix_nano=start, end_time_unix_nano=end)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="acceptfirst.connection.id", value=AnyValue(string_value="c"))
    assert 0 <= _row(database, request)["Duration"] < 2**64


@pytest.mark.parametrize(
    "body", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0a\x02\x08\x05", b"\xa3\x06\x08\x01\xa4\x06"], ids=bytes.hex
)
def test_store_blames_the_data_when_they_can_not_be_parsed(database: Database, body: bytes) -> None:
    """Torn bytes, wrong wire types and unknown groups are no reason to wait for a better time."""
    with pytest.raises(DataRefused, match="refused the data of insert into otlp_plain_requests"):
        database.insert_requests(body, body.hex())


def test_store_fills_what_is_missing_when_a_batch_was_stored_in_part(database: Database) -> None:
    """A crash between two tables of one insert: the replay under the same token completes it, without twins."""
    request = _request(name="websocket.transition")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="acceptfirst.connection.id", value=AnyValue(string_value="half-stored"))
    database.insert_requests(request.SerializeToString(), "half")
    database.run("TRUNCATE TABLE acceptfirst.handshakes")
    database.insert_requests(request.SerializeToString(), "half")
    [row] = database.rows(
        "SELECT (SELECT count() FROM acceptfirst.handshakes) AS handshakes, "
        "(SELECT count() FROM acceptfirst.otel_traces "
        "WHERE SpanAttributes['acceptfirst.connection.id'] = 'half-stored') AS spans"
    )
    assert row == {"handshakes": 1, "spans": 1}


def test_store_blames_the_data_when_they_are_scattered_over_too_many_days(database: Database) -> None:
    """Each day is a partition and a part; thousands in one block are hostile, and must not count as a busy store."""
    days = range(1001)
    body = b"".join(_request(start_time_unix_nano=day * 86_400_000_000_000).SerializeToString() for day in days)
    with pytest.raises(DataRefused, match="Too many partitions"):
        database.insert_requests(body, "scattered")


def test_store_has_indexes_of_attributes_when_parts_were_merged(database: Database) -> None:
    """An insert doesn't pay for them, a search in what was merged doesn't miss them."""
    request = _request(start_time_unix_nano=START_NS - 400 * 86_400_000_000_000)  # a partition of its own
    size = """SELECT secondary_indices_uncompressed_bytes AS n FROM system.parts
        WHERE active AND table = 'otel_traces' AND partition = {day:String}"""
    day = str(_row(database, request)["Timestamp"].date())
    [before] = database.rows(size, {"day": day})
    database.run(f"OPTIMIZE TABLE acceptfirst.otel_traces PARTITION '{day}' FINAL")
    [after] = database.rows(size, {"day": day})
    assert after["n"] > before["n"]
