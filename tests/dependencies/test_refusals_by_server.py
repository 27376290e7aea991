"""What a client gets from each real server while a dependency is down: the table of ``docs/readiness.md``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

PATIENCE_S = 30.0

APPLICATION = textwrap.dedent('''
    """Accepts and closes with 1000; its one dependency is never there."""

    import acceptfirst


    async def hello(scope, receive, send):
        if scope["type"] != "websocket":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})


    async def gone():
        raise ConnectionRefusedError


    def refusing(unready_close):
        return acceptfirst.AcceptFirstMiddleware(
            hello,
            dependencies=[acceptfirst.Dependency("gone", gone, interval_ms=50)],
            when_unready="reject",
            unready_close=unready_close,
        )


    after_accept = refusing("after_accept")
    before_accept = refusing("before_accept")
''')

SERVERS = {
    "uvicorn": ["uvicorn", "--port", "{port}", "--ws", "websockets-sansio"],
    "uvicorn wsproto": ["uvicorn", "--port", "{port}", "--ws", "wsproto"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}"],
    "granian": ["granian", "--interface", "asgi", "--port", "{port}"],
    "daphne": ["daphne", "--bind", "127.0.0.1", "--port", "{port}"],
}


@contextlib.contextmanager
def running(server: str, variant: str, folder: Path) -> Iterator[int]:
    """A server process with the application; gives its port."""
    (folder / "refusing_app.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program, *options = [part.format(port=port) for part in SERVERS[server]]
    command = [str(Path(sys.executable).with_name(program)), *options, f"refusing_app:{variant}"]
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env={"PYTHONPATH": str(folder)})
    try:
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()


async def answer(port: int) -> str | None:
    """What a client gets: a status or a close code; ``None`` where nobody listens yet."""
    try:
        async with connect(f"ws://127.0.0.1:{port}/") as client:
            await client.recv()
    except InvalidStatus as refused:
        return f"HTTP {refused.response.status_code}"
    except ConnectionClosed as closed:
        return f"close {closed.rcvd.code if closed.rcvd else None}"
    except (OSError, InvalidHandshake):
        return None
    return "a message"


def settled_answer(port: int) -> str | None:
    """The answer once the server is up and its first check is over; without a lifespan the first clients get in."""
    until = time.monotonic() + PATIENCE_S
    got = None
    while time.monotonic() < until:
        got = asyncio.run(answer(port))
        if got not in (None, "close 1000"):
            break
        time.sleep(0.05)
    return got


@pytest.mark.parametrize(
    ("server", "variant", "expected"),
    [
        ("uvicorn", "after_accept", "HTTP 503"),
        ("uvicorn wsproto", "after_accept", "HTTP 503"),
        ("hypercorn", "after_accept", "HTTP 503"),
        ("granian", "after_accept", "HTTP 503"),
        ("daphne", "after_accept", "close 4013"),
        ("daphne", "before_accept", "HTTP 403"),
    ],
)
def test_client_is_refused_in_the_servers_way(server: str, variant: str, expected: str, tmp_path: Path) -> None:
    """503 where the server knows denial responses; elsewhere as the user chose."""
    with running(server, variant, tmp_path) as port:
        assert settled_answer(port) == expected
