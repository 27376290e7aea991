"""Clients vanish from a real uvicorn in every state: what the application and the server's log see of it is the same.

The clients are sockets that speak just enough of the protocol, and are reset. The application goes on only when the
server has noticed, so that each run is the same; then it tries everything once more, and each message and exception
that it gets is written down.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import uvicorn
import uvloop

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, failsafe
from acceptfirst.connection import Connection

Entry = tuple[Any, ...]

PATIENCE_S: Final = 30.0
TURNS: Final = 30
"""Of the event loop, after which a receive that is not done waits for something that does not come."""
LARGE: Final = bytes(1 << 20)
LARGE_COUNT: Final = 32
"""More than the kernel and the server take from an application whose client does not read."""
UPGRADE: Final = (
    b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT: Final = b"\x81\x81\x00\x00\x00\x00x"
HALF_A_FRAME: Final = b"\x81\xe4\x00\x00\x00\x00half"
FIRST_OF_TWO_FRAMES: Final = b"\x01\x81\x00\x00\x00\x00x"
CLOSE: Final = b"\x88\x82\x00\x00\x00\x00\x03\xe9"


# -- the client --------------------------------------------------------------------------------------------------------


class Client:
    """A socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, port: int) -> Client:
        """Connect."""
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(sock)

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await self._loop.sock_sendall(self._sock, data)

    async def upgrade(self, path: str) -> None:
        """Ask for the upgrade, and wait until the server agrees."""
        await self.say(UPGRADE % path.encode())
        assert (await self._loop.sock_recv(self._sock, 4096)).startswith(b"HTTP/1.1 101")

    def reset(self) -> None:
        """Vanish."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def hang_up(self) -> None:
        """Leave in order, without a word."""
        self._sock.close()


# -- the application ---------------------------------------------------------------------------------------------------


class Life:
    """One connection, as its application sees it."""

    def __init__(self, stage: Stage, scope: Any, receive: Any, send: Any) -> None:
        self.stage = stage
        self._scope, self._receive, self._send = scope, receive, send

    async def attempt(self, what: str, awaitable: Awaitable[Any]) -> Any:
        """Await it, and write down what comes; how often the same comes in a row depends on the kernel."""
        try:
            entry: Entry = (what, repr(result := await awaitable))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be compared
            entry, result = (what, *told(error)), None
        if [entry] != self.stage.entries[-1:]:
            self.stage.entries.append(entry)
        return result

    async def receive(self) -> Any:
        """The next message."""
        return await self.attempt("receive", self._receive())

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a message."""
        await self.attempt(f"send {kind}", self._send({"type": f"websocket.{kind}", **fields}))

    async def accept(self) -> None:
        """Accept, and be ready."""
        await self.send("accept")
        acceptfirst.ready(self._scope)

    async def receive_if_there_is_something(self) -> None:
        """A receive that is given up when it waits."""
        receiving = asyncio.ensure_future(self._receive())
        for _ in range(TURNS):
            if receiving.done():
                break
            await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait({receiving})  # it may have been done in the last turn
        await self.attempt("receive at once", asyncio.sleep(0, "waits") if receiving.cancelled() else receiving)

    async def try_everything(self) -> None:
        """After the end."""
        await self.receive_if_there_is_something()
        await self.receive_if_there_is_something()
        await self.send("send", text="late")
        await self.send("send", bytes=b"later")
        await self.send("accept")
        await self.send("close", code=4000)
        await self.receive_if_there_is_something()
        await self._send({"type": "websocket.send", "text": "and what this raises leaves the application"})


def told(error: BaseException | None) -> Entry:
    """All that can be compared of an exception, and of those behind it."""
    if error is None:
        return ()
    return (type(error).__name__, error.args, str(error), told(error.__cause__), told(error.__context__))


