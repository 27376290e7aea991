"""All connections of a plan, block by block: the same plan gives the same ones, however much of it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst.policy.arm import is_canary
from acceptfirst_analysis.simulate.climate import Climate
from acceptfirst_analysis.simulate.episodes import EPISODES
from acceptfirst_analysis.simulate.faults import CAUSES, FAULTS, Fault, fault_groups
from acceptfirst_analysis.simulate.group import Arrivals, Bool, Group, Int64, identities
from acceptfirst_analysis.simulate.natural import natural_groups
from acceptfirst_analysis.simulate.plan import NS_PER_S, Place, Plan, PlanError

BLOCK: Final = 200_000
"""Connections in a block: enough that numpy works on columns, few enough that a block fits in 200 MB."""

_CHUNKS, _EPISODES = 2, 3
"""What the random numbers of this module are for; see ``Plan.rng``."""


@dataclass(frozen=True)
class Block:
    """Some of a plan's connections.

    Attributes:
        groups: by place and course.
        reported: for each group, the patterns that the library reports and of which of its connections.
    """

    groups: tuple[Group, ...]
    reported: tuple[dict[str, Bool], ...]

    def __len__(self) -> int:
        return sum(map(len, self.groups))

    def stored(self, index: int) -> Bool:
        """Which connections of a group leave spans: those that were drawn, and those with a violation."""
        group = self.groups[index]
        stored: Bool = np.logical_or.reduce([group.drawn, *self.reported[index].values()])
        return stored


def simulate(plan: Plan, catalogue: Catalogue | None = None) -> Iterator[Block]:
    """All connections of a plan; at least one block, which may be empty.

    Args:
        plan: what to simulate.
        catalogue: what the library would report violations by; the shipped patterns where none is given.

    Raises:
        PlanError: when the plan names a cause that there is none of.
    """
    catalogue = catalogue or load_catalogue()
    _require_known(plan.causes, CAUSES)
    _require_known(plan.fleet_causes, tuple(EPISODES))
    climate = Climate.of(plan)
    yield _block(_episodes(climate), catalogue)
    for number, first in enumerate(range(0, plan.connections, BLOCK)):
        count = min(BLOCK, plan.connections - first)
        yield _block(_chunk(climate, number, count), catalogue)


def _block(groups: list[Group], catalogue: Catalogue) -> Block:
    return Block(tuple(groups), tuple(group.reported(catalogue) for group in groups))


def _chunk(climate: Climate, number: int, count: int) -> list[Group]:
    plan = climate.plan
    rng = plan.rng(_CHUNKS, number)
    arrivals = _arrivals(plan, rng, count)
    shares = np.array([place.share for place in plan.places])
    where = rng.choice(len(plan.places), count, p=shares / shares.sum())
    faults = [fault for fault in FAULTS if not plan.causes or fault.cause in plan.causes]
    what = np.where(rng.random(count) < plan.faults, _even_causes(faults, rng, count), -1)
    groups: list[Group] = []
    for index, place in enumerate(plan.places):
        for arm, held in _arms(place, identities(arrivals.started_ns, arrivals.tail)):
            for which, fault in ((-1, None), *enumerate(faults)):
                rows = np.flatnonzero((where == index) & held & (what == which))
                own = arrivals.chosen(rows)
                if fault is None:
                    groups += natural_groups(climate, arm, own, rng)
                else:
                    groups += fault_groups(climate, arm, fault, own, rng)
    return groups


def _arrivals(plan: Plan, rng: np.random.Generator, count: int) -> Arrivals:
    started_ns = rng.integers(plan.since_ns, plan.until_ns, count)
    tail = np.column_stack([rng.integers(0, 2**16, count, np.uint64), rng.integers(0, 2**64, count, np.uint64)])
    user = rng.integers(1, plan.users + 1, count) if plan.users else np.zeros(count, np.int64)
    return Arrivals(started_ns, tail, user)


def _arms(place: Place, ids: npt.NDArray[np.uint8]) -> list[tuple[Place, Bool]]:
    """The place under its policy and, where it has a canary, under that one's; and which connections each holds for."""
    canary = place.policy.canary
    if canary is None:
        return [(place, np.ones(len(ids), bool))]
    drawn = np.array([is_canary(bytes(row), canary.share) for row in ids], bool)
    tried, held = canary.policy, place.policy  # what a canary leaves open is the baseline's
    own = replace(tried, readiness_mode=tried.readiness_mode or held.readiness_mode, gate=tried.gate or held.gate)
    return [(place, ~drawn), (replace(place, policy=own), drawn)]


def _even_causes(faults: Sequence[Fault], rng: np.random.Generator, count: int) -> Int64:
    """A fault for each connection: causes are equally likely, and so are the ways in which each shows."""
    ways = Counter(fault.cause for fault in faults)
    shares = np.array([1 / ways[fault.cause] for fault in faults])
    return rng.choice(len(faults), count, p=shares / shares.sum())


def _episodes(climate: Climate) -> list[Group]:
    """Each in a slot of its own, so that one does not disturb another; where there is no room, fewer."""
    plan = climate.plan
    wanted = [
        episode
        for name, kinds in EPISODES.items()
        if not plan.fleet_causes or name in plan.fleet_causes
        for episode in kinds
        for _ in range(plan.episodes)
    ]
    slot_ns = (plan.until_ns - plan.since_ns) // max(len(wanted), 1)
    if wanted and slot_ns < SLOT_S_MIN * NS_PER_S:
        raise PlanError(
            f"expected {SLOT_S_MIN} s of the range for each of {len(wanted)} episodes, "
            f"but got {slot_ns / NS_PER_S:.0f} s; give a longer range or fewer episodes"
        )
    groups: list[Group] = []
    for number, episode in enumerate(wanted):
        rng = plan.rng(_EPISODES, number)
        place = plan.places[int(rng.integers(len(plan.places)))]
        groups += episode(climate, place, plan.since_ns + number * slot_ns + slot_ns // 2, rng)
    return groups


SLOT_S_MIN: Final = 600
"""Seconds that an episode is given: the patterns look a minute back, and five more for what is usual."""


def _require_known(given: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            raise PlanError(f"expected a cause of {', '.join(known)}, but got {name!r}")
