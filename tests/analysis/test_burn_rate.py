"""Burn rates: the table of the SRE workbook, both windows, and the guard for low traffic."""

from __future__ import annotations

import numpy as np
import pytest

from acceptfirst_analysis.statistics.burn_rate import BURN_RULES, BurnRule, Window, burning

SEED = 20261125
SLO = 0.001
MINUTES_A_MONTH = 30 * 24 * 60


@pytest.mark.parametrize(("rule", "budget"), list(zip(BURN_RULES, [0.02, 0.05, 0.1, 0.1], strict=True)))
def test_rule_uses_up_the_share_of_the_budget_that_the_workbook_says(rule: BurnRule, budget: float) -> None:
    """2 % in an hour, 5 % in six, 10 % in a day and in three."""
    assert rule.burn * rule.long_minutes / MINUTES_A_MONTH == pytest.approx(budget)
    assert rule.long_minutes == 12 * rule.short_minutes


def windows(long: Window, short: Window) -> dict[int, Window]:
    """Every long window the same, every short one the same."""
    shorts, longs = {r.short_minutes: short for r in BURN_RULES}, {r.long_minutes: long for r in BURN_RULES}
    return {**shorts, **longs}


def test_rule_needs_both_windows() -> None:
    """What is over is not paged for, and what has just begun does not matter yet."""
    rule = BURN_RULES[0]
    bad, good = Window(200, 10_000), Window(0, 10_000)
    assert rule.is_burning(bad, bad, SLO)
    assert not rule.is_burning(bad, good, SLO)
    assert not rule.is_burning(good, bad, SLO)


def test_rule_keeps_quiet_when_there_are_few_events() -> None:
    """Two violations in sixty handshakes burn 33 times too fast, and say nothing yet."""
    rule = BURN_RULES[0]
    few = Window(2, 60)
    assert few.burn(SLO) > 14.4
    assert not rule.is_burning(few, few, SLO)
    assert rule.is_burning(few, few, SLO, events_min=1)


def test_most_urgent_rule_comes_first() -> None:
    """A tenth of all handshakes: all of them, the page first."""
    found = burning(windows(Window(1000, 10_000), Window(100, 1000)), SLO)
    assert found == BURN_RULES
    assert burning(windows(Window(0, 0), Window(0, 0)), SLO) == ()


@pytest.mark.parametrize(("events_min", "low", "high"), [(1, 0.3, 0.95), (3, 0.0, 0.03)])
def test_guard_ends_false_pages_when_traffic_is_low(events_min: int, low: float, high: float) -> None:
    """200 quiet weekends of 66 hours with 60 handshakes an hour at 0.3 times the objective."""
    generator = np.random.default_rng(SEED)
    pages = 0
    for _ in range(200):
        events = generator.binomial(1, 0.3 * SLO, 66 * 60)
        total = np.concatenate([[0], events.cumsum()])
        for rule in BURN_RULES[:2]:
            ends = np.arange(rule.long_minutes, len(total))
            if any(
                rule.is_burning(
                    Window(float(total[end] - total[end - rule.long_minutes]), rule.long_minutes),
                    Window(float(total[end] - total[end - rule.short_minutes]), rule.short_minutes),
                    SLO,
                    events_min,
                )
                for end in ends
            ):
                pages += 1
                break
    assert low <= pages / 200 <= high


def test_objective_that_is_none_is_refused() -> None:
    """0 would make every burn rate infinite."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        BURN_RULES[0].is_burning(Window(1, 2), Window(1, 2), 0.0)
