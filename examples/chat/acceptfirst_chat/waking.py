"""Work that is slow the first time for each name and quick from then on: what makes a handshake race.

How long the first time takes follows from the seed and the name alone, not from the order in which users come, so two
runs with one seed have the same cold starts whatever the policy does to them.
"""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple


class Range(NamedTuple):
    """From and to, in milliseconds."""

    low_ms: float
    high_ms: float

    def drawn(self, seed: str) -> float:
        """One duration in seconds, the same for the same seed."""
        return random.Random(seed).uniform(self.low_ms, self.high_ms) / 1000  # noqa: S311 - a simulation, no secret

    def scaled(self, scale: float) -> Range:
        """The same range on another clock."""
        return Range(self.low_ms * scale, self.high_ms * scale)


class Waking:
    """One kind of such work.

    Args:
        kind: its name, part of the seed.
        seed: of the run.
        first: how long it takes the first time for a name.
        again: how long it takes from then on.
    """

    def __init__(self, kind: str, seed: int, *, first: Range, again: Range) -> None:
        self._seed = f"{seed}:{kind}"
        self._first = first
        self._again = again
        self._woken: dict[str, asyncio.Task[None]] = {}

    async def work(self, name: str) -> None:
        """Do it for a name; who comes while the first time is under way waits for that one."""
        task = self._woken.get(name)
        if task is None:
            first_s = self._first.drawn(f"{self._seed}:{name}")
            task = self._woken[name] = asyncio.create_task(asyncio.sleep(first_s), name=f"waking {name}")
        elif task.done():
            await asyncio.sleep(self._again.drawn(f"{self._seed}:{name}:again"))
        await asyncio.shield(task)  # one who leaves must not stop it for the others
