"""The OTLP/HTTP checklist against a real serve process: every answer has the right status, type and body."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

LIMIT = 100_000
PROTOBUF = "application/x-protobuf"


def _refusal(answer: httpx.Response, status: int) -> str:
    """Check a refusal's shape; return its message."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == PROTOBUF
    message: str = Status.FromString(answer.content).message
    assert message
    assert "Traceback" not in message
    return message


def test_serve_answers_an_empty_message_when_everything_is_accepted(
    serve: Any, make_request: Callable[..., bytes]
) -> None:
    """Exactly 200, partial_success unset, the request's own type."""
    answer = serve.post(make_request("a"))
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, b"", PROTOBUF)
    assert not ExportTraceServiceResponse.FromString(answer.content).HasField("partial_success")


@pytest.mark.parametrize(
    "headers", [{"content_type": "Application/X-Protobuf; charset=utf-8"}, {"content_encoding": "identity"}]
)
def test_serve_accepts_a_header_in_any_spelling(
    serve: Any, make_request: Callable[..., bytes], headers: dict[str, str]
) -> None:
    """Media types have parameters and no case; no encoding is the encoding identity."""
    body = make_request("a")
    sent = {"Content-Type": PROTOBUF, **{name.replace("_", "-").title(): value for name, value in headers.items()}}
    assert httpx.post(f"{serve.url}/v1/traces", content=body, headers=sent).status_code == 200


@pytest.mark.parametrize("envelopes", [0, 1, 2])
def test_serve_accepts_a_request_without_spans(serve: Any, envelopes: int) -> None:
    """No telemetry is no error, nor are envelopes with nothing in them."""
    request = ExportTraceServiceRequest()
    for _ in range(envelopes):
        request.resource_spans.add().scope_spans.add()
    assert serve.post(request.SerializeToString()).status_code == 200


def test_serve_accepts_gzip_in_several_members(serve: Any, make_request: Callable[..., bytes]) -> None:
    """The format allows members one after the other."""
    body = make_request("a")
    assert serve.post(gzip.compress(body[:20]) + gzip.compress(body[20:]), content_encoding="gzip").status_code == 200


