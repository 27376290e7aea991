"""Limits: of requests a second, of places, of bytes held; and bodies that come too slowly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_collector.access import pace
from acceptfirst_collector.access.limits import ByteHold, Places, RateLimit
from acceptfirst_collector.otlp.refusal import RefusedError


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 20))
def test_rate_limit_never_lets_more_through_than_its_rate_and_burst(pauses: list[float], per_second: float) -> None:
    """Whenever they come."""
    now = [0.0]
    limit = RateLimit(per_second, clock=lambda: now[0])
    passed = 0
    for pause in pauses:
        now[0] += pause
        with contextlib.suppress(RefusedError):
            limit.take("a")
            passed += 1
    assert passed <= max(1.0, 2 * per_second) + now[0] * per_second + 1e-6


def test_rate_limit_counts_each_caller_alone() -> None:
    """One that floods does not starve another."""
    limit = RateLimit(1, clock=lambda: 0.0)
    for _ in range(2):
        limit.take("a")
    with pytest.raises(RefusedError) as refused:
        limit.take("a")
    assert (refused.value.status, refused.value.retry_after_seconds) == (429, 1)
    limit.take("b")


def test_rate_limit_of_zero_is_none() -> None:
    """The default."""
    limit = RateLimit(0)
    for _ in range(1000):
        limit.take("a")


def test_places_are_given_back_however_the_answer_ends() -> None:
    """Also after an error."""
    places = Places(1)
    with pytest.raises(ZeroDivisionError), places.one():
        raise ZeroDivisionError
    with places.one(), pytest.raises(RefusedError, match="come back later"), places.one():
        pass


def test_bytes_are_held_up_to_their_limit_and_given_back() -> None:
    """A body that does not fit is refused for now; the others go on."""
    hold = ByteHold(100)
    with hold.lease() as first:
        first.grow(60)
        with pytest.raises(RefusedError) as refused, hold.lease() as second:
            second.grow(50)
        assert refused.value.status == 503
        first.grow(100)
    assert hold.bytes == 0


async def _chunks(*pauses: float) -> AsyncIterator[bytes]:
    for pause in pauses:
        await asyncio.sleep(pause)
        yield b"x"


def test_body_that_stalls_is_refused_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """503, never 408: what gets a 408 is not sent again."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.01)

    async def read() -> list[bytes]:
        return [chunk async for chunk in pace.paced(_chunks(0.0, 30.0))]

    with pytest.raises(pace.SlowBodyError) as refused:
        asyncio.run(read())
    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 5)


def test_body_has_more_time_the_more_of_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one on a slow line is not cut off at the time of a short one."""
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(pace, "BYTES_PER_SECOND_MIN", 0.01)

    async def read() -> list[bytes]:
        return [chunk async for chunk in pace.paced(_chunks(0.0, 0.1, 0.1))]

    assert asyncio.run(read()) == [b"x"] * 3
