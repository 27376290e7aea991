"""OTLP/gRPC: `TraceService/Export` on the same way into the log as HTTP.

Bad data is INVALID_ARGUMENT and final; what may succeed later is UNAVAILABLE with RetryInfo; a message over the limit
is RESOURCE_EXHAUSTED without it, which gRPC itself answers before we see the message.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from acceptfirst_collector.access.tokens import Scope
from acceptfirst_collector.intake import Intake, later
from acceptfirst_collector.otlp.door import admit
from acceptfirst_collector.otlp.refusal import PROTOBUF, RefusedError
from acceptfirst_collector.relay import not_ours
from acceptfirst_collector.services import Services
from acceptfirst_collector.settings import TlsFiles

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
RELAYED = {
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "/v1/metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "/v1/logs",
}
STOP_SECONDS_MAX = 1.0
METADATA_BYTES_MAX = 16 << 10
HANDSHAKE_MS_MAX = 10_000
IDLE_MS_MAX = 300_000
_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {
    400: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT),
    401: (grpc.StatusCode.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED),
    403: (grpc.StatusCode.PERMISSION_DENIED, code_pb2.PERMISSION_DENIED),
    429: (grpc.StatusCode.RESOURCE_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED),  # with RetryInfo, so it is sent again
    404: (grpc.StatusCode.UNIMPLEMENTED, code_pb2.UNIMPLEMENTED),
    503: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE),
}
#: A status of the receiver behind that has no code of its own.
_FINAL = (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION)

logger = logging.getLogger(__name__)


class GrpcListenError(Exception):
    """The address can't be bound."""


class GrpcReceiver:
    """A gRPC server beside the HTTP one, on the same event loop.

    Args:
        services: open for as long as it runs.
        host: the address to bind.
        port: 0 for any free one; `port` says which, once started.
    """

    def __init__(self, services: Services, host: str, port: int) -> None:
        self._intake = Intake(services)
        self._metrics = services.metrics
        self._tokens = services.tokens
        self._rate = services.rate
        self._hold = services.hold
        self._forwarder = services.forwarder
        self._tls = services.settings.tls
        self._host = host
        self.port = port
        self._server: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            GrpcListenError: the address is taken or not ours.
        """
        options = [
            ("grpc.max_receive_message_length", self._intake.request_bytes_max),
            ("grpc.so_reuseport", 0),
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
            ("grpc.max_connection_idle_ms", IDLE_MS_MAX),
        ]
        server = grpc.aio.server(options=options)
        for service, export in ((SERVICE, self._export), *self._relays()):
            handler = grpc.unary_unary_rpc_method_handler(export)
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        try:
            if self._tls is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, _credentials(self._tls))
        except RuntimeError as error:
            raise GrpcListenError(f"the address {address} can't be bound for OTLP/gRPC") from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Take no more requests; those under way get a moment."""
        if self._server is not None:
            await self._server.stop(STOP_SECONDS_MAX)

    def _relays(self) -> Iterator[tuple[str, Any]]:
        """What answers for the signals that are only passed on."""
        for service, path in RELAYED.items():
            yield service, functools.partial(self._answer, functools.partial(self._relayed, path))

    async def _export(self, body: bytes, context: Any) -> bytes:
        return await self._answer(self._stored, body, context)

    async def _answer(self, take: Callable[[bytes], Awaitable[bytes]], body: bytes, context: Any) -> bytes:
        try:
            self._require_token(context)
            with self._hold.lease() as lease:
                lease.grow(len(body))
                answer = await take(body)
        except RefusedError as error:
            refusal = error
        except Exception:
            # Left to gRPC this would be UNKNOWN, upon which clients drop what they hold.
            logger.exception("a gRPC request could not be taken")
            refusal = later("the collector failed; send the request again later")
        else:
            self._metrics.count_answer("grpc", 200)
            return answer
        self._metrics.count_answer("grpc", refusal.status)
        await _abort(context, refusal)
        return b""

    async def _stored(self, body: bytes) -> bytes:
        await self._intake.take(body, admit, PROTOBUF)
        return b""

    async def _relayed(self, path: str, body: bytes) -> bytes:
        if self._forwarder is None:
            raise not_ours(path)
        return await self._forwarder.relay(path, PROTOBUF, body)

    def _require_token(self, context: Any) -> None:
        scheme, _, given = str(dict(context.invocation_metadata() or ()).get("authorization", "")).partition(" ")
        token = self._tokens.find(given.strip()) if scheme.lower() == "bearer" and given else None
        if token is None and self._tokens.are_required:
            raise RefusedError(
                401, "expected the metadata authorization: Bearer <token>; give a token of the collector"
            )
        if token is not None and Scope.INGEST not in token.scopes:
            raise RefusedError(403, "expected a token with the scope ingest; this one has it not")
        self._rate.take(token.name if token is not None else _host_of(context.peer()))


def _credentials(tls: TlsFiles) -> Any:
    """The files as gRPC wants them; read again for each connection, so a renewed certificate needs no restart."""
    authorities = tls.client_authorities.read_bytes() if tls.client_authorities else None

    def current() -> Any:
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration((pair,), authorities)

    return grpc.dynamic_ssl_server_credentials(
        current(), current, require_client_authentication=authorities is not None
    )


def _host_of(peer: str) -> str:
    """The address in what gRPC calls a peer, such as `ipv4:127.0.0.1:43210`."""
    return peer.partition(":")[2].rpartition(":")[0]


async def _abort(context: Any, refusal: RefusedError) -> None:
    code, number = _CODES.get(refusal.status, _FINAL)
    status = status_pb2.Status(code=number, message=refusal.message)
    if refusal.status == 400:  # noqa: PLR2004 - the one status for which OTLP recommends details
        details = error_details_pb2.BadRequest()
        details.field_violations.add(field="request", description=refusal.message)
        status.details.add().Pack(details)
    if refusal.retry_after_seconds is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromSeconds(refusal.retry_after_seconds)
        status.details.add().Pack(info)
    await context.abort(code, refusal.message, ((_DETAILS_KEY, status.SerializeToString()),))
