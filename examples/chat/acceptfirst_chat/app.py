"""Puts the backend together: the chat, the bugs that are switched on, and AcceptFirst around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, WebSocket
from opentelemetry.sdk.trace import TracerProvider

import acceptfirst
from acceptfirst_chat.bugs import BUGS, Bug
from acceptfirst_chat.conversation import Chat
from acceptfirst_chat.ledger import ConnectionCount, Ledger
from acceptfirst_chat.plants import CHAT_ROUTE, Plant
from acceptfirst_chat.rooms import Rooms
from acceptfirst_chat.sessions import TIME_SCALE, SessionMaker
from acceptfirst_chat.telemetry import FLUSH_TIMEOUT_MS, provider_for


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How one run of the backend is set up.

    Attributes:
        collector_url: where spans go.
        environment: as AcceptFirst knows it.
        policy: the TOML file of the policy; without one AcceptFirst's default holds.
        ledger: where the ledger is written when the backend stops; without one it is not.
        plants: the bugs that are switched on.
        seed: decides how long cold starts take.
        time_scale: how the incident's times are shortened.
    """

    collector_url: str = "http://127.0.0.1:4318"
    environment: str = "production"
    policy: Path | None = None
    ledger: Path | None = None
    plants: tuple[Plant, ...] = ()
    seed: int = 1
    time_scale: float = TIME_SCALE


def create_app(settings: ChatSettings) -> FastAPI:
    """The backend, instrumented."""
    ledger = Ledger()
    provider = provider_for(settings.collector_url, settings.environment, ledger)
    app = FastAPI(title="AcceptFirst's chat", lifespan=_lifespan(provider, ledger, settings.ledger))
    chat = Chat(SessionMaker(settings.seed, settings.time_scale), Rooms(), ledger)
    app.add_api_websocket_route(CHAT_ROUTE, chat.converse)
    _add_bugs(app, settings.plants, ledger)
    app.add_api_route("/healthz", _healthy)
    acceptfirst.instrument(app, environment=settings.environment, policy=settings.policy, tracer_provider=provider)
    app.add_middleware(ConnectionCount, ledger=ledger)  # added last, so it stands outside
    return app


def _add_bugs(app: FastAPI, plants: Iterable[Plant], ledger: Ledger) -> None:
    for plant in plants:
        app.add_api_websocket_route(plant.route, _endpoint(BUGS[plant.name], ledger))


def _endpoint(bug: Bug, ledger: Ledger) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(websocket: WebSocket) -> None:
        await bug(websocket, ledger)

    return endpoint


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}


def _lifespan(
    provider: TracerProvider, ledger: Ledger, path: Path | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        await asyncio.to_thread(provider.force_flush, FLUSH_TIMEOUT_MS)
        await asyncio.to_thread(provider.shutdown)
        if path is not None:
            ledger.write(path)

    return lifespan
