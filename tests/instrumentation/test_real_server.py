"""Real uvicorn, real clients: the incident's message and its neighbours, named in the server's own log."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

APPLICATION = textwrap.dedent('''
    """Five endpoints, each with one bug."""
    import asyncio

    import acceptfirst
    from fastapi import FastAPI, WebSocket

    app = FastAPI()


    @app.websocket("/never")
    async def never(websocket: WebSocket):
        await websocket.receive_text()


    @app.websocket("/closed")
    async def closed(websocket: WebSocket):
        await websocket.accept()
        await asyncio.create_task(websocket.close(4000), name="janitor")
        await websocket.receive_text()


    @app.websocket("/other")
    async def other(websocket: WebSocket):
        await WebSocket(websocket.scope, websocket._receive, websocket._send).accept()
        await websocket.receive_text()


    @app.websocket("/swallowed")
    async def swallowed(websocket: WebSocket):
        await websocket.accept()
        await websocket.receive_text()
        await asyncio.sleep(0.2)
        for _ in range(5):
            try:
                await websocket.send_text("x" * 100_000)
            except Exception:
                pass
        await websocket.receive_text()


    @app.websocket("/echo")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)


    acceptfirst.instrument(app)
''')


@dataclass
class Backend:
    """A running server and the file that its log goes to."""

    port: int
    log: Path
    source: Path

    def url(self, path: str) -> str:
        """Where a client connects."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def line_of(self, code: str) -> int:
        """The number of the line that contains this code."""
        lines = self.source.read_text().splitlines()
        return next(number for number, line in enumerate(lines, 1) if code in line)

    def wait_for(self, pattern: str) -> str:
        """The log, once it contains the pattern."""
        for _ in range(100):
            text = self.log.read_text()
            if re.search(pattern, text):
                return text
            time.sleep(0.1)
        raise AssertionError(f"expected {pattern!r} in the server's log, but got:\n{self.log.read_text()}")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A uvicorn process with the five endpoints on a free port of the loopback."""
    folder = tmp_path_factory.mktemp("backend")
    source = folder / "five_bugs.py"
    source.write_text(APPLICATION)
    listener = socket.create_server(("127.0.0.1", 0))
    log = folder / "server.log"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "five_bugs:app",
        "--fd",
        str(listener.fileno()),
        "--app-dir",
        str(folder),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, pass_fds=[listener.fileno()], env=os.environ)
    running = Backend(listener.getsockname()[1], log, source)
    try:
        running.wait_for("Application startup complete")
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        listener.close()


async def talk(url: str, text: str | None = None) -> str | None:
    """Connect, say something, give the answer; ``None`` where the server ended it."""
    try:
        async with connect(url) as client:
            if text is not None:
                await client.send(text)
            return str(await client.recv())
    except (ConnectionClosed, InvalidStatus):
        return None


def test_healthy_endpoint_answers(backend: Backend) -> None:
    """The middleware is in the way of nobody."""
    assert asyncio.run(talk(backend.url("/echo"), "hello")) == "hello"


@pytest.mark.parametrize(
    ("path", "pattern", "culprit"),
    [
        ("/never", "receive_before_accept", None),
        ("/closed", "receive_after_local_close", "websocket.close(4000)"),
        ("/other", "receive_on_unaccepted_object", "WebSocket(websocket.scope"),
    ],
)
def test_traceback_in_the_log_names_cause_file_and_line(
    backend: Backend, path: str, pattern: str, culprit: str | None
) -> None:
    """What an on-call engineer reads is the cause, not only the text."""
    asyncio.run(talk(backend.url(path)))

    text = backend.wait_for(f"AcceptFirst: {pattern} ")
    assert 'Need to call "accept" first' in text
    if culprit is not None:
        assert f"five_bugs.py:{backend.line_of(culprit)} in" in text


def test_client_that_vanished_is_told_apart_from_a_missing_accept(backend: Backend) -> None:
    """The send failed, the failure was swallowed, and the receive after it gets the blame it deserves."""

    async def vanish() -> None:
        async with connect(backend.url("/swallowed")) as client:
            await client.send("hello")
            client.transport.abort()

    asyncio.run(vanish())
    text = backend.wait_for("AcceptFirst: receive_after_failed_send ")
    assert f"five_bugs.py:{backend.line_of('100_000')} in" in text
