"""A user's project: an application with its bugs, its tests, and a real pytest process that runs them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

APPLICATION = """
import asyncio

import acceptfirst
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/clean")
async def clean(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())


@app.websocket("/never")
async def never(websocket: WebSocket):
    try:
        await websocket.receive_text()
    except RuntimeError:
        await websocket.close()


@app.websocket("/closed")
async def closed(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()
    try:
        await websocket.receive_text()
    except RuntimeError:
        pass


@app.websocket("/twice")
async def twice(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()
    try:
        await websocket.close()
    except RuntimeError:
        pass


@app.websocket("/raises")
async def raises(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()
    await websocket.receive_text()


@app.websocket("/other")
async def other(websocket: WebSocket):
    await WebSocket(websocket.scope, websocket._receive, websocket._send).accept()
    try:
        await websocket.receive_text()
    except RuntimeError:
        await websocket._send({"type": "websocket.close"})
"""

HELPERS = """
import asyncio
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's client speaks of a successor of httpx
    from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect


def visit(app, path):
    try:
        with TestClient(app).websocket_connect(path) as websocket:
            websocket.send_text("hello")
            websocket.receive()
    except WebSocketDisconnect:
        pass


async def play(app, path):
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]

    async def receive():
        if incoming:
            return incoming.pop(0)
        await asyncio.sleep(0)
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message):
        pass

    scope = {"type": "websocket", "path": path, "root_path": "", "query_string": b"", "headers": [], "subprotocols": []}
    await app(scope, receive, send)
"""

RunTests = Callable[..., pytest.RunResult]


@pytest.fixture
def run_tests(pytester: pytest.Pytester) -> RunTests:
    """Write the test file of a user's and run pytest on it, in a process of its own.

    Takes the file's text, options, and whether the application instruments itself; gives pytest's result.
    """

    def run(tests: str, *options: str, instrumented: bool = True, ini: str = "") -> pytest.RunResult:
        application = APPLICATION + ("\n\nacceptfirst.instrument(app)\n" if instrumented else "")
        pytester.makepyfile(chat=application, clients=HELPERS)
        pytester.makepyfile(test_chat=f"from clients import *\n{tests}")
        pytester.makeini(f"[pytest]\nfilterwarnings = error\n{ini}")
        return pytester.runpytest_subprocess("-p", "no:ddtrace", "-p", "no:cacheprovider", *options)

    return run
