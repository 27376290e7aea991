"""Blind exploration: bounds that hold, nothing claimed below the grid, and a budget that is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from acceptfirst_analysis.tuning.exploration import Arm, next_trial, share_upper, shortest_safe

SEED = 20261125
SLO = 0.001


def test_bound_of_one_arm_is_clopper_and_pearsons() -> None:
    """As scipy has it."""
    expected = binomtest(3, 5000, alternative="less").proportion_ci(0.95, "exact").high
    assert share_upper([Arm(25.0, 3, 5000)], 25.0, 0.95) == pytest.approx(expected)


def test_nothing_is_claimed_below_the_grid() -> None:
    """A delay that was never tried may be too short for all."""
    assert share_upper([Arm(25.0, 0, 10**6)], 20.0, 0.95) == 1.0
    assert shortest_safe([Arm(25.0, 0, 100)], SLO, 0.95) is None


def test_shorter_arm_speaks_for_the_longer() -> None:
    """What was enough after 20 ms is enough after 25."""
    arms = [Arm(25.0, 0, 100), Arm(20.0, 0, 10_000)]
    assert share_upper(arms, 25.0, 0.95) < SLO
    assert shortest_safe(arms, SLO, 0.95) == 20.0


def test_bound_holds_on_every_arm_at_once() -> None:
    """500 grids of five delays: none of the claims is wrong in at least 95 of 100."""
    generator = np.random.default_rng(SEED)
    delays = np.array([40.0, 32.0, 25.6, 20.5, 16.4])
    shares = norm.sf((np.log(delays) - 2.0) / 0.42)
    wrong = 0
    for _ in range(500):
        events = generator.binomial(6000, shares)
        arms = [Arm(float(d), int(k), 6000) for d, k in zip(delays, events, strict=True)]
        safe = shortest_safe(arms, SLO, 0.95)
        wrong += safe is not None and shares[list(delays).index(safe)] > SLO
    assert wrong <= 25


def test_trial_is_a_step_below_and_within_the_budget() -> None:
    """20 % down; if it fails for all of them, a tenth of the objective is used up."""
    trial = next_trial([Arm(25.0, 0, 10_000)], SLO, 0.95)
    assert trial is not None
    assert trial.delay_ms == 20.0
    assert trial.share == pytest.approx(0.1 * SLO)


@pytest.mark.parametrize(
    "arms", [[], [Arm(25.0, 40, 1000)], [Arm(25.0, 0, 9000), Arm(20.0, 9, 900)], [Arm(1.0, 0, 9000)]]
)
def test_nothing_is_tried_when_nothing_is_safe_or_left(arms: list[Arm]) -> None:
    """No arm is safe, the step below was tried, or there is no way down."""
    assert next_trial(arms, SLO, 0.95) is None
