"""A run's traffic: settled by its seed, so that two runs of one seed have the same guests at the same moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from acceptfirst_chat.guests import Guest, Kind, Stay, stay
from acceptfirst_chat.plants import BUG_ROUTES, Plant
from acceptfirst_chat.visitors import visit

ARRIVALS_PER_S: Final = 45.0
GUESTS_PER_USER: Final = 4
GUESTS_PER_ROOM: Final = 25
KINDS: Final[dict[Kind, float]] = {"eager": 0.7, "slow": 0.2, "impatient": 0.1}
_THINKS_S: Final[dict[Kind, tuple[float, float]]] = {"eager": (0.0, 0.0), "slow": (0.2, 0.8), "impatient": (0.03, 0.15)}
OPEN_MAX: Final = 300
"""Clients that are under way at once; far above what a run reaches, so that it delays no arrival."""


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who comes, and when.

    Attributes:
        guests: of the chat.
        visits: of the bug routes: when (seconds since the start), and which bug.
    """

    guests: tuple[Guest, ...]
    visits: tuple[tuple[float, str], ...]

    @property
    def clients(self) -> int:
        """All of them."""
        return len(self.guests) + len(self.visits)


@dataclass(frozen=True, slots=True)
class Driven:
    """What the clients of one run saw.

    Attributes:
        stays: of the chat's guests.
        connections: that all clients opened.
    """

    stays: tuple[Stay, ...]
    connections: int


def plan(clients: int, seed: int, plants: Sequence[Plant] = tuple(BUG_ROUTES.values())) -> Traffic:
    """Settle the traffic of a run.

    Args:
        clients: how many there are; about a quarter visits the bug routes, at least one each, the others chat.
        seed: decides everything.
        plants: bugs with routes of their own.
    """
    source = random.Random(f"{seed}:traffic")  # noqa: S311 - a simulation, no secret
    span_s = clients / ARRIVALS_PER_S
    each = max(1, clients // (4 * len(plants))) if plants else 0
    names = [plant.name for plant in plants for _ in range(each)]
    visits = sorted((source.uniform(0, span_s), name) for name in names)
    guests = max(1, clients - len(visits))
    users, rooms = -(-guests // GUESTS_PER_USER), -(-guests // GUESTS_PER_ROOM)
    return Traffic(
        guests=tuple(
            Guest(
                user=f"user-{source.randrange(users)}",
                room=f"room-{source.randrange(rooms)}",
                arrives_s=source.uniform(0, span_s),
                seed=f"{seed}:guest:{number}",
                **_temper(source),
            )
            for number in range(guests)
        ),
        visits=tuple(visits),
    )


def _temper(source: random.Random) -> dict[str, Any]:
    kind = source.choices(list(KINDS), list(KINDS.values()))[0]
    return {"kind": kind, "thinks_s": source.uniform(*_THINKS_S[kind])}


async def drive(base_url: str, traffic: Traffic, arrived: Callable[[], None] = lambda: None) -> Driven:
    """Let all clients of a run come, and wait until the last has gone.

    Args:
        base_url: of the chat, such as ``ws://127.0.0.1:8000``.
        traffic: who comes.
        arrived: called when a client is done.
    """
    room = asyncio.Semaphore(OPEN_MAX)
    async with asyncio.TaskGroup() as group:
        for when_s, name in traffic.visits:
            group.create_task(_at(when_s, room, partial(visit, base_url, name), arrived))
        stays = [group.create_task(_at(g.arrives_s, room, partial(stay, base_url, g), arrived)) for g in traffic.guests]
    done = tuple(task.result() for task in stays)
    return Driven(done, len(traffic.visits) + sum(one.attempts for one in done))


async def _at(
    when_s: float, room: asyncio.Semaphore, client: Callable[[], Coroutine[None, None, _T]], arrived: Callable[[], None]
) -> _T:
    await asyncio.sleep(when_s)
    async with room:
        result = await client()
    arrived()
    return result
