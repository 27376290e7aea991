"""Bare ASGI: no framework, hence no guard but the server's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from server_matrix.applications.deeds import DEEDS
from server_matrix.applications.variants import Variants


class DisconnectedError(Exception):
    """The disconnect was delivered."""

    def __init__(self, code: Any) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class BarePeer:
    """A connection whose connect was read."""

    scope: Any
    asgi_receive: Callable[[], Awaitable[Any]]
    asgi_send: Callable[[Any], Awaitable[None]]

    async def accept(self) -> None:
        """Send the accept."""
        await self.asgi_send({"type": "websocket.accept"})

    async def receive(self) -> str:
        """The next message's text.

        Raises:
            DisconnectedError: when it is the disconnect.
        """
        message = await self.asgi_receive()
        if message["type"] == "websocket.disconnect":
            raise DisconnectedError(message.get("code"))
        return str(message["text"])

    async def send(self, text: str) -> None:
        """Send a text."""
        await self.asgi_send({"type": "websocket.send", "text": text})

    async def close(self, code: int) -> None:
        """Send a close."""
        await self.asgi_send({"type": "websocket.close", "code": code})


def build(variant: str) -> Any:
    """The application; the variant stands in the path, which is not looked at."""
    del variant

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await DEEDS[scope["path"].split("/")[2]](BarePeer(scope, receive, send))

    return application


app = Variants(build)
