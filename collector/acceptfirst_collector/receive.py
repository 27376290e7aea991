"""`POST /v1/traces`: read, admit, append, and answer 200 only when the request is on the disk.

Errors carry google.rpc.Status in the request's own encoding. Whatever may succeed later is 503 with Retry-After, never
500, which clients must not retry and so would lose their data.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from acceptfirst_collector.log.journal import LogUnwritableError
from acceptfirst_collector.log.request_log import BacklogFullError
from acceptfirst_collector.otlp.door import Accepted, admit
from acceptfirst_collector.otlp.inflate import read_body
from acceptfirst_collector.otlp.refusal import JSON, PROTOBUF, RefusedError, refusal_body
from acceptfirst_collector.services import Services

RETRY_AFTER_SECONDS = 5
#: Bodies over this are parsed in a thread, so that one client's large request doesn't hold up the others' small ones.
INLINE_BYTES_MAX = 256 << 10

logger = logging.getLogger(__name__)


class TraceReceiver:
    """Answers trace requests; all of its calls run on the server's event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def receive(self, request: Request) -> Response:
        """Answer one request; never raises for anything that the outside can cause."""
        try:
            await self._take(request)
        except RefusedError as refusal:
            await _discard_rest(request, self._services.settings.request_bytes_max)
            return refusal_response(refusal, request.headers)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            logger.exception("a request could not be taken")
            return refusal_response(_later("the collector failed; send the request again later"), request.headers)
        return Response(b"", media_type=PROTOBUF)

    async def _take(self, request: Request) -> None:
        media = media_type(request.headers)
        if media != PROTOBUF:
            raise RefusedError(415, f"expected the Content-Type {PROTOBUF}; got {media[:64]!r}")
        limit = self._services.settings.request_bytes_max
        _check_declared_length(request.headers, limit)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        body = await read_body(request.stream(), encoding, limit)
        if not body:
            return
        accepted = admit(body) if len(body) <= INLINE_BYTES_MAX else await asyncio.to_thread(admit, body)
        await self._append(accepted)

    async def _append(self, accepted: Accepted) -> None:
        """Wait until the request, or an identical one before it, is on the disk."""
        future = self._services.resends.find(accepted.digest)
        try:
            if future is None:
                trouble = self._services.trouble()
                # A log that could not be written is tried again: nothing else would find out that it can be.
                if trouble and self._services.log.writable:
                    raise _later(trouble)
                future = self._services.log.append(accepted.digest, accepted.payload)
                self._services.resends.remember(accepted.digest, future)
            # Shielded, since a client that goes away must not cancel an append that another waits for.
            await asyncio.shield(asyncio.wrap_future(future))
        except (BacklogFullError, LogUnwritableError) as error:
            raise _later(str(error)) from error


def media_type(headers: Headers) -> str:
    """Return the request's media type, lower case, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def refusal_response(refusal: RefusedError, request_headers: Headers) -> Response:
    """Encode a refusal in the request's encoding."""
    body, content_type = refusal_body(refusal, JSON if media_type(request_headers) == JSON else PROTOBUF)
    response = Response(body, refusal.status, media_type=content_type)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def _later(why: str) -> RefusedError:
    return RefusedError(503, why, RETRY_AFTER_SECONDS)


def _check_declared_length(headers: Headers, limit: int) -> None:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise RefusedError(413, f"expected a body of at most {limit} bytes; {int(declared)} are announced")


async def _discard_rest(request: Request, bytes_max: int) -> None:
    """Read on for a while: a client that is still sending would see a broken connection instead of our answer."""
    discarded_bytes = 0
    try:
        async for chunk in request.stream():
            discarded_bytes += len(chunk)
            if discarded_bytes > bytes_max:
                return
    except (ClientDisconnect, RuntimeError):
        return
