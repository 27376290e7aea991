"""The e-processes keep their word under optional stopping: exactly, by simulation, and against another's code."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from acceptfirst_analysis.statistics import sequential

SEED = 20261125
SLO = 0.001
Test = Callable[..., sequential.LogEvidence]


def chance_of_ever_reaching(test: Test, alpha: float, horizon: int, rate: float) -> float:
    """Exact probability that a test crosses at any of the first handshakes: a forward recursion over counts."""
    needed = sequential.log_evidence(alpha)
    k = np.arange(80)
    alive, crossed = np.zeros(80), 0.0
    alive[0] = 1.0
    for n in range(1, horizon + 1):
        alive = alive * (1 - rate) + np.concatenate([[0.0], alive[:-1]]) * rate
        over = test(np.minimum(k, n), n, SLO) >= needed
        crossed += float(alive[over].sum())
        alive[over] = 0.0
    return crossed


@pytest.mark.parametrize(("test", "alpha"), [(sequential.log_rate_above, 0.01), (sequential.log_rate_below, 0.05)])
def test_error_is_kept_exactly_when_one_looks_at_every_handshake(test: Test, alpha: float) -> None:
    """10,000 looks at a rate that is right at the limit: no simulation error in this one."""
    assert 0.0 < chance_of_ever_reaching(test, alpha, 10_000, SLO) <= alpha


def test_canary_is_rarely_blamed_when_its_rate_is_at_the_limit() -> None:
    """4,000 canaries of 60,000 handshakes, looked at after each violation: at most 1 %, by a 99 % bound."""
    generator = np.random.default_rng(SEED)
    moments = generator.geometric(SLO, (4000, 130)).cumsum(axis=1)
    counts = np.broadcast_to(np.arange(1, 131), moments.shape)
    found = sequential.log_rate_above(counts, moments, SLO) >= sequential.log_evidence(0.01)
    alarms = int((found & (moments <= 60_000)).any(axis=1).sum())
    assert beta.ppf(0.01, alarms, 4000 - alarms + 1) <= 0.01
    assert alarms > 0


@pytest.mark.parametrize(("rate", "median", "ninetieth"), [(0.005, 1200, 3000), (0.01, 400, 900)])
def test_harmful_canary_is_found_soon(rate: float, median: int, ninetieth: int) -> None:
    """Five and ten times the objective, at an error of 1 %."""
    generator = np.random.default_rng(SEED)
    moments = generator.geometric(rate, (4000, 60)).cumsum(axis=1)
    counts = np.broadcast_to(np.arange(1, 61), moments.shape)
    reached = sequential.log_rate_above(counts, moments, SLO) >= sequential.log_evidence(0.01)
    first = reached.argmax(axis=1)
    needed = moments[np.arange(4000), first]
    assert reached.any(axis=1).all()
    assert (np.median(needed) <= median, np.quantile(needed, 0.9) <= ninetieth) == (True, True)
    assert np.median(first + 1) <= 7


@pytest.mark.parametrize(("events", "handshakes"), [(0, 3588), (1, 6550), (2, 8823), (5, 14_519)])
def test_canary_is_promoted_after_so_many_handshakes(events: int, handshakes: int) -> None:
    """To the handshake: one fewer would not do."""
    needed = sequential.log_evidence(0.05)
    assert sequential.handshakes_until_below(events, SLO, 0.05) == handshakes
    assert sequential.log_rate_below(events, handshakes, SLO) >= needed
    assert sequential.log_rate_below(events, handshakes - 1, SLO) < needed


#: What ville 0.1.0 (BSD-3-Clause, no dependency of ours) makes of a sequence with violations at these places:
#: `test = BernoulliTest(limit, prior=prior); test.update(x); test.log_e_values_[-1]`. Its mixture is not cut off at the
#: limit, so it is ours above and ours below, each with the prior's share of that side.
VILLE = [
    (SLO, (0.5, 1000.0), 2, 4000, -0.3107764198370866),
    (SLO, (1.5, 300.0), 3, 600, 1.8474880471732646),
    (0.05, (1.0, 1.0), 4, 40, -1.3069757168027714),
]


@pytest.mark.parametrize(("limit", "prior", "events", "n", "expected"), VILLE)
def test_both_sides_together_are_villes_mixture(
    limit: float, prior: tuple[float, float], events: int, n: int, expected: float
) -> None:
    """An independent implementation, of which both of ours are parts."""
    above, below = (math.exp(sequential._log_mixture(events, n, limit, prior, above=side)) for side in (True, False))
    whole = beta.sf(limit, *prior) * above + beta.cdf(limit, *prior) * below
    assert math.log(whole) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize(("events", "n", "limit"), [(0, 50, 0.02), (3, 120, 0.01), (7, 20, 0.3)])
def test_evidence_is_the_integral_that_it_says(events: int, n: int, limit: float, above: bool) -> None:
    """By adaptive quadrature over the cut-off prior."""
    prior = (1.5, 0.3 / limit) if above else (0.5, 1 / limit)
    low, high = (limit, 1.0) if above else (0.0, limit)

    def integrand(p: float) -> float:
        odds = (p / limit) ** events * ((1 - p) / (1 - limit)) ** (n - events)
        return float(odds * beta.pdf(p, *prior))

    mass = beta.sf(limit, *prior) if above else beta.cdf(limit, *prior)
    expected = quad(integrand, low, high, limit=400, points=[low + (high - low) * 1e-3])[0] / mass
    test = sequential.log_rate_above if above else sequential.log_rate_below
    assert math.exp(test(events, n, limit)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("test", [sequential.log_rate_above, sequential.log_rate_below])
@given(st.integers(1, 80), st.floats(0.001, 0.3), st.floats(0.0, 1.0))
def test_evidence_is_worth_at_most_one_on_average_under_the_hypothesis(
    test: Test, n: int, limit: float, place: float
) -> None:
    """At the limit exactly one, inside the hypothesis less: what makes it a test at any time."""
    above = test is sequential.log_rate_above
    rate = limit * place if above else limit + (1 - limit) * place * 0.999
    k = np.arange(n + 1)
    evidence = np.exp(test(k, n, limit))
    assert float((binom.pmf(k, n, limit) * evidence).sum()) == pytest.approx(1.0, abs=1e-6)
    assert float((binom.pmf(k, n, rate) * evidence).sum()) <= 1.0 + 1e-6


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_canary_is_not_blamed_when_both_arms_drift(share: float) -> None:
    """Five times the objective in both: 2,000 runs of 150 violations, looked at after each."""
    generator = np.random.default_rng(SEED)
    in_canary = (generator.random((2000, 150)) < share).cumsum(axis=1)
    evidence = sequential.log_share_above(in_canary, np.arange(1, 151), share)
    alarms = int((evidence >= sequential.log_evidence(0.01)).any(axis=1).sum())
    assert beta.ppf(0.01, max(alarms, 1), 2000 - alarms + 1) <= 0.01


def test_worse_arm_is_found_and_so_is_the_better_one() -> None:
    """One in five connections, five times the rate: most violations are the canary's; the other way round, few."""
    assert sequential.log_share_above(14, 25, 0.2) > sequential.log_evidence(0.01)
    assert sequential.log_share_below(0, 25, 0.2) > sequential.log_evidence(0.05)
    assert sequential.log_share_above(5, 25, 0.2) < 0


