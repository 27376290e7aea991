"""Litestar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Litestar, WebSocket, websocket

from server_matrix.applications.deeds import DEEDS
from server_matrix.applications.variants import Variants


@dataclass
class LitestarPeer:
    """A connection through Litestar's WebSocket."""

    socket: WebSocket[Any, Any, Any]

    @property
    def scope(self) -> Any:
        """The ASGI scope."""
        return self.socket.scope

    async def accept(self) -> None:
        """As the framework does it."""
        await self.socket.accept()

    async def receive(self) -> str:
        """As the framework does it."""
        return await self.socket.receive_text()

    async def send(self, text: str) -> None:
        """As the framework does it."""
        await self.socket.send_text(text)

    async def close(self, code: int) -> None:
        """As the framework does it."""
        await self.socket.close(code)


def build(variant: str) -> Any:
    """The application under its variant's prefix."""

    @websocket(f"/{variant}/{{scenario:str}}")
    async def endpoint(socket: WebSocket[Any, Any, Any], scenario: str) -> None:
        await DEEDS[scenario](LitestarPeer(socket))

    return Litestar(route_handlers=[endpoint], openapi_config=None, logging_config=None)


app = Variants(build)
