"""How the chat's clients try again, against a server that turns them away as often as a test wants."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from acceptfirst_chat import guests
from acceptfirst_chat.guests import BACKOFF_FIRST_S, BACKOFF_S_MAX, Guest, Stay, backoff_s, stay


class Doorkeeper:
    """Turns the first visits away, with an error or without a word, and then plays the chat."""

    def __init__(self, turned_away: int, *, politely: bool = True) -> None:
        self.left_to_turn_away = turned_away
        self.politely = politely
        self.arrivals_s: list[float] = []

    async def __call__(self, connection: ServerConnection) -> None:
        """Serve one visit."""
        self.arrivals_s.append(asyncio.get_running_loop().time())
        if self.left_to_turn_away > 0:
            self.left_to_turn_away -= 1
            if self.politely:
                await connection.send(json.dumps({"type": "error", "why": "no session yet"}))
                await connection.close(4425)
            else:
                connection.transport.abort()
            return
        async for message in connection:
            await self._answer(connection, json.loads(message)["type"])

    @staticmethod
    async def _answer(connection: ServerConnection, kind: str) -> None:
        noise = {"type": "said", "by": "somebody else", "text": "hello"}
        answers = {"join": {"type": "welcome"}, "say": {"type": "said", "by": "anna"}, "leave": {"type": "left"}}
        await connection.send(json.dumps(noise))
        await connection.send(json.dumps(answers[kind]))


@asynccontextmanager
async def listening(doorkeeper: Doorkeeper) -> AsyncIterator[str]:
    """A server; gives its URL."""
    async with serve(doorkeeper, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def stayed_with(doorkeeper: Doorkeeper, *, thinks_s: float = 0.0) -> Stay:
    """One eager guest's visit."""

    async def visit() -> Stay:
        """One visit to a server of its own."""
        one = Guest(user="anna", room="lobby", kind="eager", arrives_s=0.0, thinks_s=thinks_s, seed="1")
        async with listening(doorkeeper) as url:
            return await stay(url, one)

    return asyncio.run(visit())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guests that wait a millisecond at most between attempts."""
    monkeypatch.setattr(guests, "BACKOFF_S_MAX", 0.001)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("politely", [True, False], ids=["error", "abort"])
@pytest.mark.parametrize("turned_away", [0, 1, 3])
def test_guest_comes_again_until_it_is_answered(turned_away: int, politely: bool) -> None:
    """One attempt more than it was turned away, however that was done."""
    stayed = stayed_with(Doorkeeper(turned_away, politely=politely))

    assert (stayed.answered, stayed.attempts) == (True, turned_away + 1)


@pytest.mark.usefixtures("hurried")
def test_guest_gives_up_after_its_last_attempt() -> None:
    """Somebody who is never let in does not stay for ever."""
    stayed = stayed_with(Doorkeeper(guests.ATTEMPTS_MAX + 5))

    assert (stayed.answered, stayed.attempts) == (False, guests.ATTEMPTS_MAX)


def test_guest_waits_before_it_comes_again() -> None:
    """At least half of the first step."""
    doorkeeper = Doorkeeper(1)
    stayed_with(doorkeeper)

    assert doorkeeper.arrivals_s[1] - doorkeeper.arrivals_s[0] >= BACKOFF_FIRST_S / 2


def test_guests_own_thinking_is_no_waiting() -> None:
    """What is measured is what the server makes it wait for."""
    thinks_s = 1.0

    assert stayed_with(Doorkeeper(0), thinks_s=thinks_s).waited_ms < thinks_s * 1000


@given(attempt=st.integers(0, 1000), seed=st.integers())
def test_backoff_stays_within_half_and_whole_of_its_step(attempt: int, seed: int) -> None:
    """Doubling from the first step up to the limit, the upper half random."""
    whole_s = min(BACKOFF_FIRST_S * 2.0**attempt, BACKOFF_S_MAX)
    source = random.Random(seed)  # noqa: S311 - what a guest draws its backoff from

    assert whole_s / 2 <= backoff_s(attempt, source) <= whole_s
