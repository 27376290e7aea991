"""The bounds keep their word: against the exact binomial, published tables, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import beta, binom

from acceptfirst_analysis.statistics import bounds

SEED = 20261124


@pytest.mark.parametrize(
    ("slo", "confidence", "expected"),
    [(0.05, 0.95, 59), (0.001, 0.95, 2995), (0.001, 0.99, 4603), (0.01, 0.95, 299), (1e-4, 0.95, 29_956)],
)
def test_least_sample_is_the_published_one_when_nothing_may_exceed(
    slo: float, confidence: float, expected: int
) -> None:
    """Wilks' numbers, as every table has them."""
    assert bounds.samples_min(slo, confidence) == expected


@given(st.integers(1, 20_000), st.floats(0.0005, 0.2), st.floats(0.5, 0.999))
def test_allowed_exceedances_are_the_largest_that_keep_the_confidence(n: int, slo: float, confidence: float) -> None:
    """The exact binomial identity: k keeps it, k + 1 does not."""
    allowed = bounds.exceedances_allowed(n, slo, confidence)
    if allowed is None:
        assert binom.cdf(0, n, slo) > 1 - confidence
    else:
        assert binom.cdf(allowed, n, slo) <= 1 - confidence + 1e-12
        assert binom.cdf(allowed + 1, n, slo) > 1 - confidence


@pytest.mark.parametrize(
    ("n", "coverage"),
    [(2995, 0.950), (10_000, 0.971), (30_000, 0.965), (100_000, 0.954), (300_000, 0.952), (1_000_000, 0.953)],
)
def test_bound_covers_exactly_as_the_table_says(n: int, coverage: float) -> None:
    """Coverage of the order statistic by n, to three digits."""
    allowed = bounds.exceedances_allowed(n, 0.001, 0.95)
    assert allowed is not None
    assert 1 - binom.cdf(allowed, n, 0.001) == pytest.approx(coverage, abs=0.0006)


@given(st.integers(0, 40), st.floats(0.001, 0.2), st.floats(0.5, 0.99))
def test_required_sample_is_the_least_that_allows_its_exceedances(events: int, slo: float, confidence: float) -> None:
    """One handshake fewer would not do."""
    n = bounds.samples_required(events, slo, confidence)
    allowed = bounds.exceedances_allowed(n, slo, confidence)
    before = bounds.exceedances_allowed(n - 1, slo, confidence)
    assert allowed is not None
    assert allowed >= events
    assert before is None or before < events


def test_bound_abstains_when_the_sample_is_one_too_small() -> None:
    """2,994 handshakes say nothing about one in a thousand."""
    assert bounds.quantile_upper(np.arange(2994.0), 0.001, 0.95) is None
    assert bounds.quantile_upper(np.arange(2995.0), 0.001, 0.95) == 2994.0


def test_bound_abstains_when_too_many_never_became_ready() -> None:
    """An infinite order statistic is no delay."""
    sample = np.append(np.arange(2994.0), np.inf)
    assert bounds.quantile_upper(sample, 0.001, 0.95) is None


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, math.inf]), min_size=59, max_size=200))
def test_bound_agrees_with_brute_force_when_there_are_ties(values: list[float]) -> None:
    """The smallest observed value that all smaller ranks fail to bound, found the slow way."""
    sample = np.sort(np.asarray(values))
    n = len(sample)
    ranks = [r for r in range(1, n + 1) if binom.cdf(r - 1, n, 0.95) >= 0.95 - 1e-12]
    expected = float(sample[ranks[0] - 1])
    assert bounds.quantile_upper(sample, 0.05, 0.95) == (expected if math.isfinite(expected) else None)