def test_tolerated_share_is_that_of_a_rate_so_many_times_the_other() -> None:
    """A fifth of the connections at four times the rate have half of the events; at the same rate a fifth."""
    assert sequential.tolerated_share(0.2, 4.0) == pytest.approx(0.5)
    assert sequential.tolerated_share(0.2, 1.0) == pytest.approx(0.2)


def test_rise_is_found_after_months_that_were_good() -> None:
    """A process that kept its losses would need as many bad hours as it had good ones."""
    good, bad = [0] * 2000, [2] * 6
    n = [60] * 2006
    alarm = sequential.log_evidence(0.01)
    assert sequential.log_change_evidence(good, n[:2000], SLO) < 1
    assert sequential.log_change_evidence(good + bad, n, SLO) > alarm


def test_rise_is_rarely_told_when_there_is_none() -> None:
    """At most once in 100 blocks on average: of 1,000 series of 50 hours at the limit, at most half."""
    generator = np.random.default_rng(SEED)
    series = generator.binomial(60, SLO, (1000, 50))
    alarms = sum(
        sequential.log_change_evidence(events[: stop + 1], np.full(stop + 1, 60), SLO) >= sequential.log_evidence(0.01)
        for events in series
        for stop in np.flatnonzero(events)
    )
    assert 0 < alarms <= 500


@pytest.mark.parametrize(
    "call",
    [
        lambda: sequential.log_rate_above(3, 2, SLO),
        lambda: sequential.log_rate_below(-1, 2, SLO),
        lambda: sequential.log_rate_above(0, 2, 1.0),
        lambda: sequential.log_share_above(0, 2, 0.0),
        lambda: sequential.log_evidence(1.0),
        lambda: sequential.tolerated_share(0.2, math.inf),
    ],
)
def test_impossible_numbers_are_refused(call: Callable[[], object]) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="expected"):
        call()
