"""The clients of the chat: some eager, some slow, some gone before anything was said; all try again when turned away.

What they measure is what a user feels: the time from opening the connection to the first proper answer, further
attempts and the waits between them included, their own thinking left out.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from acceptfirst_chat.plants import CHAT_ROUTE
from acceptfirst_chat.sessions import TIME_SCALE, token_of

Kind = Literal["eager", "slow", "impatient"]

OPEN_TIMEOUT_S: Final = 15.0
ANSWER_TIMEOUT_S: Final = 20.0
ATTEMPTS_MAX: Final = 15
BACKOFF_FIRST_S: Final = 1.0 * TIME_SCALE
BACKOFF_S_MAX: Final = 5.0 * TIME_SCALE
"""What browsers' clients do by default (socket.io: 1 s, doubling up to 5 s, half of it random), on the demo's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One client, settled before anything runs.

    Attributes:
        user: who it is; several guests may be one user (tabs, devices).
        room: where it goes.
        kind: ``eager`` speaks at once, ``slow`` thinks first, ``impatient`` leaves before it says anything.
        arrives_s: when, since the start of the run.
        thinks_s: how long it thinks before it speaks, or how long the impatient one stays.
        seed: of its backoff.
    """

    user: str
    room: str
    kind: Kind
    arrives_s: float
    thinks_s: float
    seed: str


@dataclass(frozen=True, slots=True)
class Stay:
    """How it went for one guest.

    Attributes:
        kind: of the guest.
        attempts: connections that it opened.
        answered: whether it ever got a proper answer.
        waited_ms: from opening to that answer, or to giving up; its own thinking left out.
    """

    kind: Kind
    attempts: int
    answered: bool
    waited_ms: float


class TurnedAwayError(Exception):
    """The chat could not handle our first message."""


async def stay(base_url: str, guest: Guest) -> Stay:
    """Be one guest, from the first attempt to the end."""
    backoff = random.Random(guest.seed)  # noqa: S311 - spreads clients out, keeps no secret
    visit = _Visit(base_url, guest)
    while visit.attempts < ATTEMPTS_MAX:
        try:
            await visit.attempt()
        except (TurnedAwayError, WebSocketException, OSError, EOFError):
            if not visit.answered:
                await asyncio.sleep(backoff_s(visit.attempts - 1, backoff))
                continue
        break
    return visit.told()


class _Visit:
    """One guest's attempts and what they have come to."""

    def __init__(self, base_url: str, guest: Guest) -> None:
        self._address = base_url + CHAT_ROUTE.format(room=guest.room)
        self._guest = guest
        self._started_s = time.perf_counter()
        self._thought_s = 0.0
        self._waited_s: float | None = None
        self.attempts = 0

    @property
    def answered(self) -> bool:
        return self._waited_s is not None

    async def attempt(self) -> None:
        self.attempts += 1
        async with connect(self._address, **_options(self._guest)) as connection:
            await self._think()
            if self._guest.kind == "impatient":
                connection.transport.abort()
                return
            await _say(connection, {"type": "join"})
            await _hear(connection, "welcome")
            self._waited_s = self._waiting_s()
            await _chat(connection, self._guest.user)

    def told(self) -> Stay:
        waited_s = self._waiting_s() if self._waited_s is None else self._waited_s
        return Stay(self._guest.kind, self.attempts, self.answered, waited_s * 1000)

    async def _think(self) -> None:
        if self.attempts == 1:  # at further attempts it knows what to say
            began_s = time.perf_counter()
            await asyncio.sleep(self._guest.thinks_s)
            self._thought_s = time.perf_counter() - began_s

    def _waiting_s(self) -> float:
        return time.perf_counter() - self._started_s - self._thought_s


def backoff_s(attempt: int, source: random.Random) -> float:
    """How long to wait after a failed attempt (0-based), in seconds.

    Doubles up to a limit; the upper half of it is random, so that clients that failed together do not come back
    together.
    """
    whole_s = min(BACKOFF_FIRST_S * 2.0**attempt, BACKOFF_S_MAX)
    return whole_s * source.uniform(0.5, 1.0)


def _options(guest: Guest) -> dict[str, Any]:
    return {
        "additional_headers": {"Authorization": f"Bearer {token_of(guest.user)}"},
        "open_timeout": OPEN_TIMEOUT_S,
        "proxy": None,  # the chat is on this machine, whatever the environment says of proxies
        "compression": None,
    }


async def _chat(connection: ClientConnection, user: str) -> None:
    await _say(connection, {"type": "say", "text": f"hello from {user}"})
    while (await _hear(connection, "said"))["by"] != user:
        pass  # others talk too
    await _say(connection, {"type": "leave"})
    await _hear(connection, "left")


async def _say(connection: ClientConnection, message: dict[str, Any]) -> None:
    await connection.send(json.dumps(message))


async def _hear(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a kind; what others say meanwhile is passed over."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["type"] == kind:
                return message
            if message["type"] == "error":
                raise TurnedAwayError(message["why"])
