"""FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, WebSocket

from server_matrix.applications.deeds import DEEDS
from server_matrix.applications.starlette_peer import StarlettePeer
from server_matrix.applications.variants import Variants


async def endpoint(websocket: WebSocket, scenario: str) -> None:
    """Do the deed that stands in the path."""
    await DEEDS[scenario](StarlettePeer(websocket))


def build(variant: str) -> Any:
    """The application under its variant's prefix."""
    application = FastAPI()
    application.add_api_websocket_route(f"/{variant}/{{scenario}}", endpoint)
    return application


app = Variants(build)
