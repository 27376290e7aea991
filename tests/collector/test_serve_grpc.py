"""OTLP/gRPC: the same way into the log, and errors that make clients keep or drop what they should."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from acceptfirst_collector.grpc_service import SERVICE

EXPORT = f"/{SERVICE}/Export"


@pytest.fixture
def export(serve: Any) -> Iterator[Callable[..., bytes]]:
    """Call Export with raw bytes, as any client could."""
    with grpc.insecure_channel(serve.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        yield lambda body, **options: call(body, timeout=30, **options)


def _refusal(export: Callable[..., bytes], body: bytes) -> Any:
    with pytest.raises(grpc.RpcError) as refused:
        export(body)
    return refused.value


def test_spans_of_the_official_exporter_are_stored(
    start_serve: Any, stored_names: Callable[[pathlib.Path], list[str]]
) -> None:
    """The SDK's own gRPC exporter, a real serve, a real store."""
    serve = start_serve()
    exporter = OTLPSpanExporter(endpoint=f"http://{serve.grpc_address}", insecure=True)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for name in ("a", "b"):
        provider.get_tracer("test").start_span(name).end()
    provider.shutdown()
    serve.stop()

    assert stored_names(serve.data_dir) == ["a", "b"]


def test_success_leaves_partial_success_unset(export: Callable[..., bytes], make_request: Callable[..., bytes]) -> None:
    """The whole message is no bytes at all."""
    assert export(make_request("a")) == b""
    assert export(b"") == b""


def test_body_that_is_no_request_is_refused_for_good(export: Callable[..., bytes]) -> None:
    """INVALID_ARGUMENT, with a Status and a BadRequest that say what was expected, and no RetryInfo."""
    error = _refusal(export, b"not protobuf at all")
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = error_details_pb2.BadRequest()
    assert "ExportTraceServiceRequest" in status.message
    assert len(status.details) == 1
    assert status.details[0].Unpack(details)
    assert details.field_violations[0].description == status.message


def test_message_over_the_limit_is_refused_for_good(export: Callable[..., bytes]) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo: sent again it would be as large."""
    error = _refusal(export, b"\x00" * 200_000)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ())


def test_small_message_that_inflates_over_the_limit_is_refused(serve: Any) -> None:
    """The limit holds behind gzip as well."""
    with grpc.insecure_channel(serve.grpc_address, compression=grpc.Compression.Gzip) as channel:
        error = _refusal(channel.unary_unary(EXPORT), b"\x00" * 5_000_000)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_unknown_method_is_unimplemented(serve: Any) -> None:
    """What we don't speak is said so."""
    with grpc.insecure_channel(serve.grpc_address) as channel:
        error = _refusal(channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export"), b"")

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_log_that_can_not_be_written_is_a_reason_to_come_back(
    start_serve: Any, make_request: Callable[..., bytes]
) -> None:
    """UNAVAILABLE with RetryInfo: clients keep what they hold."""
    code = (
        "import pathlib, sys\nimport chdb\n"
        "from acceptfirst_collector.server import run\nfrom acceptfirst_collector.settings import CollectorSettings\n"
        "run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, grpc_port=0, backlog_bytes_max=0))\n"
    )
    serve = start_serve(code=code)
    with grpc.insecure_channel(serve.grpc_address) as channel:
        error = _refusal(channel.unary_unary(EXPORT), make_request("a"))

    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds > 0


def test_token_is_asked_for(start_serve: Any, tmp_path: pathlib.Path, make_request: Callable[..., bytes]) -> None:
    """Without it UNAUTHENTICATED, with it the request is taken."""
    (tmp_path / "token").write_text("s3cret")
    serve = start_serve("--token-file", str(tmp_path / "token"))
    with grpc.insecure_channel(serve.grpc_address) as channel:
        call = channel.unary_unary(EXPORT)
        error = _refusal(call, make_request("a"))
        taken = call(make_request("a"), metadata=[("authorization", "Bearer s3cret")])

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert taken == b""


def test_request_over_grpc_and_over_http_is_one_request(
    start_serve: Any, make_request: Callable[..., bytes], stored_names: Callable[[pathlib.Path], list[str]]
) -> None:
    """A client that never saw our answer may come back by the other door."""
    serve = start_serve()
    body = make_request("once", start_ns=time.time_ns())
    with grpc.insecure_channel(serve.grpc_address) as channel:
        channel.unary_unary(EXPORT)(body)
    assert serve.post(body).status_code == 200
    serve.stop()

    assert stored_names(serve.data_dir) == ["once"]
