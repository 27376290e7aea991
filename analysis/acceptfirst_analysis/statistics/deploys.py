"""One version of an application against the one before it: what is shown, and how much it matters.

Both are needed, since with enough handshakes every difference is shown. Drift asks it of each route's latest deploy
(``acceptfirst_analysis.loop.drift``), the pattern ``regression_after_deploy`` of every deploy
(``acceptfirst_analysis.classification.regressions``); they differ in what they hold it to.

The pattern is looked for in the collector's process, which has no room for scipy: so Fisher's test is written here, and
compared with scipy's by a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

COLD_RATIO: Final = 5.0
"""A start is cold where it takes five times as long as the median of before."""


class Times(Protocol):
    """Times to ready of many handshakes, such as a ``Histogram``."""

    @property
    def n(self) -> int:
        """All of them, those that never became ready included."""
        ...

    @property
    def median_ms(self) -> float:
        """Of those that became ready."""
        ...

    def above(self, limit_ms: float) -> int:
        """How many took longer than a limit, or never became ready."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One measure before and after.

    Attributes:
        measure: ``median`` (the share above the median before), ``cold_share`` or ``race_share``.
        before: milliseconds for ``median``, else a share.
        after: the same of the new version.
        hits: handshakes of the new version that count: above the median, cold, with a race.
        ratio: after to before; of the medians, or of the shares with one handshake added on either side.
        p_value: of Fisher's exact test, twice the smaller side, not adjusted.
    """

    measure: str
    before: float
    after: float
    hits: int
    ratio: float
    p_value: float


def readiness_changes(before: Times, after: Times) -> list[Change]:
    """What became of the times to ready: at their middle, and of the cold ones.

    Args:
        before: of the version before; at least one became ready.
        after: of the new one; at least one.
    """
    median_ms = before.median_ms
    middle = _change("median", (before.above(median_ms), before.n), (after.above(median_ms), after.n))
    limit_ms = COLD_RATIO * median_ms
    medians = median_ms, after.median_ms
    return [
        Change("median", *medians, middle.hits, medians[1] / medians[0], middle.p_value),
        _change("cold_share", (before.above(limit_ms), before.n), (after.above(limit_ms), after.n)),
    ]


def race_change(before: tuple[int, int], after: tuple[int, int]) -> Change:
    """What became of the races: how many handshakes had one, of how many, on either side."""
    return _change("race_share", before, after)


def _change(measure: str, before: tuple[int, int], after: tuple[int, int]) -> Change:
    """Of a share."""
    (hits_before, n_before), (hits, n) = before, after
    p_value = fisher(hits, n, hits_before, n_before)
    shares = hits_before / n_before, hits / n
    return Change(measure, *shares, hits, (shares[1] + 1 / n) / (shares[0] + 1 / n_before), p_value)


def fisher(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """Fisher's exact test of two shares: twice the probability of what was seen or more, on the side where it lies.

    With ``h = hits + other_hits`` of ``n + other_n`` marked, the marked among n are hypergeometric (Fisher 1935). Twice
    the one side is never less than what scipy's two-sided test adds up, and needs no other side.

    Args:
        hits: of the first sample.
        n: its size.
        other_hits: of the second.
        other_n: its size.
    """
    marked, everything = hits + other_hits, n + other_n
    low, high = max(0, marked - other_n), min(marked, n)
    upwards = hits * everything >= marked * n
    step, end = (1, high) if upwards else (-1, low)
    log_term = _log_choose(marked, hits) + _log_choose(everything - marked, n - hits) - _log_choose(everything, n)
    total = term = 1.0  # of what was seen; the terms behind it follow from it
    for k in range(hits, end, step):
        here, there = (k, k + 1) if upwards else (k - 1, k)
        ratio = (marked - here) * (n - here) / (there * (everything - marked - n + there))
        term *= ratio if upwards else 1 / ratio
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, 2.0 * math.exp(log_term + math.log(total)))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
