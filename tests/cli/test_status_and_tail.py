"""``acceptfirst status`` and ``tail``: a running serve on one screen, and its handshakes as they happen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

STEPS = [
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect"),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept"),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready"),
]
PATIENCE_S = 60.0


def export(url: str, route: str, steps: int = 3) -> str:
    """Export the first transitions of a handshake that happens now; gives the connection's id."""
    resource = Resource({"service.name": "live", "deployment.environment.name": "testing"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer = provider.get_tracer("acceptfirst")
    now_ns = time.time_ns()
    connection = (now_ns // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()
    for position, (left, entered, trigger) in enumerate(STEPS[:steps]):
        attributes: dict[str, str | int | float] = {
            "acceptfirst.connection.id": connection,
            "http.route": route,
            "acceptfirst.state.from": left,
            "acceptfirst.state.to": entered,
            "acceptfirst.transition.trigger": trigger,
            "acceptfirst.transition.sequence": position,
            "acceptfirst.sample.weight": 1.0,
        }
        start_ns = now_ns + position * 5_000_000
        tracer.start_span("websocket.transition", attributes=attributes, start_time=start_ns).end(start_ns + 5_000_000)
    provider.shutdown()
    return connection


def shown(acceptfirst: Callable[..., Any], url: str, connection: str, *arguments: str) -> list[dict[str, Any]]:
    """What ``tail`` shows of a connection, asked until it shows something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ended = acceptfirst("tail", "--url", url, "--no-follow", "--json", *arguments)
        assert (ended.code, ended.err) == (0, "")
        rows = [json.loads(line) for line in ended.out.splitlines()]
        if found := [row for row in rows if row["connection_id"] == connection]:
            return found
        time.sleep(0.1)
    return []


def test_status_shows_a_serve_that_is_well(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """Exit code 0, every part of the document."""
    ended = acceptfirst("status", "--url", live_url, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["schema_version"], document["trouble"]) == (0, 1, "")
    assert document["store"]["reachable"]
    assert document["log"]["writable"]
    assert [policy["environment"] for policy in document["policies"]] == [
        "testing",
        "development",
        "staging",
        "production",
    ]


def test_status_counts_an_open_handshake(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """One that is connected and not ready, with since when."""
    connection = export(live_url, "/status-open", steps=2)
    assert shown(acceptfirst, live_url, connection, "--outcome", "open")
    document = json.loads(acceptfirst("status", "--url", live_url, "--json").out)
    assert document["handshakes"]["open"] >= 1
    assert document["handshakes"]["oldest_open_at"]


def test_status_names_the_last_job(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """What ran, and how it ended."""
    assert acceptfirst("classify", "--url", live_url).code == 0
    jobs = json.loads(acceptfirst("status", "--url", live_url, "--json").out)["jobs"]
    assert [(job["job"], job["state"]) for job in jobs if job["job"] == "classify"] == [("classify", "done")]


def test_status_is_readable_without_colours(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """A line each, tab-separated, in a pipe."""
    lines = acceptfirst("status", "--url", live_url).out.splitlines()
    assert "state\t✔ takes requests" in lines
    assert any(line.startswith("backlog\t") for line in lines)
    assert "policies" in lines


@pytest.mark.parametrize("verb", ["status", "tail"])
def test_verb_ends_with_5_when_nothing_runs(acceptfirst: Callable[..., Any], verb: str) -> None:
    """With nothing here, and with an address where nobody answers."""
    nothing, nobody = acceptfirst(verb), acceptfirst(verb, "--url", "http://127.0.0.1:1")
    assert (nothing.code, nobody.code) == (5, 5)
    assert "expected a running serve" in nothing.err
    assert "nothing answers at http://127.0.0.1:1" in nobody.err


def test_tail_shows_a_handshake_with_its_outcome(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """As NDJSON with a schema version, and as a line for people."""
    connection = export(live_url, "/tail")
    [row] = shown(acceptfirst, live_url, connection)
    assert (row["schema_version"], row["outcome"], row["route"], row["ready_ns"]) == (1, "ready", "/tail", 10_000_000)
    text = acceptfirst("tail", "--url", live_url, "--no-follow", "--route", "/tail").out
    assert "✔ ready\ttesting\tlive /tail\tready 10.0 ms" in text


@pytest.mark.parametrize(
    ("arguments", "is_shown"),
    [
        (("--environment", "testing"), True),
        (("--environment", "production"), False),
        (("--service", "live"), True),
        (("--service", "other"), False),
        (("--outcome", "ready"), True),
        (("--outcome", "open"), False),
        (("--violations",), False),
        (("--pattern", "early_message_before_ready"), False),
    ],
)
def test_tail_shows_only_what_is_asked_for(
    acceptfirst: Callable[..., Any], live_url: str, arguments: tuple[str, ...], is_shown: bool
) -> None:
    """Each filter, met and not met."""
    connection = export(live_url, "/filters")
    assert shown(acceptfirst, live_url, connection)
    ended = acceptfirst("tail", "--url", live_url, "--no-follow", "--json", *arguments)
    assert (connection in ended.out) is is_shown


def test_tail_refuses_an_outcome_that_there_is_not(acceptfirst: Callable[..., Any], live_url: str) -> None:
    """A usage error that names those there are."""
    ended = acceptfirst("tail", "--url", live_url, "--outcome", "good")
    assert ended.code == 2
    assert "ready, rejected" in ended.err


@pytest.fixture
def following(live_url: str) -> Iterator[subprocess.Popen[str]]:
    """A ``tail`` that goes on, as a process."""
    command = [sys.executable, "-m", "acceptfirst_cli", "tail", "--url", live_url, "--json", "--interval", "0.1"]
    command += ["--route", "/followed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_tail_follows_until_it_is_interrupted(following: subprocess.Popen[str], live_url: str) -> None:
    """A handshake that comes later is shown at once; Ctrl-C ends with 130."""
    connection = export(live_url, "/followed")
    assert following.stdout is not None
    outcomes: list[str] = []
    while not outcomes or outcomes[-1] != "ready":
        row = json.loads(following.stdout.readline())
        assert row["connection_id"] == connection
        outcomes.append(row["outcome"])
    following.send_signal(signal.SIGINT)
    assert following.wait(PATIENCE_S) == 130
