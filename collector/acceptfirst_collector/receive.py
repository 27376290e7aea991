"""`POST /v1/traces`: read, admit, append, and answer 200 only when the request is on the disk.

Errors carry google.rpc.Status in the request's own encoding. Whatever may succeed later is 503 with Retry-After, never
500, which clients must not retry and so would lose their data.
"""

from __future__ import annotations

import logging

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from acceptfirst_collector.access.pace import SlowBodyError, paced
from acceptfirst_collector.intake import TRACES_PATH, Intake, later
from acceptfirst_collector.otlp.door import admit, admit_json
from acceptfirst_collector.otlp.inflate import read_body
from acceptfirst_collector.otlp.refusal import JSON, PROTOBUF, RefusedError, refusal_body
from acceptfirst_collector.services import Services

_ADMIT = {PROTOBUF: admit, JSON: admit_json}

logger = logging.getLogger(__name__)


class TraceReceiver:
    """Answers trace requests; all of its calls run on the server's event loop."""

    def __init__(self, services: Services) -> None:
        self._intake = Intake(services)
        self._hold = services.hold

    async def receive(self, request: Request) -> Response:
        """Answer one request; never raises for anything that the outside can cause."""
        try:
            await self._take(request)
        except SlowBodyError as refusal:
            response = refusal_response(refusal, request.headers)
            response.headers["Connection"] = "close"  # nobody waits for the rest of it
            return response
        except RefusedError as refusal:
            await _discard_rest(request, self._intake.request_bytes_max)
            return refusal_response(refusal, request.headers)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            logger.exception("a request could not be taken")
            return refusal_response(later("the collector failed; send the request again later"), request.headers)
        return accepted_response(request.headers)

    async def _take(self, request: Request) -> None:
        media = media_type(request.headers)
        if media not in _ADMIT:
            raise RefusedError(415, f"expected the Content-Type {PROTOBUF} or {JSON}; got {media[:64]!r}")
        limit = self._intake.request_bytes_max
        _check_declared_length(request.headers, limit)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        with self._hold.lease() as lease:
            body = await read_body(paced(request.stream()), encoding, limit, lease)
            await self._intake.take(body, _ADMIT[media], media)


class TraceShortcut:
    """ASGI middleware, the innermost: leads trace requests past the framework's routing and its layers.

    Args:
        app: gets everything else, and other methods on the same path.
        receiver: answers whatever happens, so nothing of the framework's is missing round it.
    """

    def __init__(self, app: ASGIApp, receiver: TraceReceiver) -> None:
        self._app = app
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] == "http" and scope["path"] == TRACES_PATH and scope["method"] == "POST":
            response = await self._receiver.receive(Request(scope, receive))
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)


def media_type(headers: Headers) -> str:
    """Return the request's media type, lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def accepted_response(request_headers: Headers) -> Response:
    """Answer a success: it leaves partial_success unset: no bytes in protobuf, an empty object in JSON."""
    if media_type(request_headers) == JSON:
        return Response(b"{}", media_type=JSON)
    return Response(b"", media_type=PROTOBUF)


def refusal_response(refusal: RefusedError, request_headers: Headers) -> Response:
    """Encode a refusal in the request's encoding."""
    body, content_type = refusal_body(refusal, JSON if media_type(request_headers) == JSON else PROTOBUF)
    response = Response(body, refusal.status, media_type=content_type)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def _check_declared_length(headers: Headers, limit: int) -> None:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise RefusedError(413, f"expected a body of at most {limit} bytes; {int(declared)} are announced")


async def _discard_rest(request: Request, bytes_max: int) -> None:
    """Read on for a while: a client that is still sending would see a broken connection instead of our answer."""
    discarded_bytes = 0
    try:
        async for chunk in paced(request.stream()):
            discarded_bytes += len(chunk)
            if discarded_bytes > bytes_max:
                return
    except (ClientDisconnect, RuntimeError, SlowBodyError):
        return
