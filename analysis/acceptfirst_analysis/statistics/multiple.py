"""Several tests at once: what a p-value is worth when it is the smallest of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down: the chance of any wrong rejection stays below the level they are held to.

    The smallest of m is multiplied by m, the next by m - 1, and none is below the one before it (Holm 1979). No
    assumption on how the tests depend on one another.

    Args:
        p_values: in any order.

    Returns:
        Adjusted, in the same order, at most 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if np.any(~((p >= 0.0) & (p <= 1.0))):
        raise ValueError(f"expected p-values from 0 to 1, but got {p_values!r}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]
