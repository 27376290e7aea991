"""What an application does on each scenario's connection, in words that every framework has.

A deed that ends in ``let_out`` lets the exception leave the application, as most applications do; the others swallow
it, which is where a pure ASGI wrapper is blind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import acceptfirst
from server_matrix.applications.diary import named, note, told_by_client, tried

BIG: Final = "x" * 100_000
SENDS_TO_NOBODY: Final = 4
READERS_START_S: Final = 0.1


class OwnError(Exception):
    """The application's own bug."""


class Peer(Protocol):
    """One connection, as a framework gives it to the application."""

    @property
    def scope(self) -> Any:
        """The ASGI scope."""

    async def accept(self) -> None:
        """Accept the handshake."""

    async def receive(self) -> str:
        """The client's next message."""

    async def send(self, text: str) -> None:
        """Send one text."""

    async def close(self, code: int) -> None:
        """Close, or refuse where it was not accepted."""


async def echo(peer: Peer) -> None:
    """Answer one message and close."""
    await peer.accept()
    await peer.send(await peer.receive())
    await peer.close(1000)


async def client_closes(peer: Peer) -> None:
    """Wait for a client that closes."""
    await peer.accept()
    await tried("receive", peer.receive())


async def client_aborts(peer: Peer) -> None:
    """Wait for a client that vanishes after its first message."""
    await peer.accept()
    await peer.send(await peer.receive())
    await tried("receive", peer.receive())


async def receive_before_accept(peer: Peer) -> None:
    """Forget to accept."""
    await tried("receive", peer.receive(), let_out=True)


async def send_before_accept(peer: Peer) -> None:
    """Send on a connection that was not accepted."""
    await tried("send", peer.send("too early"), let_out=True)


async def double_accept(peer: Peer) -> None:
    """Accept twice."""
    await peer.accept()
    await tried("accept", peer.accept(), let_out=True)


async def accept_after_client_gone(peer: Peer) -> None:
    """Work before accept until the client has given up."""
    await told_by_client()
    await tried("accept", peer.accept())
    await tried("receive", peer.receive())


async def reject_before_accept(peer: Peer) -> None:
    """Refuse with a code that the client never sees."""
    await tried("close", peer.close(4401))


async def return_without_accept(peer: Peer) -> None:
    """Neither accept nor refuse."""
    note(what="return", came=str(peer.scope["type"]))


async def exception_after_accept(peer: Peer) -> None:
    """Accept, then fail."""
    await peer.accept()
    raise OwnError


async def receive_after_own_close(peer: Peer) -> None:
    """Close, and go on receiving."""
    await peer.accept()
    await peer.close(4000)
    await tried("receive", peer.receive(), let_out=True)


async def send_after_own_close(peer: Peer) -> None:
    """Close, and go on sending."""
    await peer.accept()
    await peer.close(4000)
    await tried("send", peer.send("too late"))


async def double_close(peer: Peer) -> None:
    """Close twice."""
    await peer.accept()
    await peer.close(4000)
    await tried("close", peer.close(4001))


async def receive_after_disconnect(peer: Peer) -> None:
    """Ask for another message after the disconnect."""
    await peer.accept()
    await tried("receive", peer.receive())
    await tried("receive", peer.receive())


async def send_after_disconnect(peer: Peer) -> None:
    """Send to a client whose disconnect was delivered."""
    await peer.accept()
    await tried("receive", peer.receive())
    await tried("send", peer.send("too late"))


async def close_after_disconnect(peer: Peer) -> None:
    """Close what the client has closed."""
    await peer.accept()
    await tried("receive", peer.receive())
    await tried("close", peer.close(1000))


async def swallowed_failed_send(peer: Peer) -> None:
    """Swallow what sends to a vanished client raise, and receive."""
    await peer.accept()
    await peer.send(await peer.receive())
    await told_by_client()
    for _ in range(SENDS_TO_NOBODY):
        await tried("send", peer.send(BIG))
    await tried("receive", peer.receive(), let_out=True)


async def concurrent_receive(peer: Peer) -> None:
    """Read with two tasks at once."""
    await peer.accept()
    readers = [asyncio.create_task(peer.receive()) for _ in range(2)]
    await asyncio.sleep(READERS_START_S)
    await peer.send("go on")
    got = await asyncio.gather(*readers, return_exceptions=True)
    # Which reader gets which is chance.
    note(what="two readers", came=", ".join(sorted(named(g) if isinstance(g, Exception) else repr(g) for g in got)))
    await peer.close(1000)


async def early_message(peer: Peer) -> None:
    """Handle a message before having said that it is ready."""
    await peer.accept()
    with acceptfirst.phase(peer.scope, "warming"):
        await tried("receive", peer.receive())
    acceptfirst.ready(peer.scope)
    await peer.close(1000)


async def shutdown(peer: Peer) -> None:
    """Stay open until the server stops, and leave on the disconnect."""
    await peer.accept()
    await peer.send(await peer.receive())
    await tried("receive", peer.receive(), patience_s=60)


DEEDS: Final[dict[str, Callable[[Peer], Awaitable[None]]]] = {
    deed.__name__: deed
    for deed in (
        echo,
        client_closes,
        client_aborts,
        receive_before_accept,
        send_before_accept,
        double_accept,
        accept_after_client_gone,
        reject_before_accept,
        return_without_accept,
        exception_after_accept,
        receive_after_own_close,
        send_after_own_close,
        double_close,
        receive_after_disconnect,
        send_after_disconnect,
        close_after_disconnect,
        swallowed_failed_send,
        concurrent_receive,
        early_message,
        shutdown,
    )
}
"""By the name that stands in the path."""
