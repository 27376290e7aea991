"""Real requests, changed where it hurts: what the door makes of them, and a real serve; a million are for endurance."""

from __future__ import annotations

import collections
import importlib.util
import pathlib
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from acceptfirst_collector.otlp.door import admit, admit_json
from acceptfirst_collector.otlp.inflate import Inflater
from acceptfirst_collector.otlp.refusal import RefusedError

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "endurance_hostile.py"
LIMIT = 100_000
SEEDS = 400


def _script() -> Any:
    """The endurance run's own bodies."""
    specification = importlib.util.spec_from_file_location("endurance_hostile", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


hostile: Callable[[int], tuple[bytes, dict[str, str]]] = _script().hostile


@given(st.integers(0, 1 << 32))
@settings(max_examples=300, deadline=None)
def test_door_refuses_or_admits_what_was_changed(seed: int) -> None:
    """Nothing but a refusal of 400 or 413 leaves it, and what it admits is a request that the store's schema reads."""
    body, headers = hostile(seed)
    try:
        if "Content-Encoding" in headers:
            inflater = Inflater(LIMIT)
            inflater.feed(body)
            body = inflater.finish()
        accepted = (admit_json if headers["Content-Type"].endswith("json") else admit)(body)
    except RefusedError as refusal:
        status = refusal.status
    else:
        ExportTraceServiceRequest.FromString(accepted.payload)
        status = 200
    assert status in {200, 400, 413}


def test_hostile_bodies_reach_what_they_are_meant_for() -> None:
    """A seed gives the same body twice; and neither all are taken, nor all refused at the first check."""
    assert hostile(7) == hostile(7)
    outcomes: collections.Counter[bool] = collections.Counter()
    for seed in range(SEEDS):
        body, headers = hostile(seed)
        if headers == {"Content-Type": "application/x-protobuf"}:
            try:
                admit(body)
            except RefusedError:
                outcomes[False] += 1
            else:
                outcomes[True] += 1
    assert min(outcomes.values()) > 0.15 * outcomes.total()


def test_serve_outlives_hostile_bodies(serve: Any, make_request: Callable[..., bytes]) -> None:
    """200, 400 or 413 and nothing else; then a good request works."""
    with httpx.Client(base_url=serve.url, timeout=60) as client:
        sent = [hostile(seed) for seed in range(SEEDS)]
        answers = [client.post("/v1/traces", content=body, headers=headers) for body, headers in sent]
    assert {answer.status_code for answer in answers} <= {200, 400, 413}
    assert serve.post(make_request("good")).status_code == 200


@pytest.mark.parametrize("compression", ["identity", "gzip"])
def test_serve_outlives_a_request_that_is_cut_at_each_byte(
    serve: Any, make_request: Callable[..., bytes], compression: str
) -> None:
    """A connection that ends in the head or in the body is nobody else's trouble."""
    body = make_request("cut")
    head = "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
    head += f"Content-Encoding: {compression}\r\nContent-Length: {len(body)}\r\n\r\n"
    whole = head.encode() + body
    address = ("127.0.0.1", httpx.URL(serve.url).port)
    for end in range(0, len(whole), 3):
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(whole[:end])
    assert serve.post(body).status_code == 200
