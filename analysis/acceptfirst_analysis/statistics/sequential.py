"""Tests that may be looked at as often as one likes: e-processes for one rate and for two arms.

Pure statistics: counts in, the logarithm of an e-value out; nothing here knows a store, a policy or an alert. An
e-value is what a fair bet against the hypothesis has made of a stake of 1: under the hypothesis its expectation is at
most 1 at every n, so ``P(ever E >= 1 / alpha) <= alpha``, however often one looks and whenever one stops (Ville 1939;
Robbins 1970). Looking again and again at a Clopper-Pearson bound instead rolls 11 to 14 % of good canaries back at a
nominal 1 %.

The bet is a Beta mixture over the rates beyond the limit (``_log_mixture``), which has a closed form. All functions
take whole numbers or arrays of them, and broadcast. The likelihood of a sequence depends on its counts alone, so a
process that was interrupted goes on from the totals: there is no state to keep.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy

Counts = Any
"""An int, or an array of ints; typed loosely since both go in and the shape comes out again."""

LogEvidence = npt.NDArray[np.float64]

#: Mean of the bet against "at most the limit", as a multiple of it: five times the objective is found soonest.
ABOVE_MEAN: Final = 5.0
ABOVE_SHAPE: Final = 1.5
BELOW_SHAPE: Final = 0.5  # half of the bet on "at least the limit" lies near no violation at all


def log_evidence(alpha: float) -> float:
    """What the log of an e-value must reach for an error of at most ``alpha``: ``-ln alpha``.

    Args:
        alpha: in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"expected alpha to lie between 0 and 1 (0.01 is one in a hundred), but got {alpha!r}")
    return -math.log(alpha)


def log_rate_above(events: Counts, n: Counts, limit: float) -> LogEvidence:
    """Evidence that a rate is above ``limit``, against "at most the limit": what rolls a canary back.

    The bet is Beta(1.5, 0.3 / limit), whose mean is about five times the limit, cut off below the limit. At ``limit =
    0.001`` and an error of 1 % a canary at five times the limit is found after about 1,130 handshakes (median), one at
    ten times after about 360.

    Args:
        events: violations so far.
        n: handshakes so far.
        limit: the rate in question, in (0, 1).
    """
    _require_rate("limit", limit)
    return _log_mixture(events, n, limit, (ABOVE_SHAPE, ABOVE_SHAPE / (ABOVE_MEAN * limit)), above=True)


def log_rate_below(events: Counts, n: Counts, limit: float) -> LogEvidence:
    """Evidence that a rate is below ``limit``, against "at least the limit": what promotes a canary.

    The bet is Beta(1/2, 1 / limit), cut off above the limit. At ``limit = 0.001`` and an error of 5 % it takes 3,588
    handshakes without a violation, 6,550 with one, 8,823 with two, 14,519 with five.

    Args:
        events: violations so far.
        n: handshakes so far.
        limit: the rate in question, in (0, 1).
    """
    _require_rate("limit", limit)
    return _log_mixture(events, n, limit, (BELOW_SHAPE, 1.0 / limit), above=False)


def log_share_above(events_in: Counts, events: Counts, share: float) -> LogEvidence:
    """Evidence that more than ``share`` of the events fall into one arm: that this arm is worse than the other.

    The two-sample test, conditional on the events. Connections are drawn into the arm with probability ``share``
    whatever happens to them, so of the events of two equal arms that share falls into it, whatever the common rate is
    and however it moves: when both arms drift, nothing is blamed on the canary. The bet is uniform over the shares
    above.

    Args:
        events_in: events in the arm so far.
        events: events in both arms so far.
        share: of the connections that the arm gets, in (0, 1).
    """
    _require_rate("share", share)
    return _log_mixture(events_in, events, share, (1.0, 1.0), above=True)