@pytest.mark.parametrize("discrete", [False, True])
def test_bound_covers_in_simulation_whatever_the_distribution(discrete: bool) -> None:
    """2,000 samples of a mixture with a cold start: the bound is at or above the true quantile in at least 94 %."""
    generator = np.random.default_rng(SEED)
    n, repetitions, slo = 400, 2000, 0.01
    warm = generator.lognormal(2.0, 0.5, (repetitions, n))
    times = np.where(generator.random((repetitions, n)) < 0.02, warm + 300.0, warm)
    truth = np.sort(np.where(generator.random(10**6) < 0.02, 300.0, 0.0) + generator.lognormal(2.0, 0.5, 10**6))
    if discrete:
        times, truth = np.ceil(times / 20), np.ceil(truth / 20)
    quantile = truth[math.ceil(len(truth) * (1 - slo)) - 1]
    found = [bounds.quantile_upper(row, slo, 0.95) for row in np.sort(times, axis=1)]
    covered = sum(bound is not None and bound >= quantile * (1 - 1e-3) for bound in found)
    assert bounds.rate(covered, repetitions, 0.99).low >= 0.94 - 0.005


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=60), st.integers(0, 5), st.floats(0, 5000))
def test_cheapest_delay_is_the_least_cost_of_all_candidates(values: list[float], never: int, lambda_ms: float) -> None:
    """Brute force over every observed time at or above the floor."""
    sample = np.sort(np.asarray([*values, *[math.inf] * never]))
    floor = float(np.sort(values)[len(values) // 2])
    costs = {v: v + lambda_ms * float(np.mean(sample > v)) for v in values if v >= floor}
    chosen = bounds.cheapest_delay(sample, floor, lambda_ms)
    assert chosen >= floor
    assert costs[chosen] == pytest.approx(min(costs.values()))


def test_cheapest_delay_stays_within_the_guardrail_when_more_would_pay() -> None:
    """A violation may cost what it will: the ceiling holds."""
    sample = np.array([10.0, 20.0, 900.0])
    assert bounds.cheapest_delay(sample, 10.0, 1e9, ceiling_ms=250.0) == 20.0


@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.6, 0.999))
def test_rate_bounds_are_clopper_pearsons(events: int, more: int, confidence: float) -> None:
    """Against the beta quantiles that define them."""
    n = events + more
    shown = bounds.rate(events, n, confidence)
    assert shown.high == pytest.approx(beta.ppf(confidence, events + 1, n - events), rel=1e-6, abs=1e-9)
    low = beta.ppf(1 - confidence, events, n - events + 1) if events else 0.0
    assert shown.low == pytest.approx(low, rel=1e-6, abs=1e-9)


def test_rate_refuses_more_events_than_trials() -> None:
    """It says which numbers it got."""
    with pytest.raises(ValueError, match="from 0 to n = 2, but got 3"):
        bounds.rate(3, 2, 0.95)


def test_rate_knows_nothing_when_there_were_no_trials() -> None:
    """Anything from 0 to 1."""
    assert bounds.rate(0, 0, 0.95) == bounds.Rate(0, 0, 0.0, 1.0)


@pytest.mark.parametrize(("limit", "n"), [(0.001, 60), (0.05, 40)])
def test_evidence_is_worth_one_on_average_when_the_rate_is_at_the_limit(limit: float, n: int) -> None:
    """E[e] = 1 under the boundary of the hypothesis: what makes it a test at any time."""
    total = sum(binom.pmf(k, n, limit) * math.exp(bounds.log_evidence_above(k, n, limit)) for k in range(n + 1))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_evidence_agrees_with_the_integral_it_is_the_closed_form_of() -> None:
    """Numerically, over the cut-off prior."""
    events, n, limit = 3, 120, 0.01
    grid = np.linspace(limit, 1.0, 400_001)[:-1]
    prior = np.exp(99 * np.log1p(-grid) - betaln(1, 100)) / beta.sf(limit, 1, 100)
    likelihood = (grid / limit) ** events * ((1 - grid) / (1 - limit)) ** (n - events)
    expected = float(np.trapezoid(prior * likelihood, grid))
    assert math.exp(bounds.log_evidence_above(events, n, limit)) == pytest.approx(expected, rel=1e-4)


def test_evidence_rarely_misleads_however_often_one_looks() -> None:
    """1,000 runs of 3,000 handshakes at the objective, looked at after each violation: at most 5 % cry wolf."""
    generator = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(1000):
        moments = np.flatnonzero(generator.random(3000) < 0.001) + 1
        looks = ((k, int(n)) for k, n in enumerate(moments, 1))
        alarms += any(bounds.rate_is_above(k, n, 0.001, 0.95) for k, n in looks)
    assert bounds.rate(alarms, 1000, 0.99).low <= 0.05


