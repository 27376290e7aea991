"""Readiness week by week: the series that drift is looked for in, and the headroom that a bound needs for next week."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from acceptfirst_analysis.tuning.readiness import StratumKey

BINS_PER_DECADE: Final = 100
WEEKS_MIN: Final = 4
"""Weeks that must be known before their spread means anything: three differences."""

HEADROOM_DEVIATIONS: Final = 0.8
HEADROOM_MAX: Final = 2.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Readiness times as counts in bins of a hundredth of a decade, which is 2.3 % wide.

    Attributes:
        edges_us: lower edges of the bins, ascending, in microseconds.
        counts: how many fell into each.
        n_never: that never became ready.
    """

    edges_us: Floats
    counts: npt.NDArray[np.int64]
    n_never: int

    @property
    def n(self) -> int:
        """All of them."""
        return int(self.counts.sum()) + self.n_never

    @property
    def median_ms(self) -> float:
        """Of those that became ready, interpolated within its bin; NaN where none did."""
        total = int(self.counts.sum())
        if not total:
            return math.nan
        cumulated = np.cumsum(self.counts)
        index = int(np.searchsorted(cumulated, total / 2))
        inside = (total / 2 - (cumulated[index] - self.counts[index])) / self.counts[index]
        return float(self.edges_us[index] * 10 ** (inside / BINS_PER_DECADE)) / 1000.0

    def above(self, limit_ms: float) -> int:
        """How many took longer than a limit, or never became ready; the limit is taken up to its bin's end."""
        late = int(self.counts[self.edges_us > limit_ms * 1000.0].sum())
        return late + self.n_never

    def __add__(self, other: Histogram) -> Histogram:
        """Both together."""
        edges = np.union1d(self.edges_us, other.edges_us)
        counts = np.zeros(len(edges), dtype=np.int64)
        for part in (self, other):
            counts[np.searchsorted(edges, part.edges_us)] += part.counts
        return Histogram(edges, counts, self.n_never + other.n_never)


@dataclass(frozen=True, slots=True)
class WeekOfVersion:
    """One week of one version of a stratum's application.

    Attributes:
        week: its Monday.
        service_version: of the application; empty where the spans did not say.
        first_seen: of its first handshake, as text that sorts.
        histogram: its readiness times.
    """

    week: date
    service_version: str
    first_seen: str
    histogram: Histogram


def weeks_of(rows: Iterable[Mapping[str, Any]]) -> dict[StratumKey, list[WeekOfVersion]]:
    """The weeks of each stratum, in order, from rows of the statement ``readiness_weeks``."""
    found: dict[StratumKey, list[WeekOfVersion]] = {}
    for row in rows:
        key = (str(row["environment"]), str(row["service"]), str(row["route"]))
        found.setdefault(key, []).append(_week(row))
    return found


def whole_weeks(weeks: Sequence[WeekOfVersion]) -> list[tuple[date, Histogram]]:
    """Each week with all versions of it together."""
    ordered = sorted(weeks, key=lambda one: one.week)
    return [
        (week, sum((one.histogram for one in group), Histogram(np.empty(0), np.empty(0, np.int64), 0)))
        for week, group in groupby(ordered, key=lambda one: one.week)
    ]


def headroom(medians_ms: Sequence[float], window_weeks: float = 1.0) -> float:
    """By what a bound of the latest weeks is multiplied, so that it holds for the next one too.

    A bound for independent draws of one distribution does not hold for a week that drifts: with 3 % from week to week
    it held in 88 of 100 next weeks, with a trend of 2 % a week in 48. From the logarithms of the weekly medians:
    ``exp(0.8 s sqrt(1 + 1/m) + t (m + 1) / 2)`` with their spread s around a trend t and m weeks in the window; the
    next week lies ``(m + 1) / 2`` weeks behind the window's middle. A trend down gives nothing.

    Args:
        medians_ms: of past weeks in order, the latest last.
        window_weeks: length of the range that the bound is from.

    Returns:
        At least 1, at most 2; 1 where fewer than ``WEEKS_MIN`` weeks are known.
    """
    known = np.log([median for median in medians_ms if math.isfinite(median) and median > 0])
    if len(known) < WEEKS_MIN:
        return 1.0
    steps = np.arange(len(known), dtype=np.float64)
    slope, intercept = np.polyfit(steps, known, 1)
    spread = float(np.sqrt(np.sum((known - slope * steps - intercept) ** 2) / (len(known) - 2)))
    deviation = spread / math.sqrt(float(np.sum((steps - steps.mean()) ** 2)))
    trend = slope if abs(slope) > 2 * deviation else 0.0
    if not trend:  # a slope that the spread explains is part of it
        spread = float(np.std(known, ddof=1))
    m = max(window_weeks, 1.0)
    exponent = HEADROOM_DEVIATIONS * spread * math.sqrt(1 + 1 / m) + max(trend, 0.0) * (m + 1) / 2
    return float(min(math.exp(exponent), HEADROOM_MAX))


def _week(row: Mapping[str, Any]) -> WeekOfVersion:
    bins = np.asarray(row["bins"], dtype=np.int64)
    order = np.argsort(bins)
    # 64-bit integers come as text where JSON was between us and the store.
    counts = np.asarray(row["counts"], dtype=np.int64)[order]
    edges = np.power(10.0, bins[order] / BINS_PER_DECADE)
    histogram = Histogram(edges, counts, int(row["n_never"]))
    return WeekOfVersion(row["week"], str(row["service_version"]), str(row["first_seen"]), histogram)
