"""What the door rewrites, what it leaves as it is, and what the window of resends remembers."""

from __future__ import annotations

import concurrent.futures
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from acceptfirst_collector.otlp.door import admit, canonical
from acceptfirst_collector.otlp.inflate import Inflater
from acceptfirst_collector.otlp.lists import has_lists, parse_request
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.otlp.resends import ResendWindow

PLAIN: list[Any] = ["x", "", 1, 1.5, True, None, b"\xff"]
LISTS: list[Any] = [
    [],
    {},
    [1, "a", None],
    {"a": 1.5, "b": "c"},
    [[1]],
    [{}],
    {"a": {"b": {"c": True}}},
    [1, [2, [3, [4]]]],
]


def _span(payload: bytes) -> Any:
    return ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_door_leaves_a_request_as_it_came_when_the_store_can_read_it(
    make_request: Callable[..., bytes], value: Any
) -> None:
    """Not a byte is touched."""
    body = make_request("a", attributes={"k": value})
    assert admit(body).payload == body


@pytest.mark.parametrize("value", LISTS, ids=repr)
def test_door_rewrites_an_array_or_a_map_as_json(make_request: Callable[..., bytes], value: Any) -> None:
    """The text is what the official exporter would have stored; what stands beside it is left alone."""
    payload = admit(make_request("a", attributes={"before": "x", "k": value, "after": 2})).payload
    before, rewritten, after = _span(payload).attributes
    assert json.loads(rewritten.value.string_value) == value
    assert (before.value.string_value, after.value.int_value) == ("x", 2)
    assert not has_lists(parse_request(payload))


def test_door_spells_numbers_and_bytes_in_a_list_as_the_exporter_does(make_request: Callable[..., bytes]) -> None:
    """A whole float has no fraction, bytes are base64, a float that is no number is its name."""
    body = make_request("a", attributes={"k": [25.0, 0.5, 1e21, b"\x00\xff", float("nan"), 'a"/b<']})
    [attribute] = _span(admit(body).payload).attributes
    assert attribute.value.string_value == '[25,0.5,1e+21,"AP8=","nan","a\\"/b<"]'


def test_door_rewrites_lists_wherever_attributes_are() -> None:
    """Resource, scope, span, event and link: each may be the only one that has one."""
    listed = KeyValue(key="k", value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])))
    for place in range(5):
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        scope_spans = resource_spans.scope_spans.add()
        span = scope_spans.spans.add(name="a")
        holders = (resource_spans.resource, scope_spans.scope, span, span.events.add(), span.links.add())
        holders[place].attributes.append(listed)
        payload = admit(request.SerializeToString()).payload
        assert not has_lists(parse_request(payload))
        assert b"[1]" in payload


def test_door_refuses_a_list_that_is_none(make_request: Callable[..., bytes]) -> None:
    """What is in a list is parsed, too."""
    body = make_request("a", attributes={"k": ["x"]})
    assert body.count(b"\x0a\x03\x0a\x01x") == 1
    with pytest.raises(RefusedError, match="can't be parsed"):
        admit(body.replace(b"\x0a\x03\x0a\x01x", b"\x0a\x7f\x0a\x01x"))


def test_door_gives_the_same_digest_when_the_same_body_comes_again(make_request: Callable[..., bytes]) -> None:
    """The digest is of what came, not of what is stored."""
    body = make_request("a", attributes={"k": [[1]]})
    assert admit(body).digest == admit(body).digest
    assert admit(body).digest != admit(make_request("a", attributes={"k": [[1]]})).digest


@given(st.binary(max_size=200))
def test_door_admits_what_is_a_request_and_nothing_else(body: bytes) -> None:
    """Nothing but a refusal ever leaves it, and what it admits is still a request."""
    assert _is_request(body) == _is_admitted(body)


def _is_request(body: bytes) -> bool:
    try:
        ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return False
    return True


def _is_admitted(body: bytes) -> bool:
    try:
        admitted = admit(body)
    except RefusedError:
        return False
    ExportTraceServiceRequest.FromString(admitted.payload)
    return True


def test_door_drops_unknown_fields_in_the_canonical_form(make_request: Callable[..., bytes]) -> None:
    """What OTLP doesn't know is the first suspect when a store refuses a request."""
    body = make_request("a")
    assert canonical(body + b"\xfa\x3e\x03abc") == body


@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50))
def test_inflater_restores_any_members_in_any_chunks(parts: list[bytes], chunk_bytes: int) -> None:
    """Members are concatenated, however the network cuts them."""
    compressed = b"".join(gzip.compress(part) for part in parts)
    inflater = Inflater(10_000)
    for start in range(0, len(compressed), chunk_bytes):
        inflater.feed(compressed[start : start + chunk_bytes])
    assert inflater.finish() == b"".join(parts)


@given(st.integers(1, 500), st.integers(0, 1000))
def test_inflater_refuses_exactly_what_is_over_the_limit(limit: int, size: int) -> None:
    """The limit itself is still allowed."""
    inflater = Inflater(limit)
    if size <= limit:
        inflater.feed(gzip.compress(bytes(size)))
        assert len(inflater.finish()) == size
    else:
        with pytest.raises(RefusedError) as refusal:
            inflater.feed(gzip.compress(bytes(size)))
        assert refusal.value.status == 413


def _appended(error: Exception | None = None) -> concurrent.futures.Future[int]:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    if error is None:
        future.set_result(1)
    else:
        future.set_exception(error)
    return future


def test_window_forgets_a_body_when_its_time_is_over() -> None:
    """Until then it is known."""
    now = [0.0]
    window = ResendWindow(10, clock=lambda: now[0])
    window.remember(b"a", _appended())
    now[0] = 10.0
    assert window.find(b"a") is not None
    now[0] = 10.1
    assert window.find(b"a") is None


def test_window_does_not_know_a_body_whose_append_failed() -> None:
    """It was refused, so it must be tried again."""
    window = ResendWindow()
    window.remember(b"a", _appended(OSError("disk full")))
    assert window.find(b"a") is None
