"""Fisher's test as the collector's process has it, against scipy's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact, hypergeom

from acceptfirst_analysis.statistics.deploys import fisher


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_fisher_is_twice_the_smaller_side(n: int, other_n: int, data: st.DataObject) -> None:
    """Compared with scipy's hypergeometric distribution."""
    hits, other_hits = data.draw(st.integers(0, n)), data.draw(st.integers(0, other_n))
    law = hypergeom(n + other_n, hits + other_hits, n)
    upwards = hits * (n + other_n) >= (hits + other_hits) * n
    side = law.sf(hits - 1) if upwards else law.cdf(hits)
    assert fisher(hits, n, other_hits, other_n) == pytest.approx(min(1.0, 2 * side), rel=1e-6, abs=1e-300)


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_fisher_never_says_less_than_the_two_sided_test_by_half(n: int, other_n: int, data: st.DataObject) -> None:
    """Doubling is the careful way: it is at least the one side, and scipy's sum lies between one side and all."""
    hits, other_hits = data.draw(st.integers(0, n)), data.draw(st.integers(0, other_n))
    two_sided = float(fisher_exact(np.array([[hits, n - hits], [other_hits, other_n - other_hits]])).pvalue)
    assert fisher(hits, n, other_hits, other_n) >= 0.5 * two_sided * (1 - 1e-6)


def test_fisher_answers_for_millions() -> None:
    """Where whole factorials would overflow and whole sums take long."""
    assert fisher(1200, 1_000_000, 1000, 1_000_000) == pytest.approx(
        2 * hypergeom(2_000_000, 2200, 1_000_000).sf(1199), rel=1e-6
    )


def test_classifier_loads_no_statistics_into_the_collector() -> None:
    """Its process acknowledges spans; scipy, numpy and pandas are 150 MB."""
    code = (
        "import sys, acceptfirst_analysis.classification.classify\n"
        "print(sorted({'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