class Stage:
    """One server with its application; the scenarios are played on it one after another."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.server: Any = None
        self.port = 0
        self.came = asyncio.Event()
        self.ended = asyncio.Event()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Lives as the path says."""
        try:
            await SCENARIOS[scope["path"].strip("/")][0](Life(self, scope, receive, send))
        except Exception as error:
            self.entries.append(("left by", *told(error)))
            raise
        finally:
            self.ended.set()

    async def until_noticed(self) -> None:
        """The application is where it is to be: the client goes, and the server notices."""
        self.came.set()
        await until(lambda: not self.server.server_state.connections)

    async def play(self, name: str) -> None:
        """One scenario."""
        self.entries.append(("scenario", name))
        self.came.clear()
        self.ended.clear()
        client = await Client.open(self.port)
        await SCENARIOS[name][1](self, client)
        if name != "request-half-sent":
            await asyncio.wait_for(self.ended.wait(), PATIENCE_S)
        await until(lambda: not self.server.server_state.connections and not self.server.server_state.tasks)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is the server's own, and sets no event
            await asyncio.sleep(0.001)


# -- scenarios: what the application does, and what its client does ----------------------------------------------------


async def nothing(_: Life) -> None:
    """It is never called."""
    raise AssertionError("expected no application without an upgrade")


async def stops_before_connect(life: Life) -> None:
    """It has not asked for the connect yet."""
    await life.stage.until_noticed()
    await life.receive()
    await life.accept()
    await life.try_everything()


async def stops_before_accept(life: Life) -> None:
    """It knows of the connect."""
    await life.receive()
    await life.stage.until_noticed()
    await life.accept()
    await life.try_everything()


async def stops_before_denial(life: Life) -> None:
    """It has begun to refuse."""
    await life.receive()
    await life.send("http.response.start", status=401, headers=[])
    await life.stage.until_noticed()
    await life.send("http.response.body", body=b"no")
    await life.try_everything()


async def stops_after_accept(life: Life) -> None:
    """It has accepted."""
    await life.receive()
    await life.accept()
    await life.stage.until_noticed()
    await life.try_everything()


async def stops_after_a_message(life: Life) -> None:
    """It has received a message."""
    await life.receive()
    await life.accept()
    await life.receive()
    await life.stage.until_noticed()
    await life.try_everything()


async def waits_for_a_message(life: Life) -> None:
    """It is in a receive."""
    await life.receive()
    await life.accept()
    life.stage.came.set()
    await life.receive()
    await life.stage.until_noticed()
    await life.try_everything()


async def sends_much(life: Life) -> None:
    """It is in a send that has to wait."""
    await life.receive()
    await life.accept()
    asyncio.get_running_loop().call_later(0.05, life.stage.came.set)
    for _ in range(LARGE_COUNT):
        await life.send("send", bytes=LARGE)
    await life.stage.until_noticed()
    await life.try_everything()


async def closes(life: Life) -> None:
    """It closes, and its client does not answer."""
    await life.receive()
    await life.accept()
    await life.send("close", code=4001)
    await life.stage.until_noticed()
    await life.try_everything()


def after(*said: bytes, upgraded: bool = True, leave: Callable[[Client], None] = Client.reset) -> Any:
    """A client that says this, waits until the application is where it is to be, and leaves."""

    async def act(stage: Stage, client: Client) -> None:
        path = stage.entries[-1][1]
        await (client.upgrade(path) if upgraded else client.say(UPGRADE % path.encode()))
        for data in said:
            await client.say(data)
        await asyncio.wait_for(stage.came.wait(), PATIENCE_S)
        leave(client)

    return act


async def breaks_off_the_request(stage: Stage, client: Client) -> None:
    """Half a request."""
    await client.say((UPGRADE % b"x")[:60])
    await until(lambda: bool(stage.server.server_state.connections))
    client.reset()


SCENARIOS: Final[dict[str, tuple[Any, Any]]] = {
    "request-half-sent": (nothing, breaks_off_the_request),
    "connect-not-received": (stops_before_connect, after(upgraded=False)),
    "connect-received": (stops_before_accept, after(upgraded=False)),
    "denial-begun": (stops_before_denial, after(upgraded=False)),
    "accepted": (stops_after_accept, after()),
    "accepted-hangs-up": (stops_after_accept, after(leave=Client.hang_up)),
    "message-received": (stops_after_a_message, after(TEXT)),
    "half-a-frame": (waits_for_a_message, after(HALF_A_FRAME)),
    "half-a-message": (waits_for_a_message, after(FIRST_OF_TWO_FRAMES)),
    "receive-pending": (waits_for_a_message, after()),
    "application-sends": (sends_much, after()),
    "application-closes": (closes, after()),
    "client-closes": (waits_for_a_message, after(CLOSE)),
}
"""What the client has done when it vanishes."""


