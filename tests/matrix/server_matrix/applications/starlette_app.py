"""Starlette."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server_matrix.applications.deeds import DEEDS
from server_matrix.applications.starlette_peer import StarlettePeer
from server_matrix.applications.variants import Variants


async def endpoint(websocket: WebSocket) -> None:
    """Do the deed that stands in the path."""
    await DEEDS[websocket.path_params["scenario"]](StarlettePeer(websocket))


def build(variant: str) -> Any:
    """The application under its variant's prefix."""
    return Starlette(routes=[WebSocketRoute(f"/{variant}/{{scenario}}", endpoint)])


app = Variants(build)
