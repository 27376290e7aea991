"""Weeks: histograms that lose nothing that matters, and a headroom that makes a bound hold for the next week."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from acceptfirst_analysis.statistics.bounds import quantile_upper
from acceptfirst_analysis.tuning.weeks import Histogram, headroom, weeks_of, whole_weeks
from acceptfirst_analysis.window import Window, window_between

SEED = 20261125
SIGMA = 0.5


def histogram(times_ms: Any, n_never: int = 0) -> Histogram:
    """As the store makes it."""
    bins, counts = np.unique(np.floor(100 * np.log10(np.asarray(times_ms) * 1000)).astype(int), return_counts=True)
    return Histogram(np.power(10.0, bins / 100), counts, n_never)


@given(st.lists(st.floats(0.01, 10_000), min_size=1, max_size=200))
def test_median_is_within_a_bin_of_the_true_one(times_ms: list[float]) -> None:
    """2.4 % wide."""
    low, high = np.quantile(times_ms, 0.5, method="lower"), np.quantile(times_ms, 0.5, method="higher")
    assert low / 1.024 <= histogram(times_ms).median_ms <= high * 1.024


def test_histograms_add_up() -> None:
    """Counts, never-ready and all."""
    both = histogram([1.0, 5.0], 2) + histogram([5.0, 400.0], 1)
    assert (both.n, both.n_never, both.above(100.0), both.above(0.5)) == (7, 3, 4, 7)


@pytest.mark.parametrize(
    ("sd", "trend", "least"), [(0.0, 0.0, 0.90), (0.03, 0.0, 0.90), (0.03, 0.02, 0.88), (0.0, 0.02, 0.90)]
)
def test_bound_holds_for_the_next_week(sd: float, trend: float, least: float) -> None:
    """150 services, four weeks of 10,000 and four more behind them; without headroom a trend breaks every other one."""
    generator = np.random.default_rng(SEED)
    kept = 0
    for _ in range(150):
        scale = np.exp(np.arange(9) * trend + generator.normal(0, sd, 9))
        times = [np.sort(generator.lognormal(1.1, SIGMA, 10_000) * one) for one in scale[:8]]
        bound_ms = quantile_upper(np.sort(np.concatenate(times[4:])), 0.001, 0.95)
        assert bound_ms is not None
        factor = headroom([float(np.median(one)) for one in times], 4)
        kept += norm.sf((np.log(bound_ms * factor / scale[8]) - 1.1) / SIGMA) <= 0.001
    assert kept / 150 >= least


def test_headroom_is_none_when_the_weeks_are_few_or_alike() -> None:
    """Three weeks have no spread worth the name; a trend down gives nothing away."""
    assert headroom([5.0, 6.0, 7.0]) == 1.0
    assert headroom([5.0] * 8) == pytest.approx(1.0)
    assert headroom([8.0, 7.0, 6.0, 5.0, 4.0, 3.5]) < 1.4
    assert headroom([5.0, float("nan"), 5.0, 0.0]) == 1.0


def test_headroom_is_limited() -> None:
    """A service that doubles each week is not mended by a longer delay."""
    assert headroom([1.0, 2.0, 4.0, 8.0, 16.0]) == 2.0


def test_store_gives_weeks_and_versions(handshakes: Any, window: Window) -> None:
    """Two weeks, two versions in the second; a refusal and a clock that was set back are no readiness."""
    for i in range(40):
        handshakes.add(ready_ms=10.0, service_version="1" if i < 20 else "2")
    handshakes.add("CAD", None)
    handshakes.add("CAX", None, ended_by="close")
    handshakes.add(ready_ms=-50.0)
    for row in handshakes.rows[:10]:
        row["first_seen"] -= timedelta(days=7)
    handshakes.write()
    wide = window_between(window.since - timedelta(days=14), window.until, now=window.until)
    rows = handshakes.database.statement_rows("readiness_weeks", {"environment": "", **wide.parameters})
    found = weeks_of(rows)["production", "chat", "/ws"]
    versions = {(one.week.isoformat(), one.service_version): one.histogram.n for one in found}
    assert versions == {
        ("2026-11-09", "1"): 10,
        ("2026-11-16", "1"): 10,
        ("2026-11-16", "2"): 20,
        ("2026-11-16", ""): 2,
    }
    (_, first), (_, second) = whole_weeks(found)
    assert (first.n, second.n, second.n_never) == (10, 32, 2)
    assert first.median_ms == pytest.approx(10.0, rel=0.025)
