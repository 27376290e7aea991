"""The rate limit lets a few of each kind through, keeps the rest back and loses no count of it."""

from __future__ import annotations

import pytest

from acceptfirst.diagnosis import rate_limit
from acceptfirst.diagnosis.rate_limit import RateLimit


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def limit(clock: Clock, burst: int = 3) -> RateLimit:
    """Three at once, then one a minute."""
    return RateLimit(burst=burst, interval_s=60.0, clock=clock)


def test_first_few_go_through_at_once() -> None:
    """As many as the burst says, and no more."""
    limited = limit(Clock())
    assert [limited.let_through("a") is not None for _ in range(5)] == [True, True, True, False, False]


def test_one_more_goes_through_each_interval() -> None:
    """Half an interval is not enough."""
    clock = Clock()
    limited = limit(clock)
    for _ in range(3):
        limited.let_through("a")
    clock.now += 30
    early = limited.let_through("a")
    clock.now += 30

    assert early is None
    assert limited.let_through("a") == (1, 30.0)
    assert limited.let_through("a") is None


def test_quiet_time_earns_no_more_than_the_burst() -> None:
    """An hour without any does not mean sixty at once."""
    clock = Clock()
    limited = limit(clock)
    limited.let_through("a")
    clock.now += 3600
    assert sum(limited.let_through("a") is not None for _ in range(10)) == 3


def test_kinds_do_not_take_from_one_another() -> None:
    """A storm of one kind hides no other."""
    limited = limit(Clock())
    for _ in range(10):
        limited.let_through("storm")
    assert limited.let_through("another") is not None


def test_what_was_kept_back_is_counted_exactly_once() -> None:
    """By the drain or by the next that goes through, never by both."""
    clock = Clock()
    limited = limit(clock, burst=1)
    for _ in range(8):
        limited.let_through("a")
    clock.now += 60

    assert limited.drain() == {"a": (7, 60.0)}
    assert limited.drain() == {}
    assert limited.let_through("a") == (0, 0.0)


def test_too_many_kinds_share_one_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and what the last ones are kept from saying is still counted."""
    monkeypatch.setattr(rate_limit, "KINDS_MAX", 4)
    limited = limit(Clock(), burst=1)
    through = sum(limited.let_through(kind) is not None for kind in range(100))

    assert through == 5
    assert limited.drain() == {None: (95, 0.0)}
    assert len(limited._buckets) == 5
