"""``acceptfirst.fastapi.handshake`` in a real FastAPI application, instrumented and not."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket

import acceptfirst
from acceptfirst import Dependency
from acceptfirst.fastapi import Handshake, handshake

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
TOKEN = {"type": "websocket.receive", "text": "token"}


async def up() -> bool:
    """A check that says yes."""
    return True


def application(said: list[Any]) -> FastAPI:
    """An endpoint that authenticates in its first message, by the dependency alone."""
    app = FastAPI()

    @app.websocket("/ws")
    async def chat(websocket: WebSocket, shake: Annotated[Handshake, Depends(handshake)]) -> None:
        await websocket.accept()
        with shake.phase("auth", receives=True):
            said.append(await websocket.receive_text())
        shake.identify("ada")
        shake.ready()
        said.append(await shake.wait_until_ready())
        said.append([status.name for status in shake.dependencies])
        said.append("READY_FOR_MESSAGES" in shake.explain())

    return app


def scope() -> dict[str, Any]:
    """As a server makes it."""
    return {
        "type": "websocket",
        "path": "/ws",
        "raw_path": b"/ws",
        "root_path": "",
        "scheme": "ws",
        "headers": [],
        "query_string": b"",
        "subprotocols": [],
    }


def test_endpoint_tells_its_readiness_through_the_dependency(server: Any, spans: Any) -> None:
    """Phase, user, readiness: all of it is in the record."""
    said: list[Any] = []
    app = acceptfirst.instrument(
        application(said), readiness="event", dependencies=[Dependency("db", up)], tracer_provider=spans.provider
    )
    assert asyncio.run(server([CONNECT, TOKEN, DISCONNECT], scope=scope()).run(app)) is None

    assert said == ["token", True, ["db"], True]
    last = spans.last()
    assert (last["acceptfirst.signature"], "acceptfirst.user.hash" in last) == ("CARPGZ", True)
    assert (spans.violations(), last["http.route"]) == ([], "/ws")


def test_endpoint_behaves_the_same_without_instrumentation(server: Any) -> None:
    """Everything does nothing, and waiting is over at once."""
    said: list[Any] = []
    assert asyncio.run(server([CONNECT, TOKEN, DISCONNECT], scope=scope()).run(application(said))) is None
    assert said == ["token", True, [], False]


@pytest.mark.parametrize(("timeout_ms", "expected"), [(5000, True), (20, False)])
def test_waiting_ends_with_ready_or_with_the_handshake_timeout(
    server: Any, spans: Any, timeout_ms: float, expected: bool
) -> None:
    """True when somebody said ready in time, else False."""
    said: list[bool] = []
    app = FastAPI()

    @app.websocket("/ws")
    async def chat(websocket: WebSocket, shake: Annotated[Handshake, Depends(handshake)]) -> None:
        await websocket.accept()
        asyncio.get_running_loop().call_later(0.06, shake.ready)
        said.append(await shake.wait_until_ready())

    policy = acceptfirst.Policy(environment="testing", readiness_mode="event", handshake_timeout_ms=timeout_ms)
    acceptfirst.instrument(app, policy=policy, tracer_provider=spans.provider)
    asyncio.run(server([CONNECT, 0.1, DISCONNECT], scope=scope()).run(app))
    assert said == [expected]