@pytest.mark.parametrize(("rate", "median_max"), [(0.006, 600), (0.003, 3000), (0.0255, 100)])
def test_evidence_is_found_after_few_handshakes_when_the_objective_is_broken(rate: float, median_max: int) -> None:
    """Six, three and twenty-five times the objective."""
    generator = np.random.default_rng(SEED)
    needed = []
    for _ in range(200):
        moments = np.flatnonzero(generator.random(20_000) < rate) + 1
        shown = (int(n) for k, n in enumerate(moments, 1) if bounds.rate_is_above(k, int(n), 0.001, 0.95))
        needed.append(next(shown, 20_000))
    assert np.median(needed) <= median_max


def test_censored_quantile_is_the_plain_one_when_nobody_left() -> None:
    """Without censoring Kaplan-Meier is the empirical distribution."""
    sample = np.arange(1.0, 101.0)
    assert bounds.censored_quantile(sample, np.empty(0), 0.05) == bounds.quantile_estimate(sample, 0.05)


def test_censored_quantile_agrees_with_the_product_written_out() -> None:
    """The product-limit estimator by hand on a sample with ties between leaving and being ready."""
    ready, left = np.array([1.0, 2.0, 2.0, 5.0, 9.0]), np.array([2.0, 4.0, 6.0])
    survival, at = 1.0, {}
    for time in np.unique(ready):
        at_risk = np.sum(ready >= time) + np.sum(left >= time)
        survival *= 1 - np.sum(ready == time) / at_risk
        at[time] = survival
    for share in (0.9, 0.5, 0.35):
        expected = next(time for time, s in at.items() if s <= share)
        assert bounds.censored_quantile(ready, left, share) == expected


#: Miller's leukaemia data, group "maintained", and what R's survfit(Surv(time, status) ~ 1) prints for it:
#: S(9) = 0.909, S(13) = 0.818, S(18) = 0.716, S(23) = 0.614, S(31) = 0.491, S(34) = 0.368, S(48) = 0.184; median 31.
AML_EVENTS = np.array([9.0, 13.0, 18.0, 23.0, 31.0, 34.0, 48.0])
AML_CENSORED = np.array([13.0, 28.0, 45.0, 161.0])


@pytest.mark.parametrize(
    ("share", "quantile"),
    [(0.95, 9.0), (0.85, 13.0), (0.75, 18.0), (0.65, 23.0), (0.5, 31.0), (0.4, 34.0), (0.2, 48.0), (0.18, None)],
)
def test_censored_quantile_is_the_one_that_r_publishes(share: float, quantile: float | None) -> None:
    """The example of R's package survival: at each time the curve comes down to the published value and not further."""
    assert bounds.censored_quantile(AML_EVENTS, AML_CENSORED, share) == quantile


def test_censored_quantile_is_unknown_when_the_slowest_left() -> None:
    """The curve never comes down."""
    assert bounds.censored_quantile(np.array([1.0, 2.0]), np.array([3.0]), 0.1) is None


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_bounds_refuse_a_share_that_is_none(share: float) -> None:
    """The message says what a share looks like."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        bounds.samples_min(share, 0.95)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=400), st.floats(0.001, 0.5))
def test_estimate_leaves_at_most_the_objective_above_it(values: list[float], slo: float) -> None:
    """And the next smaller observation would leave more."""
    sample = np.sort(np.asarray(values))
    estimate = bounds.quantile_estimate(sample, slo)
    assert estimate is not None
    assert np.mean(sample > estimate) <= slo + 1e-9
    smaller = [v for v in values if v < estimate]
    assert not smaller or np.mean(sample > max(smaller)) > slo - 1e-9


def test_more_data_never_loosens_what_is_allowed() -> None:
    """Exceedances allowed grow with n."""
    allowed = [bounds.exceedances_allowed(n, 0.01, 0.95) for n in range(299, 3000)]
    assert all(a is not None and b is not None and a <= b for a, b in itertools.pairwise(allowed))