# -- running -----------------------------------------------------------------------------------------------------------


async def yes(_: Any) -> bool:
    """A readiness check."""
    return True


HOLD: Final = Policy(environment="testing", readiness_mode="event", gate="hold", handshake_timeout_ms=60_000.0)
MODES: Final[dict[str, dict[str, Any]]] = {
    "auto": {},
    "event": {"readiness": "event"},
    "blind": {"readiness": "blind"},
    "polled": {"readiness": yes},
    "hold": {"policy": HOLD},
}
LOOPS: Final[dict[str, Any]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def played(ws: Any, wrap: Callable[[Any], Any]) -> list[Entry]:
    """All scenarios on a real server with the application wrapped like this."""
    stage = Stage()
    config = uvicorn.Config(
        wrap(stage.app),
        interface="asgi3",
        ws=ws,
        lifespan="off",
        log_config=None,
        log_level="warning",
        ws_ping_interval=None,
    )
    stage.server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stage.port = listener.getsockname()[1]
        serving = asyncio.create_task(stage.server.serve(sockets=[listener]))
        await until(lambda: stage.server.started)
        for name in SCENARIOS:
            await stage.play(name)
        stage.server.should_exit = True
        await serving
    return stage.entries


@contextmanager
def log_of_the_server(caplog: pytest.LogCaptureFixture) -> Iterator[list[Entry]]:
    """What uvicorn logs within, without ports."""
    entries: list[Entry] = []
    caplog.clear()
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        yield entries
    for record in caplog.records:
        if record.name == "uvicorn.error":
            error = record.exc_info[1] if record.exc_info else None
            entries.append((record.levelname, re.sub(r"127\.0\.0\.1:\d+", "", record.getMessage()), *told(error)))


@pytest.fixture(params=LOOPS)
def seen(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Any:
    """What the application and the log see of all scenarios, by the server's protocol and a wrapper."""

    def see(ws: str, wrap: Callable[[Any], Any]) -> tuple[list[Entry], list[Entry]]:
        with log_of_the_server(caplog) as log, asyncio.Runner(loop_factory=LOOPS[request.param]) as loop:
            entries = loop.run(played(ws, wrap))
        return entries, log

    return see


@pytest.mark.parametrize("ws", ["websockets-sansio", "wsproto"])
def test_application_sees_the_same_when_its_client_vanishes_in_any_state(seen: Any, ws: str) -> None:
    """In each mode, on each implementation, and nothing of ours has failed."""
    bare = seen(ws, lambda app: app)
    assert sum(entry[0] == "left by" for entry in bare[0]) == len(SCENARIOS) - 1
    for mode, options in MODES.items():
        assert (mode, seen(ws, lambda app, options=options: AcceptFirstMiddleware(app, **options))) == (mode, bare)
    assert dict(failsafe.failures) == {}


@pytest.mark.parametrize("place", ["_disconnect_delivered", "send_failed", "_move", "_happened"])
def test_failure_of_ours_is_told_once_when_clients_vanish(
    seen: Any, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted each time, and the application and the server's log see the same as without us."""
    bare = seen("websockets-sansio", lambda app: app)

    def fails(*_: Any) -> None:
        raise LookupError(place)

    monkeypatch.setattr(Connection, place, fails)
    with_us = seen("websockets-sansio", AcceptFirstMiddleware)
    counted = dict(failsafe.failures)
    failsafe.failures.clear()

    assert with_us == bare
    told_once = [record for record in caplog.records if record.msg.startswith("acceptfirst failed in")]
    assert len(told_once) == len(counted)
    assert sum(counted.values()) > len(counted)
