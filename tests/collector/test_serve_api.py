"""The whole way: the OpenTelemetry SDK's own exporter, a real serve process, chDB, and back through the API."""

from __future__ import annotations

import os
import time
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from acceptfirst_store.errors import StoreRefused, StoreUnreachable
from acceptfirst_store.remote import RemoteStore

STEPS = [
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect"),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept"),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready"),
]


def _export(url: str, route: str) -> str:
    """Export a handshake of three transitions with the SDK; return the connection's id."""
    provider = TracerProvider(resource=Resource({"service.name": "chat", "deployment.environment.name": "staging"}))
    exporter = OTLPSpanExporter(f"{url}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("acceptfirst")
    now_ns = time.time_ns()
    connection_id = (now_ns // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()
    for sequence, (left, entered, trigger) in enumerate(STEPS):
        attributes: dict[str, str | int | float] = {
            "acceptfirst.connection.id": connection_id,
            "http.route": route,
            "acceptfirst.state.from": left,
            "acceptfirst.state.to": entered,
            "acceptfirst.transition.trigger": trigger,
            "acceptfirst.transition.sequence": sequence,
            "acceptfirst.sample.weight": 1.0,
        }
        start_ns = now_ns + sequence * 5_000_000
        tracer.start_span("websocket.transition", attributes=attributes, start_time=start_ns).end(start_ns + 5_000_000)
    provider.shutdown()
    return connection_id


def _handshake(serve: Any, connection_id: str) -> dict[str, Any]:
    """Ask for a connection until all of its transitions are there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = httpx.get(f"{serve.url}/api/v1/handshakes/{connection_id}")
        if answer.status_code == 200 and len(answer.json()["transitions"]) == len(STEPS):
            found: dict[str, Any] = answer.json()
            return found
        time.sleep(0.05)
    pytest.fail(f"the connection never became readable: {answer.text}")


def test_serve_tells_a_handshake_that_the_sdk_exported(serve: Any) -> None:
    """What went in as spans comes out as one settled connection with its transitions."""
    connection_id = _export(serve.url, "/whole-way")
    answer = _handshake(serve, connection_id)
    handshake = answer["handshake"]
    assert answer["schema_version"] == 1
    assert (handshake["connection_id"], handshake["environment"], handshake["service"]) == (
        connection_id,
        "staging",
        "chat",
    )
    assert (handshake["outcome"], handshake["connected_ns"], handshake["ready_ns"]) == ("ready", 5_000_000, 10_000_000)
    assert [(row["from_state"], row["to_state"], row["trigger"]) for row in answer["transitions"]] == STEPS


def test_serve_pages_through_handshakes_with_filters(serve: Any) -> None:
    """Two pages of one row each, the newest first, then nothing."""
    ids = [_export(serve.url, "/paged") for _ in range(2)]
    for connection_id in ids:
        _handshake(serve, connection_id)
    url = f"{serve.url}/api/v1/handshakes"
    seen = []
    parameters: dict[str, str | int] = {"route": "/paged", "environment": "staging", "limit": 1}
    while (answer := httpx.get(url, params=parameters).json())["handshakes"]:
        seen += [row["connection_id"] for row in answer["handshakes"]]
        parameters["cursor"] = answer["next_cursor"]
    assert seen == sorted(ids, reverse=True)


@pytest.mark.parametrize(("since", "count"), [("1h", 1), ("2w", 1), ("0s", 0)])
def test_serve_takes_an_age_for_a_time(serve: Any, since: str, count: int) -> None:
    """As the command line does."""
    _handshake(serve, _export(serve.url, f"/age-{since}"))
    answer = httpx.get(f"{serve.url}/api/v1/handshakes", params={"route": f"/age-{since}", "since": since})
    assert len(answer.json()["handshakes"]) == count


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("cursor=zz", "cursor"),
        ("since=yesterday", "since"),
        ("until=999999999999w", "until"),
        ("since=0001-01-01", "since: expected a time from 1970"),
        ("until=9999-12-31T00:00:00Z", "until: expected a time from 1970"),
        ("since=2026-11-20&until=2026-11-19", "expected since to lie before until"),
        ("since=2026-11-20&until=2026-11-20", "expected since to lie before until"),
        ("environment=moon", "expected one of testing, development, staging, production"),
        ("route=" + "x" * 300, "route"),
    ],
)
def test_serve_answers_400_when_a_filter_makes_no_sense(serve: Any, query: str, what: str) -> None:
    """JSON that names the parameter."""
    answer = httpx.get(f"{serve.url}/api/v1/handshakes?{query}")
    assert answer.status_code == 400
    assert what in answer.json()["message"]


@pytest.mark.parametrize("name", ["stage", "STAGING", "Stage"])
def test_serve_knows_an_environment_by_its_other_names(serve: Any, name: str) -> None:
    """Whoever says stage everywhere else says it here, too."""
    _handshake(serve, _export(serve.url, f"/by-{name}"))
    answer = httpx.get(f"{serve.url}/api/v1/handshakes", params={"environment": name, "route": f"/by-{name}"})
    assert [row["environment"] for row in answer.json()["handshakes"]] == ["staging"]


@pytest.mark.parametrize("path", ["handshakes", "patterns"])
def test_serve_refuses_a_range_that_is_empty_wherever_there_is_one(serve: Any, path: str) -> None:
    """An empty list would look like an answer."""
    answer = httpx.get(f"{serve.url}/api/v1/{path}?since=2026-11-20&until=2026-11-19")
    assert (answer.status_code, answer.json()["schema_version"]) == (400, 1)


def test_serve_answers_404_when_a_connection_is_unknown(serve: Any) -> None:
    """JSON, not the framework's own."""
    answer = httpx.get(f"{serve.url}/api/v1/handshakes/{'0' * 32}")
    assert (answer.status_code, answer.json()["schema_version"]) == (404, 1)


def test_serve_lists_no_patterns_when_nothing_was_classified(serve: Any) -> None:
    """An empty list, not an error."""
    assert httpx.get(f"{serve.url}/api/v1/patterns").json() == {
        "schema_version": 1,
        "patterns": [],
        "next_cursor": None,
    }


def test_remote_store_returns_the_types_of_the_store(serve: Any) -> None:
    """A statement over HTTP gives the Python values that it gives on the store itself."""
    connection_id = _export(serve.url, "/remote")
    _handshake(serve, connection_id)
    rows = RemoteStore(serve.url).statement_rows("transitions_by_id", {"connection_id": connection_id})
    assert rows[1]["started_at"].tzinfo is not None
    assert (rows[1]["duration_ns"], rows[1]["trigger"]) == (5_000_000, "accept")


@pytest.mark.parametrize(
    ("name", "parameters"), [("nope", {}), ("transitions_by_id", {}), ("handshakes_page", {"limit": "x"})]
)
def test_remote_store_says_what_was_wrong_with_a_statement(serve: Any, name: str, parameters: dict[str, Any]) -> None:
    """An unknown name, a missing parameter, one of the wrong type: refused, in one line."""
    with pytest.raises(StoreRefused, match=r"answered 40[04]: "):
        RemoteStore(serve.url).statement_rows(name, parameters)


def test_remote_store_says_that_nobody_answers() -> None:
    """A collector that isn't there is unreachable, not a traceback."""
    with pytest.raises(StoreUnreachable, match="does not answer"):
        RemoteStore("http://127.0.0.1:1").statement_rows("transitions_by_id")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_serve_answers_its_probes(serve: Any, path: str) -> None:
    """Alive, and ready."""
    answer = httpx.get(serve.url + path)
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
