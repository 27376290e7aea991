"""`POST /v1/metrics` and `/v1/logs`: passed on to the receiver behind, where there is one; else a clear no."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from acceptfirst_collector.access.pace import SlowBodyError, paced
from acceptfirst_collector.otlp.inflate import read_body
from acceptfirst_collector.otlp.refusal import JSON, PROTOBUF, RefusedError
from acceptfirst_collector.receive import accepted_response, media_type, refusal_response
from acceptfirst_collector.services import Services

PATHS = ("/v1/metrics", "/v1/logs")


def not_ours(path: str) -> RefusedError:
    """What is answered where nothing is passed on; final, so that clients don't keep what nobody wants."""
    signal = path.rpartition("/")[2]
    return RefusedError(
        404,
        f"acceptfirst stores spans, not {signal}: send {signal} elsewhere, or start serve with --forward-otlp URL to "
        "pass them on",
    )


def relay_endpoint(services: Services, path: str) -> Any:
    """Make the endpoint of one path; it never raises for anything that the outside can cause."""

    async def relay(request: Request) -> Response:
        try:
            return await _relayed(services, path, request)
        except SlowBodyError as refusal:
            response = refusal_response(refusal, request.headers)
            response.headers["Connection"] = "close"
            return response
        except RefusedError as refusal:
            return refusal_response(refusal, request.headers)
        except ClientDisconnect:
            return Response(status_code=400)

    return relay


async def _relayed(services: Services, path: str, request: Request) -> Response:
    media = media_type(request.headers)
    if media not in {PROTOBUF, JSON}:
        raise RefusedError(415, f"expected the Content-Type {PROTOBUF} or {JSON}; got {media[:64]!r}")
    if services.forwarder is None:
        raise not_ours(path)
    encoding = request.headers.get("content-encoding", "").strip().lower()
    with services.hold.lease() as lease:
        body = await read_body(paced(request.stream()), encoding, services.settings.request_bytes_max, lease)
        answer = await services.forwarder.relay(path, media, body)
    response = accepted_response(request.headers)
    if answer:
        response.body = answer
        response.headers["Content-Length"] = str(len(answer))
    return response