@pytest.mark.parametrize(
    "body", [b"zzz", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05\x12\x03\x12\x01\xff", b"{}", b"\x0b" * 1000]
)
def test_serve_answers_400_when_the_body_is_no_request(serve: Any, body: bytes) -> None:
    """What can't be parsed is never acknowledged."""
    assert "expected a protobuf ExportTraceServiceRequest" in _refusal(serve.post(body), 400)


def test_serve_answers_400_when_a_string_is_not_utf_8(serve: Any, make_request: Callable[..., bytes]) -> None:
    """Protobuf strings are UTF-8; the store would not mind, every reader of it would."""
    _refusal(serve.post(make_request("marker").replace(b"marker", b"mark\xff\xfe")), 400)


@pytest.mark.parametrize(
    "body",
    [
        b"no gzip",
        gzip.compress(b"x" * 500)[:-9],
        gzip.compress(b"x")[:5],
        zlib.compress(b"x"),
        gzip.compress(b"x") + b"y",
    ],
)
def test_serve_answers_400_when_the_body_can_not_be_inflated(serve: Any, body: bytes) -> None:
    """Not gzip, or gzip that ends in the middle."""
    assert "gzip" in _refusal(serve.post(body, content_encoding="gzip"), 400)


def test_serve_answers_413_when_the_body_is_too_large(serve: Any) -> None:
    """Before inflating, with the length announced."""
    message = _refusal(serve.post(b"x" * (LIMIT + 1)), 413)
    assert str(LIMIT) in message


def test_serve_answers_413_when_a_body_without_a_length_is_too_large(serve: Any) -> None:
    """Before inflating, chunked: the limit is counted, not believed."""
    chunks = iter([b"x" * 10_000] * 11)
    answer = httpx.post(f"{serve.url}/v1/traces", content=chunks, headers={"Content-Type": PROTOBUF})
    _refusal(answer, 413)


@pytest.mark.parametrize("size", [LIMIT + 1, 50_000_000])
def test_serve_answers_413_when_the_inflated_body_is_too_large(serve: Any, size: int) -> None:
    """After inflating: a few kilobytes of gzip are stopped at the limit."""
    assert "after inflating" in _refusal(serve.post(gzip.compress(b"\x00" * size), content_encoding="gzip"), 413)


def test_serve_answers_413_when_many_small_members_add_up(serve: Any) -> None:
    """Each member alone is small; the limit is on their sum."""
    _refusal(serve.post(gzip.compress(b"\x00" * 1000) * 101, content_encoding="gzip"), 413)


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip"])
def test_serve_answers_415_when_it_does_not_know_the_encoding(serve: Any, encoding: str) -> None:
    """It says what it reads."""
    assert "expected the Content-Encoding gzip" in _refusal(serve.post(b"x", content_encoding=encoding), 415)


def test_serve_answers_415_when_it_does_not_know_the_type(serve: Any) -> None:
    """With a Status, unlike the reference collector."""
    answer = httpx.post(f"{serve.url}/v1/traces", content=b"x", headers={"Content-Type": "text/plain"})
    assert PROTOBUF in _refusal(answer, 415)


def test_serve_answers_in_json_when_it_was_asked_in_json(serve: Any) -> None:
    """An error comes in the request's own encoding."""
    answer = httpx.post(f"{serve.url}/v1/traces", json=["no", "request"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json()["message"]


def test_serve_answers_405_when_the_method_is_wrong(serve: Any) -> None:
    """Traces are only posted."""
    answer = httpx.get(f"{serve.url}/v1/traces")
    _refusal(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_serve_answers_404_when_the_path_is_unknown(serve: Any) -> None:
    """With a Status as well."""
    _refusal(httpx.post(f"{serve.url}/v1/nothing", content=b"x", headers={"Content-Type": PROTOBUF}), 404)


def test_serve_still_answers_when_a_client_goes_away_in_the_middle(
    serve: Any, make_request: Callable[..., bytes]
) -> None:
    """A body that never ends is nobody else's trouble."""

    def broken() -> Any:
        yield b"x" * 100
        raise KeyError("gone")

    with pytest.raises(KeyError):
        httpx.post(f"{serve.url}/v1/traces", content=broken(), headers={"Content-Type": PROTOBUF})
    assert serve.post(make_request("a")).status_code == 200


#: The real server with a bug in its door.
BROKEN_DOOR = """
import pathlib, sys
import chdb
from acceptfirst_collector import grpc_service, receive
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
def broken(body):
    raise ZeroDivisionError("secret detail")
receive._ADMIT["application/x-protobuf"] = receive._ADMIT["application/json"] = grpc_service.admit = broken
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, grpc_port=0))
"""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def test_serve_answers_503_when_it_fails_itself(start_serve: Any, make_request: Callable[..., bytes]) -> None:
    """Never 500, nor gRPC's UNKNOWN: clients would drop what they hold for a bug of ours."""
    serve = start_serve(code=BROKEN_DOOR)
    answer = serve.post(make_request("a"))
    assert "secret detail" not in _refusal(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    as_json = httpx.post(f"{serve.url}/v1/traces", json={"resourceSpans": []})
    assert (as_json.status_code, as_json.headers["Content-Type"]) == (503, "application/json")
    with grpc.insecure_channel(serve.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            call(make_request("a"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_serve_takes_the_limit_that_it_is_told(start_serve: Any, make_request: Callable[..., bytes]) -> None:
    """By its flag, for HTTP and gRPC alike."""
    serve = start_serve("--request-bytes-max", "2000")
    assert serve.post(make_request("a")).status_code == 200
    _refusal(serve.post(make_request("x" * 2000)), 413)
    with grpc.insecure_channel(serve.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            call(make_request("x" * 2000))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
