"""Turns a body into what the log may hold: a request that was parsed, in a shape that the store can read."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from google.protobuf.message import DecodeError

from acceptfirst_collector.log.layout import DIGEST_BYTES
from acceptfirst_collector.otlp.json_request import parse_json
from acceptfirst_collector.otlp.lists import has_lists, parse_request, rewrite_lists
from acceptfirst_collector.otlp.refusal import RefusedError


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A body that was parsed: the digest of what came, what is stored of it, and how many spans it has."""

    digest: bytes
    payload: bytes
    spans: int


def admit(body: bytes) -> Accepted:
    """Parse a body, and rewrite it if the store could not read it as it is.

    Raises:
        RefusedError: 400, it is no ExportTraceServiceRequest.
    """
    return _admitted(body, body)


def admit_json(body: bytes) -> Accepted:
    """Parse a body in OTLP's JSON and store it as the protobuf that it spells.

    Raises:
        RefusedError: 400, it is no ExportTraceServiceRequest.
    """
    return _admitted(body, parse_json(body).SerializeToString())


def _admitted(body: bytes, payload: bytes) -> Accepted:
    try:
        request = parse_request(payload)
        if has_lists(request):
            rewrite_lists(request)
            payload = request.SerializeToString()
    except DecodeError as error:
        raise RefusedError(
            400, f"expected a protobuf ExportTraceServiceRequest; {len(payload)} bytes can't be parsed: {error}"
        ) from error
    return Accepted(_digest(body), payload, _count_spans(request))


def _count_spans(request: Any) -> int:
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def canonical(payload: bytes) -> bytes:
    """Write a request anew without what OTLP doesn't know: the last thing to try when the store refuses it."""
    request = parse_request(payload)
    rewrite_lists(request)
    request.DiscardUnknownFields()
    return bytes(request.SerializeToString())
