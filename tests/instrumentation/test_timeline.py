"""``explain`` tells a connection's life: at any time, from anywhere, and nothing where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

import acceptfirst
from acceptfirst import failsafe
from acceptfirst.connection import Connection

CONNECT = {"type": "websocket.connect"}
TEXT = {"type": "websocket.receive", "text": "hi"}


async def closes_and_receives(websocket: WebSocket) -> None:
    """The incident's message, swallowed."""
    await websocket.accept()
    with acceptfirst.phase(websocket, "auth"):
        await asyncio.sleep(0)
    await websocket.receive_text()
    await websocket.close(4000)
    with contextlib.suppress(RuntimeError):
        await websocket.receive_text()


def told(server: Any, endpoint: Any) -> tuple[str, WebSocket]:
    """What is explained when the endpoint is through, and its websocket."""
    app = FastAPI()
    kept: list[Any] = []

    async def explains(websocket: WebSocket) -> None:
        kept.append(websocket)
        await endpoint(websocket)
        kept.append(acceptfirst.explain(websocket))

    app.add_api_websocket_route("/ws", explains)
    acceptfirst.instrument(app, environment="testing")
    script = server([CONNECT, TEXT])
    script.scope |= {"root_path": "", "query_string": b"", "subprotocols": []}
    asyncio.run(script.run(app))
    return str(kept[1]), kept[0]


def test_timeline_has_every_event_with_its_time_in_order(server: Any) -> None:
    """Milliseconds since the server's call never go back."""
    text, _ = told(server, closes_and_receives)
    lines = re.findall(r"^ +(\d+\.\d{3}) +\+\d+\.\d{3}  (.+)$", text, re.MULTILINE)

    assert [event for _, event in lines] == [
        "the server handed the connection over",
        "connect delivered → HANDSHAKE_PENDING",
        "accept returned → CONNECTED",
        "phase ended",
        "ready → READY_FOR_MESSAGES",
        "message delivered",
        "close by the application returned → CLOSED",
        "tried in vain",
    ]
    assert [float(ms) for ms, _ in lines] == sorted(float(ms) for ms, _ in lines)


def test_timeline_names_the_place_of_each_event(server: Any) -> None:
    """The accept, the close, and the receive that could not work."""
    text, _ = told(server, closes_and_receives)
    placed = re.findall(rf"^ {{26}}(\w+)\(\d*\) at {re.escape(__file__)}:\d+ in ", text, re.MULTILINE)
    assert placed == ["accept", "close", "receive_text"]


def test_timeline_ends_with_the_verdict(server: Any) -> None:
    """Pattern, cause, whether a delay helps, fix."""
    text, _ = told(server, closes_and_receives)
    verdict = text[text.index("  receive_after_local_close (warning)") :]
    assert re.findall(r"^    (\w[\w ]+)[:?]", verdict, re.MULTILINE) == ["what happened", "delay helps", "fix"]


def test_timeline_of_an_innocent_connection_says_so(server: Any) -> None:
    """No race so far."""

    async def innocent(websocket: WebSocket) -> None:
        await websocket.accept()

    assert told(server, innocent)[0].endswith("\n  no race so far")


def test_timeline_can_be_asked_for_after_the_end(server: Any) -> None:
    """And the times of what happened do not grow meanwhile."""
    _, websocket = told(server, closes_and_receives)
    first, second = acceptfirst.explain(websocket), acceptfirst.explain(websocket)

    assert "application returned" in first
    assert first == second


def test_timeline_can_be_asked_for_by_another_thread(server: Any) -> None:
    """A debugger's, as a rule: no event loop runs there."""
    _, websocket = told(server, closes_and_receives)
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(acceptfirst.explain(websocket)))
    thread.start()
    thread.join()
    assert texts == [acceptfirst.explain(websocket)]


def test_debugger_shows_the_lines_as_lines(server: Any) -> None:
    """Its ``p`` prints the representation."""
    _, websocket = told(server, closes_and_receives)
    text = acceptfirst.explain(websocket)
    assert repr(text) == str(text)


@pytest.mark.parametrize("connection", [{"type": "websocket"}, {}, object(), None])
def test_nothing_is_told_outside_an_instrumented_connection(connection: Any) -> None:
    """Neither an error nor a word."""
    assert acceptfirst.explain(connection) == ""


def test_failure_of_ours_while_explaining_stays_ours(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that logs its timeline goes on without it."""
    _, websocket = told(server, closes_and_receives)
    monkeypatch.setattr(Connection, "patterns_now", lambda _: 1 / 0)

    assert acceptfirst.explain(websocket) == ""
    assert sum(failsafe.failures.values()) == 1
    failsafe.failures.clear()


def test_user_that_is_no_string_can_be_identified(server: Any) -> None:
    """An application's user is a number as often as not, and identify must not break it."""

    async def identifies(websocket: WebSocket) -> None:
        await websocket.accept()
        acceptfirst.identify(websocket, 7)  # type: ignore[arg-type]  # what people pass

    _, websocket = told(server, identifies)
    assert len(websocket.scope["acceptfirst.connection"].user_hash) == 32
