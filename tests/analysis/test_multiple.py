"""Holm's step-down, against another's numbers and its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_analysis.statistics.multiple import holm


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # statsmodels 0.15.0: multipletests(p, method="holm")[1]
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.001, 0.2, 0.5, 0.9], [0.004, 0.6, 1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_adjusted_values_are_those_of_statsmodels(p_values: list[float], adjusted: list[float]) -> None:
    """Recorded results of an independent implementation."""
    assert holm(p_values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_values_keep_order_and_are_never_smaller(p_values: list[float]) -> None:
    """At least the value itself, the smallest times their number, and in the same order."""
    adjusted = holm(p_values)
    for p, own in zip(p_values, adjusted, strict=True):
        assert p <= own <= 1.0
    ordered = [value for _, value in sorted(zip(p_values, adjusted, strict=True))]
    assert ordered == sorted(ordered)
    assert not p_values or ordered[0] == min(1.0, min(p_values) * len(p_values))


def test_what_is_no_p_value_is_refused() -> None:
    """With what came."""
    with pytest.raises(ValueError, match=r"expected p-values from 0 to 1, but got \[1.5\]"):
        holm([1.5])
