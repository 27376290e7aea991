"""Bounds that hold whatever the distribution of readiness times is.

Methods were chosen by simulation on known ground truth: means with deviations, plain percentiles, fitted families and
tail models all promised more than they kept; the order statistic kept its word at every sample size. So this module
knows no distribution but the binomial, and it abstains where the sample is too small to say anything.

A handshake that never became ready is passed as ``inf``: it exceeds every delay, which is the worst it can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincc, betaln
from scipy.stats import CensoredData, binom, binomtest, ecdf

Milliseconds = npt.NDArray[np.float64]

GATE_PRIOR_A = 1.0
GATE_PRIOR_B = 100.0  # mean 1 %: where a service that breaks a 0.1 % objective usually is
_BISECTION_START = 64


def samples_min(slo: float, confidence: float) -> int:
    """The least sample that can bound the ``1 - slo`` quantile at all: one in which nothing may exceed the bound.

    The maximum of n is below the quantile with probability ``(1 - slo) ** n`` (Wilks 1941), so
    ``n_min = ceil(ln(1 - confidence) / ln(1 - slo))``.

    Args:
        slo: share of handshakes that may exceed the delay, in (0, 1).
        confidence: of the one-sided bound, in (0, 1).
    """
    _require_share("slo", slo)
    _require_share("confidence", confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-slo))


def exceedances_allowed(n: int, slo: float, confidence: float) -> int | None:
    """How many of ``n`` handshakes may lie above the bound; ``None`` where ``n`` is too small for any bound.

    The largest k with ``P(Binomial(n, slo) <= k) <= 1 - confidence``; the bound is then the order statistic of rank
    ``n - k`` (Guenther 1969). Exact, no normal approximation.
    """
    if n < samples_min(slo, confidence):
        return None
    k = int(binom.ppf(1.0 - confidence, n, slo))
    # ppf gives the smallest k with cdf >= 1 - confidence: that k is one too many, unless it is met exactly.
    while k >= 0 and binom.cdf(k, n, slo) > 1.0 - confidence:
        k -= 1
    return max(k, 0)


def samples_required(exceedances: int, slo: float, confidence: float) -> int:
    """The least n in which ``exceedances`` may lie above the bound; with none it is ``samples_min``."""
    low = samples_min(slo, confidence)
    if exceedances <= 0:
        return low
    high = max(low, _BISECTION_START)
    while binom.cdf(exceedances, high, slo) > 1.0 - confidence:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if binom.cdf(exceedances, middle, slo) > 1.0 - confidence:
            low = middle + 1
        else:
            high = middle
    return low


def quantile_upper(sorted_ms: Milliseconds, slo: float, confidence: float) -> float | None:
    """Upper bound of the ``1 - slo`` quantile by an order statistic with the exact binomial.

    ``P(share of handshakes above the bound <= slo) >= confidence`` for independent draws of one distribution, any
    distribution, ties included.

    Args:
        sorted_ms: readiness times in ascending order; ``inf`` for a handshake that never became ready.
        slo: share that may exceed the bound.
        confidence: of the bound.

    Returns:
        Milliseconds; ``None`` where the sample is too small or too many handshakes never became ready.
    """
    allowed = exceedances_allowed(len(sorted_ms), slo, confidence)
    if allowed is None:
        return None
    bound_ms = float(sorted_ms[len(sorted_ms) - allowed - 1])
    return bound_ms if math.isfinite(bound_ms) else None


def quantile_estimate(sorted_ms: Milliseconds, slo: float) -> float | None:
    """The smallest observed time that at most a share ``slo`` of the sample exceeds; ``None`` if that is never."""
    n = len(sorted_ms)
    if n == 0:
        return None
    estimate_ms = float(sorted_ms[n - math.floor(n * slo + 1e-9) - 1])
    return estimate_ms if math.isfinite(estimate_ms) else None


def cheapest_delay(sorted_ms: Milliseconds, floor_ms: float, lambda_ms: float, ceiling_ms: float = math.inf) -> float:
    """The delay of least cost between floor and ceiling: ``d + lambda_ms * S(d)``, S being the sample's share above d.

    Raising d above a bound keeps the bound, so this step can only make the delay safer.

    Args:
        sorted_ms: readiness times, ascending, ``inf`` for never.
        floor_ms: the bound or the estimate that must be kept.
        lambda_ms: what one violation costs, in milliseconds of waiting.
        ceiling_ms: the guardrail; a floor that is above it is left as it is.
    """
    n = len(sorted_ms)
    start = int(np.searchsorted(sorted_ms, floor_ms, side="left"))
    stop = int(np.searchsorted(sorted_ms, np.nextafter(ceiling_ms, np.inf), side="left"))
    candidates = sorted_ms[start:stop]
    if len(candidates) == 0:
        return floor_ms
    # Among equal times the last one has the true share above it, and the least cost.
    above = n - 1 - np.arange(start, stop, dtype=np.float64)
    return float(candidates[int(np.argmin(candidates + lambda_ms * above / n))])


def censored_quantile(ready_ms: Milliseconds, censored_ms: Milliseconds, slo: float) -> float | None:
    """The ``1 - slo`` quantile by Kaplan and Meier (1958), where handshakes that ended unready are right-censored.

    Assumes that leaving has nothing to do with being slow, which impatient clients contradict: an estimate to be shown
    with a flag, never a bound.

    Args:
        ready_ms: times of handshakes that became ready.
        censored_ms: how long the others had been waited for when they ended.
        slo: share that may exceed it.

    Returns:
        Milliseconds; ``None`` where the curve never comes down to ``slo``.
    """
    if len(ready_ms) == 0:
        return None
    survival = ecdf(CensoredData(uncensored=ready_ms, right=censored_ms)).sf
    reached = np.flatnonzero(survival.probabilities <= slo + 1e-12)
    return float(survival.quantiles[reached[0]]) if len(reached) else None


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of handshakes with its Clopper-Pearson interval.

    Attributes:
        events: how many had it.
        n: of how many.
        low: one-sided lower bound.
        high: one-sided upper bound.
    """

    events: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The observed share; 0 of 0 is 0."""
        return self.events / self.n if self.n else 0.0


def rate(events: int, n: int, confidence: float) -> Rate:
    """A share with exact one-sided bounds (Clopper and Pearson 1934), each of which holds at ``confidence``.

    Raises:
        ValueError: when there are more events than trials.
    """
    if not 0 <= events <= n:
        raise ValueError(f"expected events to be from 0 to n = {n}, but got {events}")
    if n == 0:
        return Rate(0, 0, 0.0, 1.0)
    # scipy's one-sided interval is the bound of that side alone; a two-sided one would spend half on each tail.
    low = binomtest(events, n, alternative="greater").proportion_ci(confidence, "exact").low
    high = binomtest(events, n, alternative="less").proportion_ci(confidence, "exact").high
    return Rate(events, n, float(low), float(high))


def log_evidence_above(events: int, n: int, limit: float) -> float:
    """Log of the e-value against "the rate is at most ``limit``": a Beta mixture over the rates above it.

    ``E = integral over p in (limit, 1) of (p / limit)^events ((1 - p) / (1 - limit))^(n - events) dPrior(p)`` with a
    Beta(1, 100) prior cut off below ``limit``; under the hypothesis its expectation is at most 1 at every n, so
    ``P(ever E >= 1 / alpha) <= alpha`` (Ville; Robbins 1970): it may be looked at as often as one likes.

    Args:
        events: violations.
        n: handshakes.
        limit: the rate in question.
    """
    _require_share("limit", limit)
    a, b = GATE_PRIOR_A, GATE_PRIOR_B
    posterior_tail = betaincc(a + events, b + n - events, limit)
    if posterior_tail <= 0.0:
        return -math.inf
    mixture = betaln(a + events, b + n - events) + math.log(posterior_tail)
    prior = betaln(a, b) + math.log(betaincc(a, b, limit))
    null = events * math.log(limit) + (n - events) * math.log1p(-limit)
    return float(mixture - prior - null)


def rate_is_above(events: int, n: int, limit: float, confidence: float) -> bool:
    """Whether it is shown, at any time of looking, that the rate is above ``limit``."""
    return log_evidence_above(events, n, limit) >= -math.log1p(-confidence)


def _require_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"expected {name} to lie between 0 and 1 (0.001 is one in a thousand), but got {value!r}")
