"""Starlette's WebSocket in the deeds' words; FastAPI's is the same class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket


@dataclass
class StarlettePeer:
    """A connection through Starlette's WebSocket."""

    websocket: WebSocket

    @property
    def scope(self) -> Any:
        """The ASGI scope."""
        return self.websocket.scope

    async def accept(self) -> None:
        """As the framework does it."""
        await self.websocket.accept()

    async def receive(self) -> str:
        """As the framework does it."""
        return await self.websocket.receive_text()

    async def send(self, text: str) -> None:
        """As the framework does it."""
        await self.websocket.send_text(text)

    async def close(self, code: int) -> None:
        """As the framework does it."""
        await self.websocket.close(code)
