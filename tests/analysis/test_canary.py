"""A canary is promoted, rolled back or goes on, by what both arms' counts can carry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from acceptfirst_analysis.loop.arms import ArmCounts
from acceptfirst_analysis.loop.canary import CanarySettings, Decision, judge_canary

SEED = 20261125
SHARE = 0.1


def arm(n: int, late: int = 0, **own: Any) -> ArmCounts:
    """An arm in which readiness is told by an event: a late handshake is one with a race."""
    counts = ArmCounts(n=n, n_late=late, n_races=late, n_told=n, races=late, n_ended=n)
    return replace(counts, **own)


def judged(canary: ArmCounts, baseline: ArmCounts, share: float = SHARE, days: float = 1.0) -> Decision:
    """The decision at the default objective."""
    return judge_canary(canary, baseline, share=share, days=days)


@pytest.mark.parametrize(("n", "step"), [(3587, "wait"), (3590, "promote")])
def test_canary_without_violations_is_promoted_when_there_are_enough_handshakes(n: int, step: str) -> None:
    """3,590 of them, not one fewer than 3,588."""
    assert judged(arm(n), arm(9 * n)).step == step


def test_canary_that_goes_on_says_how_many_more() -> None:
    """A number that comes true."""
    decision = judged(arm(1000), arm(9000))
    assert (decision.step, "2,588 more" in decision.reason) == ("wait", True)
    assert judged(arm(3588), arm(9000)).step == "promote"


def test_canary_waits_when_nothing_came_in() -> None:
    """No handshake, no claim."""
    assert judged(arm(0), arm(0)) == Decision(
        "wait", "no handshake of the canary has come in yet", judged(arm(0), arm(0)).evidence
    )


def test_canary_is_rolled_back_when_it_breaks_the_objective() -> None:
    """Four of 300, where the rest of the fleet has one of 2,700."""
    decision = judged(arm(300, 4), arm(2700, 1))
    assert (decision.step, "breaks the objective of 0.1 %" in decision.reason or "harms" in decision.reason) == (
        "rollback",
        True,
    )


@pytest.mark.parametrize("kind", ["races", "failures", "unanswered"])
def test_canary_is_rolled_back_when_any_kind_of_harm_falls_into_it(kind: str) -> None:
    """Ten of twelve, with a tenth of the connections; the reason says of what and how many."""
    decision = judged(arm(2000, **{kind: 10}), arm(18_000, **{kind: 2}))
    assert decision.step == "rollback"
    assert "10 of 12 connections" in decision.reason


def test_canary_is_not_blamed_when_both_arms_have_become_bad() -> None:
    """A database that is down harms a tenth and nine tenths alike."""
    decision = judged(arm(1000, 20, failures=30), arm(9000, 180, failures=270))
    assert decision.step == "wait"


def test_gate_may_leave_a_few_more_clients_without_an_answer() -> None:
    """It answers later by its nature; a tenth more is tolerated, three times as many are not."""
    few = judged(arm(20_000, unanswered=1100, n_late=0), arm(180_000, unanswered=9000))
    many = judged(arm(20_000, unanswered=3000, n_late=0), arm(180_000, unanswered=9000))
    assert (few.step, many.step) == ("promote", "rollback")


def test_canary_is_promoted_early_when_it_mends_what_is_broken() -> None:
    """None of 150, where one in five is late under the policy in force."""
    decision = judged(arm(150), arm(1350, 270))
    assert decision.step == "promote"
    assert "fewer races than what is in force" in decision.reason


def test_canary_is_not_promoted_when_nothing_tells_readiness() -> None:
    """Blind and without a shadow no race can be seen: silence is no success."""
    decision = judged(arm(9000, n_told=0), arm(81_000, 16_000))
    assert decision.step == "wait"
    assert "acceptfirst.ready(websocket)" in decision.reason


def test_backends_that_lag_behind_do_not_make_a_canary_look_better() -> None:
    """Asked for a tenth, but a hundredth came: none of 50 races is no news then."""
    lagging = judged(arm(100), arm(9900, 50))
    assert lagging.step == "wait"


def test_canary_ends_when_weeks_have_shown_nothing() -> None:
    """Rolled back, and the reason does not claim harm."""
    decision = judged(arm(100), arm(900), days=28.5)
    assert (decision.step, decision.reason.startswith("28 days have shown neither")) == ("rollback", True)


def test_evidence_can_be_kept_as_json() -> None:
    """Counts of both arms and what the tests made of them; no infinity."""
    decision = judged(arm(10**7, 10**6), arm(10))
    assert json.loads(json.dumps(decision.evidence, allow_nan=False)) == decision.evidence
    assert decision.evidence["canary"]["n"] == 10**7


@pytest.mark.parametrize(("rate", "both"), [(0.001, False), (0.0003, False), (0.005, True)])
def test_canary_that_is_no_worse_is_rarely_rolled_back(rate: float, both: bool) -> None:
    """100 canaries of 30,000 handshakes, judged after each of their violations; also when both arms drift.

    `make bench-statistics` does it thousands of times.
    """
    generator = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(100):
        moments = np.flatnonzero(generator.random(30_000) < rate) + 1
        others = np.sort(generator.integers(0, 30_000, generator.binomial(270_000, rate)))
        for k, n in enumerate(moments[:25], 1):
            late = int(np.searchsorted(others, n))
            decision = judged(arm(int(n), k), arm(int(9 * n) + late, late))
            if decision.step != "wait":
                wrong += decision.step == "rollback"
                break
    assert beta.ppf(0.01, max(wrong, 1), 100 - wrong + 1) <= (0.02 if both else 0.01)


def test_canary_at_the_limit_is_rarely_promoted() -> None:
    """150 canaries right at the objective, judged every 500 handshakes: at most 5 % are called good."""
    generator = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(150):
        late = generator.binomial(500, 0.001, 40).cumsum()
        steps = (judged(arm(500 * (i + 1), int(k)), arm(4500 * (i + 1), 0)).step for i, k in enumerate(late))
        wrong += next((step for step in steps if step != "wait"), "wait") == "promote"
    assert beta.ppf(0.01, max(wrong, 1), 150 - wrong + 1) <= 0.05


def test_settings_move_the_decision() -> None:
    """An objective of 1 % needs a tenth of the handshakes."""
    lax = CanarySettings(slo=0.01)
    assert judge_canary(arm(400), arm(3600), share=SHARE, days=1, settings=lax).step == "promote"
