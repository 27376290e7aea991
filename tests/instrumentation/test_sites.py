"""A place in the code is a line of the application's own, whoever calls on its behalf."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import WebSocketRoute

import acceptfirst
from acceptfirst.diagnosis.sites import Site

CONNECT = {"type": "websocket.connect"}
TEXT = {"type": "websocket.receive", "text": "hi"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def sites_of(server: Any, endpoint: Any) -> dict[str, Site]:
    """Where the events of one connection came from."""
    app = FastAPI()
    if isinstance(endpoint, type):
        app.router.routes.append(WebSocketRoute("/ws", endpoint))
    else:
        app.add_api_websocket_route("/ws", endpoint)
    kept: list[Any] = []

    class Keeps:
        """An outer look at the scope that the application got."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            kept.append(scope["acceptfirst.connection"])
            await self.inner(scope, receive, send)

    app.add_middleware(Keeps)
    acceptfirst.instrument(app, environment="testing")
    script = server([CONNECT, TEXT, DISCONNECT])
    script.scope |= {"root_path": "", "query_string": b"", "subprotocols": []}
    asyncio.run(script.run(app))
    return dict(kept[0].sites)


async def closed_by_an_exit_stack(websocket: WebSocket) -> None:
    """The standard library calls close."""
    await websocket.accept()
    async with contextlib.AsyncExitStack() as stack:  # cause
        stack.push_async_callback(websocket.close)


async def closed_by_a_context_manager(websocket: WebSocket) -> None:
    """A generator of the application's calls close when its block is left."""

    @contextlib.asynccontextmanager
    async def session() -> AsyncIterator[None]:
        yield
        await websocket.close()  # cause

    await websocket.accept()
    async with session():
        pass


async def closed_by_a_task_group(websocket: WebSocket) -> None:
    """A library calls close, in a task of its own."""
    await websocket.accept()
    async with anyio.create_task_group() as group:
        group.start_soon(websocket.close)  # cause


async def closed_with_a_deadline(websocket: WebSocket) -> None:
    """The event loop's library awaits close."""
    await websocket.accept()
    await asyncio.wait_for(websocket.close(), 5)  # cause


async def closes_on_exit(websocket: WebSocket) -> AsyncIterator[WebSocket]:
    """A dependency that cleans up."""
    yield websocket
    await websocket.close()  # cause


async def closed_by_a_dependency(websocket: WebSocket, same: Annotated[WebSocket, Depends(closes_on_exit)]) -> None:
    """FastAPI's stack leaves the dependency."""
    await websocket.accept()


async def closed_by_an_exception(websocket: WebSocket) -> None:
    """Starlette closes; nothing of the application's is on the stack by then."""
    await websocket.accept()
    raise WebSocketException(4001)  # cause


class Closing(WebSocketEndpoint):
    """Starlette dispatches to it."""

    encoding = "text"

    async def on_receive(self, websocket: Any, data: Any) -> None:
        """Close."""
        del data
        await websocket.close()  # cause


class Polite(WebSocket):
    """A subclass of the application's."""

    async def farewell(self) -> None:
        """Close from within."""
        await self.close(4000)  # cause


async def closed_by_a_subclass(websocket: WebSocket) -> None:
    """The application's own class calls close on itself."""
    polite = Polite(websocket.scope, websocket._receive, websocket._send)
    await polite.accept()
    await polite.farewell()


@pytest.mark.parametrize(
    "endpoint",
    [
        closed_by_an_exit_stack,
        closed_by_a_context_manager,
        closed_by_a_task_group,
        closed_with_a_deadline,
        closed_by_a_dependency,
        closed_by_an_exception,
        Closing,
        closed_by_a_subclass,
    ],
    ids=lambda endpoint: endpoint.__name__,
)
def test_close_is_placed_in_the_applications_own_file(server: Any, endpoint: Any) -> None:
    """Never in Starlette's, FastAPI's, anyio's or contextlib's."""
    site = sites_of(server, endpoint)["X"]

    assert site.filename == __file__
    assert "# cause" in linecache.getline(site.filename, site.line)


def test_receive_that_starlettes_endpoint_does_by_itself_has_no_place(server: Any) -> None:
    """No line of the application's asked for it, and the middleware around it did not either."""

    class Quiet(WebSocketEndpoint):
        encoding = "text"

    assert sites_of(server, Quiet).keys() == set()


def test_place_names_the_task_that_ran_it(server: Any) -> None:
    """Called here, run in a task with a name: both are told."""

    async def hands_over(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.create_task(websocket.close(), name="janitor")

    site = sites_of(server, hands_over)["X"]
    assert (site.task, site.function.split(".")[-1]) == ("janitor", "hands_over")


def test_attempt_without_hope_is_placed_as_well(server: Any) -> None:
    """The log of a race that was swallowed has no traceback to show it."""

    async def swallows(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        with contextlib.suppress(RuntimeError):
            await websocket.receive_text()  # cause

    site = sites_of(server, swallows)["!R"]
    assert "# cause" in linecache.getline(site.filename, site.line)


def test_second_reader_is_placed(server: Any) -> None:
    """The one that began while another was waiting."""

    async def reads_twice(websocket: WebSocket) -> None:
        await websocket.accept()
        first = asyncio.create_task(websocket.receive_text())
        await asyncio.sleep(0)
        second = asyncio.create_task(websocket.receive_text())  # cause
        await asyncio.wait({first, second}, timeout=0.05)
        first.cancel()
        second.cancel()

    class Slow(server):  # type: ignore[misc]  # the fixture is a class
        async def receive(self) -> Any:
            await asyncio.sleep(0.01)
            return await super().receive()

    site = sites_of(Slow, reads_twice)["!R"]
    assert "# cause" in linecache.getline(site.filename, site.line)
