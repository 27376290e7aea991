"""Blind mode: what delays that were tried can show, and which to try next within a budget.

Where nothing tells when the application is ready, a handshake only shows whether the delay it had was long enough. Then
every delay is a sample of its own, and nothing between two of them can be known; so they are tried on a grid of arms,
never with a continuous jitter, and each arm is a plain binomial. The answer stays coarse: it never came within 5 % of
the right delay in a million handshakes, where a ready event in the shadow needs 3,000 to 30,000. That is why the first
advice in blind mode is always the event, and this the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import betaincinv

STEP_DOWN: Final = 0.8
BUDGET_SHARE: Final = 0.1
"""Of the objective: what trying a shorter delay may add to the violations of everybody."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Handshakes that had one delay.

    Attributes:
        delay_ms: the delay.
        events: handshakes for which it was too short.
        n: handshakes.
    """

    delay_ms: float
    events: int
    n: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try next.

    Attributes:
        delay_ms: a step below the shortest delay that is shown to keep the objective.
        share: of the connections, so that it adds at most a tenth of the objective to everybody's violations.
    """

    delay_ms: float
    share: float


def share_upper(arms: Sequence[Arm], delay_ms: float, confidence: float) -> float:
    """Upper bound of the share for which a delay is too short, from the arms at or below it.

    A longer delay is too short for no more handshakes than a shorter one, so each arm below bounds it too, and so do
    several of them together: the least of Clopper and Pearson's bounds over the pools that end at the longest arm. Half
    of the error goes to that arm alone, which mostly knows best, the rest is shared by the others (Bonferroni).

    Args:
        arms: in any order.
        delay_ms: of the policy in question.
        confidence: of the bound.

    Returns:
        1 where no arm is at or below the delay: nothing is claimed below the grid.
    """
    below = sorted((arm for arm in arms if arm.delay_ms <= delay_ms and arm.n), key=lambda arm: -arm.delay_ms)
    if not below:
        return 1.0
    others = len(below) - 1
    error = 1.0 - confidence
    events, n, least = 0, 0, 1.0
    for position, arm in enumerate(below):
        events, n = events + arm.events, n + arm.n
        own = error if not others else error / 2 if not position else error / 2 / others
        least = min(least, _upper(events, n, 1.0 - own))
    return least


def shortest_safe(arms: Sequence[Arm], slo: float, confidence: float) -> float | None:
    """The shortest delay of the grid that is shown to keep the objective; ``None`` where none is.

    From the longest downwards, and no further than to the first that is not shown: in a fixed order the error of all
    claims together is that of one.

    Args:
        arms: in any order.
        slo: share of handshakes for which it may be too short.
        confidence: of all the claims together.
    """
    safe_ms = None
    for arm in sorted(arms, key=lambda arm: -arm.delay_ms):
        if share_upper(arms, arm.delay_ms, confidence) > slo:
            break
        safe_ms = arm.delay_ms
    return safe_ms


def next_trial(arms: Sequence[Arm], slo: float, confidence: float, *, floor_ms: float = 1.0) -> Trial | None:
    """A shorter delay to try, on so few connections that the objective of everybody bears it.

    Args:
        arms: in any order.
        slo: the objective.
        confidence: of the bounds.
        floor_ms: below it a shorter delay is worth nothing.

    Returns:
        ``None`` where no delay is shown to be safe yet, or where the next step down was tried already, or is below the
        floor.
    """
    safe_ms = shortest_safe(arms, slo, confidence)
    if safe_ms is None:
        return None
    delay_ms = round(safe_ms * STEP_DOWN, 3)
    if delay_ms < floor_ms or any(arm.delay_ms <= safe_ms * (1 + STEP_DOWN) / 2 for arm in arms):
        return None
    # Nothing was tried below, so in the worst case it is too short for all of them.
    return Trial(delay_ms, min(0.5, BUDGET_SHARE * slo / share_upper(arms, delay_ms, confidence)))


def _upper(events: int, n: int, confidence: float) -> float:
    return 1.0 if events >= n else float(betaincinv(events + 1, n - events, confidence))
