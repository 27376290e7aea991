"""Makes the session that a chat message needs: who it is, the user's own tools, the room's service.

In the incident authentication took 100–500 ms, the factory of a user's tools 200–1000 ms the first time, and a cold
service up to 10 s. The demo runs on a clock of its own (``TIME_SCALE``), so that it fits into a minute; the delays
of the policy are not scaled, which is kind to them.
"""

from __future__ import annotations

import hmac
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.websockets import WebSocket

import acceptfirst
from acceptfirst_chat.waking import Range, Waking

TIME_SCALE: Final = 0.2
"""One second of the incident is this many seconds of the demo."""

AUTHENTICATION: Final = Range(100, 500)
AUTHENTICATION_CACHED: Final = Range(5, 15)
FACTORY: Final = Range(200, 1000)
FACTORY_CACHED: Final = Range(0, 1)
SERVICE_COLD: Final = Range(1000, 10_000)
SERVICE_WARM: Final = Range(10, 30)
SERVICE_INSTANCES: Final = 6

_TOKEN_KEY: Final = b"the demo's only secret is that it has none"


class TokenError(Exception):
    """A token that is not the user's."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a message is handled with."""

    user: str
    room: str


def token_of(user: str) -> str:
    """The token of a user: the name and its signature."""
    return f"{user}.{hmac.new(_TOKEN_KEY, user.encode(), sha256).hexdigest()}"


def user_of(token: str) -> str:
    """The user whose token this is.

    Raises:
        TokenError: when the signature is not ours.
    """
    user, _, _ = token.rpartition(".")
    if not user or not hmac.compare_digest(token, token_of(user)):
        raise TokenError("expected a token made by token_of(user), but its signature is not ours")
    return user


class SessionMaker:
    """Makes sessions, cold at first; shared by all connections of one backend.

    Args:
        seed: of the run: it decides how long each cold start takes.
        scale: how the incident's times are shortened.
    """

    def __init__(self, seed: int, scale: float = TIME_SCALE) -> None:
        self._authentication = _waking("authentication", seed, AUTHENTICATION, AUTHENTICATION_CACHED, scale)
        self._factory = _waking("factory", seed, FACTORY, FACTORY_CACHED, scale)
        self._service = _waking("service", seed, SERVICE_COLD, SERVICE_WARM, scale)

    async def make(self, websocket: WebSocket, room: str) -> Session:
        """Make the session of a connection that was accepted; each step is timed under a name.

        Raises:
            TokenError: when the connection's token is not the user's.
        """
        async with acceptfirst.phase(websocket, "auth"):
            user = await self._authenticated(websocket)
        async with acceptfirst.phase(websocket, "factory"):
            await self._factory.work(user)
        async with acceptfirst.phase(websocket, "service"):
            await self._service.work(str(zlib.crc32(room.encode()) % SERVICE_INSTANCES))
        return Session(user, room)

    async def _authenticated(self, websocket: WebSocket) -> str:
        token = websocket.headers.get("authorization", "").removeprefix("Bearer ")
        user = user_of(token)
        await self._authentication.work(user)
        acceptfirst.identify(websocket, user)
        return user


def _waking(kind: str, seed: int, first: Range, again: Range, scale: float) -> Waking:
    return Waking(kind, seed, first=first.scaled(scale), again=again.scaled(scale))
