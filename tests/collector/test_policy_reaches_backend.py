"""The whole way back: a policy promoted in a real serve process reaches the connections of a real uvicorn backend."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from acceptfirst.policy import default_policy, policy_to_document
from acceptfirst.policy.arm import is_canary

APPLICATION = textwrap.dedent('''
    """A chat that sends its spans and takes its policy from the collector; nothing of either in the code."""
    import acceptfirst
    from fastapi import FastAPI, WebSocket
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=100))
    app = FastAPI()


    @app.websocket("/echo")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        acceptfirst.ready(websocket)
        async for text in websocket.iter_text():
            await websocket.send_text(text)


    acceptfirst.instrument(app, environment="testing", readiness="event", tracer_provider=provider)
''')
TOKEN = "sesame"  # noqa: S105 - of a collector that lives as long as its test
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
V1 = replace(default_policy("testing"), version="v1", handshake_timeout_ms=150.0)


@pytest.fixture
def collector_url(start_serve: Any, tmp_path: Path) -> str:
    """A collector that asks for a token."""
    (tmp_path / "token").write_text(TOKEN)
    return str(start_serve("--token-file", str(tmp_path / "token")).url)


@pytest.fixture
def backend_url(collector_url: str, tmp_path: Path) -> Iterator[str]:
    """A uvicorn process that knows its collector from the environment only."""
    (tmp_path / "echo_app.py").write_text(APPLICATION)
    variables = {
        "ACCEPTFIRST_POLICY": collector_url,
        "ACCEPTFIRST_TOKEN": TOKEN,
        "ACCEPTFIRST_POLICY_INTERVAL_S": "0.2",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector_url}/v1/traces",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN}",
    }
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-m", "uvicorn", "echo_app:app", "--fd", str(listener.fileno()), "--app-dir", "."]
    process = subprocess.Popen(
        command, cwd=tmp_path, pass_fds=[listener.fileno()], env={**os.environ, **variables}, stderr=subprocess.DEVNULL
    )
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/echo"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        listener.close()


def change(collector_url: str, action: str, **values: Any) -> None:
    """Change the policy of testing."""
    answer = httpx.post(f"{collector_url}/api/v1/policy/testing/{action}", json=values, headers=HEADERS)
    assert answer.status_code == 200, answer.text


def talk(backend_url: str) -> None:
    """One connection, from hello to goodbye."""

    async def once() -> None:
        async with connect(backend_url, proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"

    asyncio.run(once())


def stored(collector_url: str) -> list[tuple[str, str, str]]:
    """(id, version, arm) of the connections in the store."""
    answer = httpx.get(f"{collector_url}/api/v1/handshakes", params={"limit": 1000}, headers=HEADERS)
    rows = answer.json()["handshakes"]
    return [(row["connection_id"], row["policy_version"], row["policy_arm"]) for row in rows]


def eventually(backend_url: str, collector_url: str, holds: Callable[[list[tuple[str, str, str]]], bool]) -> None:
    """Connect until what is stored is as it should be."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        talk(backend_url)
        if holds(stored(collector_url)):
            return
        time.sleep(0.1)
    pytest.fail(f"it never came so far: {json.dumps(stored(collector_url))}")


def test_backend_follows_the_collector_from_canary_to_promotion_and_back(backend_url: str, collector_url: str) -> None:
    """The spans say so: default, then both arms as the draw has them, then all, then the default again."""
    eventually(backend_url, collector_url, lambda rows: ("default", "baseline") in [row[1:] for row in rows])

    change(collector_url, "propose", policy=policy_to_document(V1), by="test", reason="to see it arrive")
    change(collector_url, "promote", share=0.5)
    eventually(
        backend_url, collector_url, lambda rows: ("v1", "canary") in [row[1:] for row in rows] and len(rows) > 15
    )
    canaries = [bytes.fromhex(row[0]) for row in stored(collector_url) if row[2] == "canary"]
    assert all(is_canary(each, 0.5) for each in canaries)

    change(collector_url, "promote")
    eventually(backend_url, collector_url, lambda rows: ("v1", "baseline") in [row[1:] for row in rows])

    change(collector_url, "rollback", reason="enough seen")
    eventually(backend_url, collector_url, lambda rows: max(rows)[1:] == ("default", "baseline"))
