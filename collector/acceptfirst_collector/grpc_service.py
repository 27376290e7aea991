"""OTLP/gRPC: `TraceService/Export` on the same way into the log as HTTP.

Bad data is INVALID_ARGUMENT and final; what may succeed later is UNAVAILABLE with RetryInfo; a message over the limit
is RESOURCE_EXHAUSTED without it, which gRPC itself answers before we see the message.
"""

from __future__ import annotations

import hmac
import logging
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from acceptfirst_collector.intake import Intake, later
from acceptfirst_collector.otlp.door import admit
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.services import Services

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
STOP_SECONDS_MAX = 1.0
_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {
    400: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT),
    401: (grpc.StatusCode.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED),
    503: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE),
}

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
        token = services.settings.token
        self._expected = f"Bearer {token}".encode() if token else b""
        self._host = host
        self.port = port
        self._server: Any = None

    async def start(self) -> None:
        """Listen.

        Raises:
            GrpcListenError: the address is taken or not ours.
        """
        options = [("grpc.max_receive_message_length", self._intake.request_bytes_max), ("grpc.so_reuseport", 0)]
        server = grpc.aio.server(options=options)
        export = grpc.unary_unary_rpc_method_handler(self._export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),))
        address = f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"
        try:
            self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise GrpcListenError(f"the address {address} can't be bound for OTLP/gRPC") from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Take no more requests; those under way get a moment."""
        if self._server is not None:
            await self._server.stop(STOP_SECONDS_MAX)

    async def _export(self, body: bytes, context: Any) -> bytes:
        try:
            self._require_token(context)
            await self._intake.take(body, admit)
        except RefusedError as error:
            refusal = error
        except Exception:
            # Left to gRPC this would be UNKNOWN, upon which clients drop what they hold.
            logger.exception("a gRPC request could not be taken")
            refusal = later("the collector failed; send the request again later")
        else:
            self._metrics.count_answer("grpc", 200)
            return b""
        self._metrics.count_answer("grpc", refusal.status)
        await _abort(context, refusal)
        return b""

    def _require_token(self, context: Any) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        if self._expected and not hmac.compare_digest(str(given).encode(), self._expected):
            raise RefusedError(401, "expected the metadata authorization: Bearer <token>; give the collector's token")


async def _abort(context: Any, refusal: RefusedError) -> None:
    code, number = _CODES[refusal.status]
    status = status_pb2.Status(code=number, message=refusal.message)
    if refusal.retry_after_seconds is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromSeconds(refusal.retry_after_seconds)
        status.details.add().Pack(info)
    await context.abort(code, refusal.message, ((_DETAILS_KEY, status.SerializeToString()),))
