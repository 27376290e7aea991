"""The clients: what each scenario's client does on the wire, and what it sees.

What a client saw is one line: the messages that it got, then how it ended.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

HANDSHAKE_PATIENCE_S: Final = 6.0
"""Longer than the applications wait for a message that does not come, so that a refusal after that is still seen."""
SILENCE_S: Final = 5.0
"""After so long without a message a connection counts as one that stays open."""
BEFORE_LEAVING_S: Final = 0.3


@dataclass(frozen=True)
class Door:
    """Where one connection goes.

    Attributes:
        port: of the server on the loopback.
        path: variant, scenario and query.
        trial: 32 hex digits; the trace that the connection's spans are to belong to.
        folder: for the flags.
        greeting: what is said before the scenario begins: a protocol of the framework's own above WebSocket.
    """

    port: int
    path: str
    trial: str
    folder: Path
    greeting: Sequence[str] = ()

    @property
    def headers(self) -> dict[str, str]:
        """What makes the server's spans part of this trial."""
        return {"traceparent": f"00-{self.trial}-{self.trial[:16]}-01"}

    @property
    def flag(self) -> Path:
        """What a client raises to say, past the wire, that it has come to the scenario's turning point."""
        return self.folder / self.trial


Client = Callable[[Door], Awaitable[str]]


class GoneError(Exception):
    """The connection ended; the text says how."""


@asynccontextmanager
async def opened(door: Door) -> AsyncIterator[ClientConnection]:
    """A connection that was accepted.

    Raises:
        GoneError: when it was not.
    """
    connecting = connect(
        f"ws://127.0.0.1:{door.port}{door.path}",
        additional_headers=door.headers,
        open_timeout=HANDSHAKE_PATIENCE_S,
        ping_interval=None,
        compression=None,
        proxy=None,
    )
    try:
        client = await connecting
    except InvalidStatus as refused:
        raise GoneError(f"HTTP {refused.response.status_code}") from refused
    except TimeoutError as late:
        raise GoneError("no answer") from late
    except (InvalidHandshake, OSError) as broken:
        raise GoneError("connection dropped") from broken
    try:
        yield client
    finally:
        client.transport.abort()


async def read_on(client: ClientConnection, seen: list[str]) -> str:
    """Read to the end; gives what was seen."""
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                seen.append(_shown(await client.recv()))
    except ConnectionClosed as closed:
        ending = "no close frame" if closed.rcvd is None else f"close {closed.rcvd.code}"
        return " · ".join([*seen, ending])
    except TimeoutError:
        return " · ".join([*seen, "stays open"])


def _shown(message: str | bytes) -> str:
    """Messages that name a session name it by its length."""
    return re.sub(r'"sid":"[^"]*"', '"sid":…', str(message))


async def greet(client: ClientConnection, door: Door) -> None:
    """Go through the protocol above WebSocket, where the framework has one; it answers each line with one."""
    for line in door.greeting:
        await client.recv()
        await client.send(line)
    if door.greeting:
        await client.recv()


def says(*texts: str) -> Client:
    """A client that says something and reads to the end."""

    async def client(door: Door) -> str:
        try:
            async with opened(door) as connection:
                await greet(connection, door)
                for text in texts:
                    await connection.send(text)
                return await read_on(connection, [])
        except GoneError as gone:
            return str(gone)
        except ConnectionClosed:
            return "closed while it was speaking"

    return client


def stays(text: str) -> Client:
    """A client that says something, raises the flag at the answer, and stays to the end."""

    async def client(door: Door) -> str:
        async with opened(door) as connection:
            await greet(connection, door)
            await connection.send(text)
            seen = [_shown(await connection.recv())]
            door.flag.touch()
            return await read_on(connection, seen)

    return client


def says_at_once(*texts: str) -> Client:
    """A client that says greeting and message together, waiting for no answer."""

    async def client(door: Door) -> str:
        try:
            async with opened(door) as connection:
                for text in (*door.greeting, *texts):
                    await connection.send(text)
                return await read_on(connection, [])
        except GoneError as gone:
            return str(gone)

    return client


def answers(*texts: str) -> Client:
    """A client that speaks when it is asked to."""

    async def client(door: Door) -> str:
        async with opened(door) as connection:
            seen = [_shown(await connection.recv())]
            for text in texts:
                await connection.send(text)
            return await read_on(connection, seen)

    return client


async def closes(door: Door) -> str:
    """Close with 1000 once it is accepted."""
    async with opened(door) as connection:
        await greet(connection, door)
        await connection.close(1000)
        return f"close {connection.close_code}"


def vanishes(text: str) -> Client:
    """A client that says something, reads the answer and then cuts the line."""

    async def client(door: Door) -> str:
        async with opened(door) as connection:
            await greet(connection, door)
            await connection.send(text)
            seen = _shown(await connection.recv())
            _cut_hard(connection.transport)
            await asyncio.sleep(BEFORE_LEAVING_S)
            door.flag.touch()
            return f"{seen} · cuts the line"

    return client


async def vanishes_before_accept(door: Door) -> str:
    """Ask for the handshake and cut the line before the answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    key = base64.b64encode(bytes.fromhex(door.trial)).decode("ascii")
    lines = [
        f"GET {door.path} HTTP/1.1",
        f"Host: 127.0.0.1:{door.port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in door.headers.items()),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
    await writer.drain()
    await asyncio.sleep(BEFORE_LEAVING_S)
    _cut_hard(writer.transport)
    door.flag.touch()
    return "cuts the line"


def _cut_hard(transport: asyncio.WriteTransport | asyncio.Transport) -> None:
    """Reset the connection, as a phone that lost its network and came back does, instead of ending it in good order."""
    line: socket.socket = transport.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
