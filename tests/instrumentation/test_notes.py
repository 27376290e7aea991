"""The note on Starlette's exception tells the causes of one text apart, with file and line."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import linecache
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.responses import Response

import acceptfirst

CONNECT = {"type": "websocket.connect"}
MESSAGE = {"type": "websocket.receive", "text": "hi"}
ACCEPT_FIRST = 'Need to call "accept" first'


async def never_accepted(websocket: WebSocket) -> None:
    """Forgets accept."""
    await websocket.receive_text()


async def accepted_through_another_object(websocket: WebSocket) -> None:
    """A second object on the same scope accepts."""
    other = WebSocket(websocket.scope, websocket._receive, websocket._send)
    await other.accept()  # cause
    await websocket.receive_text()


async def closed_here(websocket: WebSocket) -> None:
    """Closes and goes on receiving."""
    await websocket.accept()
    await websocket.close(4000)  # cause
    await websocket.receive_text()


async def closed_in_another_task(websocket: WebSocket) -> None:
    """A janitor closes while the handler goes on."""
    await websocket.accept()
    closing = websocket.close(4000)  # cause
    await asyncio.create_task(closing, name="janitor")
    await websocket.receive_text()


async def failed_send_swallowed(websocket: WebSocket) -> None:
    """Swallows the failure of a send."""
    await websocket.accept()
    with contextlib.suppress(Exception):  # the bug under test
        await websocket.send_text("x")  # cause
    await websocket.receive_text()


async def denial_started(websocket: WebSocket) -> None:
    """Denies and goes on receiving."""
    await websocket.receive()
    await websocket.send_denial_response(Response(status_code=401))  # cause
    await websocket.receive_text()


CAUSES: list[tuple[Callable[..., Any], str, dict[str, BaseException]]] = [
    (never_accepted, "receive_before_accept", {}),
    (accepted_through_another_object, "receive_on_unaccepted_object", {}),
    (closed_here, "receive_after_local_close", {}),
    (closed_in_another_task, "receive_after_local_close", {}),
    (failed_send_swallowed, "receive_after_failed_send", {"websocket.send": OSError("peer is gone")}),
    (denial_started, "receive_after_local_close", {}),
]


def note_of(
    endpoint: Callable[..., Any],
    server: Any,
    spans: Any,
    refuse: dict[str, BaseException],
    message: Any = MESSAGE,
) -> tuple[Any, str]:
    """Run the endpoint in a FastAPI application; gives its exception and the note on it."""
    app = FastAPI()
    app.add_api_websocket_route("/ws", endpoint)
    acceptfirst.instrument(app, environment="testing", tracer_provider=spans.provider)
    script = server([CONNECT, message], refuse=refuse)
    script.scope |= {
        "root_path": "",
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    error = asyncio.run(script.run(app))
    return error, "\n".join(getattr(error, "__notes__", []))


@pytest.mark.parametrize(("endpoint", "pattern", "refuse"), CAUSES, ids=lambda value: getattr(value, "__name__", None))
def test_note_names_the_cause_of_accept_first(
    server: Any, spans: Any, endpoint: Any, pattern: str, refuse: Any
) -> None:
    """The same text of Starlette's, and each time its own cause."""
    error, note = note_of(endpoint, server, spans, refuse)

    assert ACCEPT_FIRST in str(error)
    assert note.startswith(f"AcceptFirst: {pattern} (")


@pytest.mark.parametrize(
    ("endpoint", "pattern", "refuse"), CAUSES[1:], ids=lambda value: getattr(value, "__name__", None)
)
def test_note_names_the_line_that_caused_it(server: Any, spans: Any, endpoint: Any, pattern: str, refuse: Any) -> None:
    """File and line are those of the accept, the close, the send or the denial in the application."""
    _, note = note_of(endpoint, server, spans, refuse)

    found = re.search(r" at (\S+):(\d+) in ", note)
    assert found is not None
    assert found[1] == __file__
    assert "# cause" in linecache.getline(__file__, int(found[2])), note


def test_note_names_the_task_that_closed(server: Any, spans: Any) -> None:
    """The close was called in the handler, so that is where it points, and the coroutine ran in the janitor."""
    _, note = note_of(closed_in_another_task, server, spans, {})

    assert "close(4000)" in note
    assert "closed_in_another_task" in note


def test_swallowed_guard_is_still_reported(server: Any, spans: Any) -> None:
    """An application that catches everything hides the exception, not the violation."""

    async def swallows(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        with contextlib.suppress(Exception):  # the bug under test
            await websocket.receive_text()

    error, _ = note_of(swallows, server, spans, {})
    assert error is None
    assert spans.violations() == ["receive_after_local_close"]


@pytest.mark.parametrize("iterator", ["iter_text", "iter_bytes", "iter_json"])
def test_guard_inside_starlettes_iterators_is_noted_with_the_loops_line(server: Any, spans: Any, iterator: str) -> None:
    """``async for`` receives on the application's behalf: the note is the same, and the close's line is its own."""

    async def closes_in_the_loop(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in getattr(websocket, iterator)():
            await websocket.close()  # cause

    message = {"type": "websocket.receive", "text": "1", "bytes": b"1"}
    _, note = note_of(closes_in_the_loop, server, spans, {}, message)
    found = re.search(r" at (\S+):(\d+) in ", note)
    assert note.startswith("AcceptFirst: receive_after_local_close (")
    assert found is not None
    assert "# cause" in linecache.getline(found[1], int(found[2]))


def test_wrong_argument_is_not_taken_for_a_guard(server: Any, spans: Any) -> None:
    """Starlette raises RuntimeError for a bad mode too: that is no race."""

    async def bad_mode(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_json(mode="nonsense")

    error, note = note_of(bad_mode, server, spans, {})
    assert "mode" in str(error)
    assert note == ""


def test_refused_accept_of_the_server_is_told_apart_from_a_double_accept(server: Any, spans: Any) -> None:
    """One accept that the server refused: the client was gone."""

    async def accepts(websocket: WebSocket) -> None:
        await websocket.accept()

    _, note = note_of(accepts, server, spans, {"websocket.accept": RuntimeError("got 'websocket.accept'")})
    assert "accept_after_client_gone" in note


def test_double_accept_is_named(server: Any, spans: Any) -> None:
    """Two accepts by the application."""

    async def accepts_twice(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.accept()

    _, note = note_of(accepts_twice, server, spans, {})
    assert "double_accept" in note


def test_websocket_outside_an_instrumented_application_is_untouched(server: Any) -> None:
    """No record, no note."""
    app = FastAPI()
    app.add_api_websocket_route("/ws", never_accepted)
    script = server([CONNECT])
    script.scope |= {"root_path": "", "query_string": b"", "subprotocols": []}
    error = asyncio.run(script.run(app))

    assert not hasattr(error, "__notes__")


def test_methods_keep_their_names_and_signatures() -> None:
    """What is wrapped still looks like Starlette's."""
    assert WebSocket.receive_text.__name__ == "receive_text"
    assert list(inspect.signature(WebSocket.close).parameters) == ["self", "code", "reason"]
