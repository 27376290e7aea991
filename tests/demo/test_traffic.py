"""Traffic and cold starts follow from the seed alone: else before and after could not be compared."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_chat.plants import BUG_ROUTES
from acceptfirst_chat.traffic import plan
from acceptfirst_chat.waking import Range, Waking

CLIENTS = st.integers(len(BUG_ROUTES) + 1, 1000)


@given(clients=CLIENTS, seed=st.integers())
def test_plan_is_the_same_for_the_same_seed(clients: int, seed: int) -> None:
    """Guests, moments, thinking and backoff."""
    assert plan(clients, seed) == plan(clients, seed)


@given(clients=CLIENTS, seed=st.integers())
def test_plan_has_as_many_clients_as_were_asked_for(clients: int, seed: int) -> None:
    """Guests and visitors together."""
    assert plan(clients, seed).clients == clients


@given(clients=CLIENTS, seed=st.integers())
def test_plan_visits_every_bug_equally_often(clients: int, seed: int) -> None:
    """At least once."""
    names = [name for _, name in plan(clients, seed).visits]

    assert {names.count(name) for name in BUG_ROUTES} == {max(1, clients // (4 * len(BUG_ROUTES)))}


def test_plan_has_all_kinds_of_guests() -> None:
    """Some impatient, some slow."""
    assert {guest.kind for guest in plan(400, 1).guests} == {"eager", "slow", "impatient"}


def slow_first(low_ms: float) -> Waking:
    """Work that takes its time at first and none afterwards."""
    return Waking("test", 1, first=Range(low_ms, low_ms), again=Range(0, 0))


@given(name=st.text(), others=st.lists(st.text(), max_size=3))
def test_first_duration_does_not_depend_on_who_came_before(name: str, others: list[str]) -> None:
    """It is drawn from the seed and the name."""
    durations = Range(1.0, 1000.0)
    for other in others:
        durations.drawn(f"1:test:{other}")

    assert durations.drawn(f"1:test:{name}") == Range(1.0, 1000.0).drawn(f"1:test:{name}")


def test_second_visitor_waits_for_the_first_ones_work() -> None:
    """Who comes while it is under way does not find it done."""

    async def two() -> float:
        """Seconds that the second waits."""
        waking = slow_first(100.0)
        first = asyncio.create_task(waking.work("anna"))
        await asyncio.sleep(0.01)
        began_s = time.perf_counter()
        await waking.work("anna")
        waited_s = time.perf_counter() - began_s
        await first
        return waited_s

    assert asyncio.run(two()) > 0.05


def test_visitor_who_leaves_does_not_stop_the_work_for_the_others() -> None:
    """A cancelled connection's cold start goes on."""

    async def leave_and_return() -> bool:
        """Whether the first was cancelled, once the second has what it came for."""
        waking = slow_first(30.0)
        first = asyncio.create_task(waking.work("anna"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await waking.work("anna")
        return first.cancelled()

    assert asyncio.run(leave_and_return())