def log_share_below(events_in: Counts, events: Counts, share: float) -> LogEvidence:
    """Evidence that less than ``share`` of the events fall into one arm: that this arm is better than the other.

    Args:
        events_in: events in the arm so far.
        events: events in both arms so far.
        share: of the connections that the arm gets, in (0, 1); give a lower bound of it where it is not known exactly.
    """
    _require_rate("share", share)
    return _log_mixture(events_in, events, share, (1.0, 1.0), above=False)


def tolerated_share(share: float, ratio: float) -> float:
    """The share of the events that an arm gets when its rate is ``ratio`` times the other's.

    What a two-sample test against "at most ratio times worse" takes for ``share``: a difference that does not matter
    would otherwise be found by enough handshakes.

    Args:
        share: of the connections that the arm gets, in (0, 1).
        ratio: of the rates, above 0.
    """
    _require_rate("share", share)
    if not 0.0 < ratio < math.inf:
        raise ValueError(f"expected ratio to be a number above 0, but got {ratio!r}")
    return share * ratio / (share * ratio + 1.0 - share)


def handshakes_until_below(events: int, limit: float, alpha: float) -> int:
    """How many handshakes with that many violations show that the rate is below ``limit``; to say how many are missing.

    Args:
        events: violations.
        limit: the rate in question.
        alpha: error of the test.
    """
    needed = log_evidence(alpha)
    low, high = max(events, 1), max(events, 1)
    while not log_rate_below(events, high, limit) >= needed:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if log_rate_below(events, middle, limit) >= needed:
            high = middle
        else:
            low = middle + 1
    return low


def log_change_evidence(events: Counts, n: Counts, limit: float, factor: float = ABOVE_MEAN) -> float:
    """Evidence, over blocks in order, that a rate rose above ``limit`` at some unknown block: for low traffic.

    An e-detector of the CUSUM kind (Shin, Ramdas and Rinaldo 2022): each block multiplies the stake by its likelihood
    ratio of ``factor * limit`` against ``limit``, and a stake below 1 is made up to 1 again, so that good months don't
    hide a bad hour. An alarm at ``-ln alpha`` is false at most once in ``1 / alpha`` blocks on average.

    Args:
        events: violations of each block (say, an hour), in order.
        n: handshakes of each block.
        limit: the rate that is all right.
        factor: which multiple of it is looked for.

    Returns:
        Logarithm of the evidence after the last block.
    """
    _require_rate("limit", limit)
    rate = min(limit * factor, (1.0 + limit) / 2.0)
    k, total = _counts(events, n)
    gains = k * math.log(rate / limit) + (total - k) * (math.log1p(-rate) - math.log1p(-limit))
    evidence = 0.0
    for gain in np.atleast_1d(gains):
        evidence = max(evidence, 0.0) + float(gain)
    return evidence


def _log_mixture(events: Counts, n: Counts, limit: float, prior: tuple[float, float], *, above: bool) -> LogEvidence:
    """``ln`` of the integral over p beyond ``limit`` of ``(p/limit)^k ((1-p)/(1-limit))^(n-k)``, a cut-off Beta."""
    a, b = prior
    k, total = _counts(events, n)
    tail = betaincc if above else betainc
    # A tail that underflows belongs to data that speak for the hypothesis: no evidence, and no warning about it.
    with np.errstate(divide="ignore"):
        beyond = np.log(tail(a + k, b + total - k, limit))
    mixture = betaln(a + k, b + total - k) + beyond - betaln(a, b) - math.log(tail(a, b, limit))
    null = xlogy(k, limit) + xlog1py(total - k, -limit)
    return np.asarray(mixture - null, dtype=np.float64)


def _counts(events: Counts, n: Counts) -> tuple[LogEvidence, LogEvidence]:
    k, total = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if np.any(k < 0) or np.any(k > total):
        raise ValueError(f"expected events to be from 0 to n, but got {events!r} of {n!r}")
    return k, total


def _require_rate(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"expected {name} to lie between 0 and 1 (0.001 is one in a thousand), but got {value!r}")
