"""Why a request is refused, as one exception that knows its HTTP status, and as the body that OTLP asks for."""

from __future__ import annotations

import json

from google.rpc import code_pb2, error_details_pb2, status_pb2

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    503: code_pb2.UNAVAILABLE,
}


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status; 503 for everything that may succeed when sent again, never 500.
        retry_after_seconds: sent as Retry-After if set.
    """

    def __init__(self, status: int, message: str, retry_after_seconds: int | None = None) -> None:
        self.status = status
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


def refusal_body(refusal: RefusedError, media_type: str) -> tuple[bytes, str]:
    """Encode a refusal as google.rpc.Status in the encoding of the request.

    Args:
        refusal: what to say.
        media_type: the request's; anything but JSON is answered in protobuf.

    Returns:
        The body and its Content-Type.
    """
    code = _CODES.get(refusal.status, code_pb2.UNKNOWN)
    if media_type == JSON:
        return json.dumps({"code": code, "message": refusal.message}).encode(), JSON
    status = status_pb2.Status(code=code, message=refusal.message)
    if refusal.status == 400:  # noqa: PLR2004 - the one status for which OTLP recommends details
        details = error_details_pb2.BadRequest()
        details.field_violations.add(field="body", description=refusal.message)
        status.details.add().Pack(details)
    return bytes(status.SerializeToString()), PROTOBUF
