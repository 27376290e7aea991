"""A real uvicorn, a Starlette application and a real Redis that is killed under it and started again."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PATIENCE_S = 30.0

APPLICATION = textwrap.dedent('''
    """An echo that needs Redis only when it begins."""

    import os
    from contextlib import asynccontextmanager

    import redis.asyncio
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    import acceptfirst

    client = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]))


    class WithoutDenial:
        """Hides the server's denial response extension, as a server without it would."""

        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            if os.environ["DENIES"] == "0" and scope["type"] == "websocket":
                scope = {**scope, "extensions": {}}
            await self.app(scope, receive, send)


    async def echo(websocket):
        await client.ping()
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)


    async def readyz(request):
        known = {status.name: status.is_up for status in acceptfirst.dependencies(request)}
        return JSONResponse(known, status_code=200 if all(known.values()) else 503)


    @asynccontextmanager
    async def lifespan(app):
        yield
        await client.aclose()


    app = Starlette(routes=[WebSocketRoute("/echo", echo), Route("/readyz", readyz)], lifespan=lifespan)
    acceptfirst.instrument(
        app,
        dependencies=[acceptfirst.redis_dependency(client, deadline_ms=300, interval_ms=50)],
        when_unready="reject",
    )
    app.add_middleware(WithoutDenial)
''')


@dataclass
class Backend:
    """A running uvicorn."""

    port: int
    log: Path

    def echo(self) -> Any:
        """A client's connection to the endpoint."""
        return connect(f"ws://127.0.0.1:{self.port}/echo")

    async def readyz(self) -> tuple[int, Any]:
        """What the readiness endpoint of the application says."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}/readyz")
        return answer.status_code, answer.json()


@pytest.fixture
def backend(redis_server: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A uvicorn with the echo, on a free port; the parameter says whether the server knows denial responses."""
    (tmp_path / "echo_app.py").write_text(APPLICATION)
    listener = socket.create_server(("127.0.0.1", 0))
    log = tmp_path / "server.log"
    where = ["--fd", str(listener.fileno()), "--app-dir", str(tmp_path)]
    command = [sys.executable, "-m", "uvicorn", "echo_app:app", *where]
    variables = {"REDIS_PORT": str(redis_server.port), "DENIES": "1" if request.param else "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, pass_fds=[listener.fileno()], env=variables)
    try:
        until = time.monotonic() + PATIENCE_S
        while "Application startup complete" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.05)
        yield Backend(listener.getsockname()[1], log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        listener.close()


async def attempt(backend: Backend) -> str:
    """What a new client gets: ``accepted``, the HTTP status, or the close code."""
    try:
        async with backend.echo() as client:
            await client.send("hello")
            return f"accepted {await client.recv()}"
    except InvalidStatus as refused:
        comes_again = int(refused.response.headers["Retry-After"]) >= 1
        return f"{refused.response.status_code} {'with' if comes_again else 'without'} a time to come again"
    except ConnectionClosed as closed:
        return f"closed {closed.rcvd.code if closed.rcvd else None}"


@asynccontextmanager
async def open_connection(backend: Backend) -> AsyncIterator[Callable[[str], Any]]:
    """A client that is connected already, as a question and its answer."""
    client: ClientConnection
    async with backend.echo() as client:

        async def ask(text: str) -> str:
            await client.send(text)
            return str(await client.recv())

        yield ask


async def until(is_true: Callable[[], Any]) -> None:
    """Ask until the answer is true."""
    ends = time.monotonic() + PATIENCE_S
    while not await is_true():
        assert time.monotonic() < ends, "expected it to become true in time, but it did not"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("backend", "refused"), [(True, "503 with a time to come again"), (False, "closed 1013")], indirect=["backend"]
)
def test_new_clients_are_refused_while_redis_is_down_and_old_ones_stay(
    backend: Backend, redis_server: Any, refused: str
) -> None:
    """Accepted, refused while Redis is gone, accepted again; a connection from before notices nothing."""

    async def main() -> list[Any]:
        async def is_ready() -> bool:
            return (await backend.readyz())[0] == 200

        async def is_down() -> bool:
            return not await is_ready()

        seen: list[Any] = [await attempt(backend)]
        async with open_connection(backend) as ask:
            redis_server.kill()
            await until(is_down)
            seen += [await attempt(backend), await ask("still here")]
            seen.append(await backend.readyz())
            await asyncio.to_thread(redis_server.start)
            await until(is_ready)
            seen += [await attempt(backend), await ask("and here")]
        return seen

    assert asyncio.run(main()) == [
        "accepted hello",
        refused,
        "still here",
        (503, {"redis": False}),
        "accepted hello",
        "and here",
    ]
    assert "Traceback" not in backend.log.read_text()
