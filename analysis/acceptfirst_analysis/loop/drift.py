"""Whether readiness drifts: week over week by CUSUM, and after a deploy by comparison of versions.

A test of two samples finds a difference in every pair of weeks once they are large enough: with 3 % of harmless
movement from week to week Kolmogorov and Smirnov's alarmed in every run. So a week is one observation here, whose
variance is that of its sampling and that of the weeks together. Two series are watched: the logarithm of the median,
and the share of cold starts, which is what breaks an objective while the median stays where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from typing import Any, Final, Literal

import numpy as np

from acceptfirst_analysis.statistics.deploys import COLD_RATIO, Change, readiness_changes
from acceptfirst_analysis.statistics.multiple import holm
from acceptfirst_analysis.tuning.readiness import StratumKey
from acceptfirst_analysis.tuning.recommend import StatementReader
from acceptfirst_analysis.tuning.weeks import Histogram, WeekOfVersion, weeks_of, whole_weeks
from acceptfirst_analysis.window import WEEK, Window, week_before, window_between

Series = Literal["median", "cold_share"]

SLACK: Final = 0.75
LIMIT: Final = 3.5
"""In standard deviations: a week that is 4.3 off alarms at once, one that is 2.5 off in its second week."""

REFERENCE_WEEKS_MIN: Final = 4
REFERENCE_WEEKS_MAX: Final = 26
HANDSHAKES_MIN: Final = 200
WEEKLY_SD: Final[Mapping[Series, float]] = {"median": 0.03, "cold_share": 0.005}
"""What weeks may differ by while their own spread is not known yet; weighs as much as four weeks."""

PRIOR_WEEKS: Final = 4
HISTORY: Final = 30 * WEEK

DEPLOY_ALPHA: Final = 0.01
DEPLOY_RATIO_MIN: Final = 1.1
COLD_RATIO_MIN: Final = 1.5


@dataclass(frozen=True, slots=True)
class Point:
    """One week of one series.

    Attributes:
        week: its Monday.
        value: milliseconds, or a share.
        score: the CUSUM's after it, in standard deviations; its sign says the direction.
        is_alarm: whether it reached the limit in this week; the reference begins anew after it.
    """

    week: date
    value: float
    score: float
    is_alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One series of one stratum.

    Attributes:
        environment: where.
        service: where.
        route: where.
        series: ``median`` (milliseconds) or ``cold_share``.
        points: the weeks that could be judged, in order.
        reference: mean of the weeks that the latest is compared with.
    """

    environment: str
    service: str
    route: str
    series: Series
    points: tuple[Point, ...]
    reference: float

    @property
    def is_alarm(self) -> bool:
        """Whether the latest week drifted."""
        return bool(self.points) and self.points[-1].is_alarm

    def to_row(self) -> dict[str, Any]:
        """As JSON carries it."""
        points = [{**asdict(point), "week": point.week.isoformat()} for point in self.points]
        return {**asdict(self), "points": points, "is_alarm": self.is_alarm}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployChange:
    """The latest version of an application against the one before it.

    Attributes:
        environment: where.
        service: where.
        route: where.
        before: ``service.version`` before.
        after: the latest one.
        n_before: handshakes of the version before.
        n_after: of the latest.
        median_ms_before: milliseconds.
        median_ms_after: milliseconds.
        cold_share_before: share that took over five times the median of the version before, or never became ready.
        cold_share_after: the same, with the same limit.
        p_value: of the difference, Holm-adjusted over all that was asked at once.
        effect: ``slower`` or ``faster`` where it is both shown and large enough to matter; else ``none``.
    """

    environment: str
    service: str
    route: str
    before: str
    after: str
    n_before: int
    n_after: int
    median_ms_before: float
    median_ms_after: float
    cold_share_before: float
    cold_share_after: float
    p_value: float
    effect: Literal["slower", "faster", "none"]

    def to_row(self) -> dict[str, Any]:
        """As JSON carries it."""
        return asdict(self)


def drifts(reader: StatementReader, window: Window, *, environment: str = "") -> tuple[list[Drift], list[DeployChange]]:
    """What drifted up to the end of a range, and what the latest deploys did.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        window: its end is what counts: the whole weeks before it are the series.
        environment: only this one; empty for all.

    Raises:
        StoreError: when the store can't be read.
    """
    until = week_before(window.until, now=window.until).until
    history = window_between(until - HISTORY, until, now=until)
    latest = window_between(window.until - 8 * WEEK, window.until, now=window.until)
    weekly, recent = (
        weeks_of(reader.statement_rows("readiness_weeks", {"environment": environment, **one.parameters}))
        for one in (history, latest)
    )
    return [drift for key, weeks in weekly.items() for drift in drifts_of(key, weeks)], deploy_changes(recent)


def drifts_of(key: StratumKey, weeks: Sequence[WeekOfVersion]) -> list[Drift]:
    """Both series of one stratum; none where fewer than five weeks have enough handshakes."""
    usable = [(week, one) for week, one in whole_weeks(weeks) if one.n >= HANDSHAKES_MIN and one.counts.sum()]
    if len(usable) <= REFERENCE_WEEKS_MIN:
        return []
    days = [week for week, _ in usable]
    histograms = [histogram for _, histogram in usable]
    medians = [histogram.median_ms for histogram in histograms]
    # One limit for the whole series: a limit that moved along would hide a drift.
    limit_ms = COLD_RATIO * float(np.median(medians[:REFERENCE_WEEKS_MIN]))
    shares = [histogram.above(limit_ms) / histogram.n for histogram in histograms]
    variances = [_median_variance(histogram) for histogram in histograms]
    cold_variances = [1.0 / (4.0 * histogram.n) for histogram in histograms]
    return [
        _drift(key, "median", days, medians, cusum(np.log(medians), variances, WEEKLY_SD["median"])),
        _drift(key, "cold_share", days, shares, cusum(_arcsine(shares), cold_variances, WEEKLY_SD["cold_share"])),
    ]


def cusum(values: Any, variances: Sequence[float], weekly_sd: float) -> list[tuple[float, bool]]:
    """Page's two-sided CUSUM of weeks against those before them, each with its own variance.

    ``z = (x - mean) / sqrt(v + w (1 + 1/m))`` with the sampling variance ``v`` and the variance ``w`` between the ``m``
    weeks of the reference, which begins with ``weekly_sd`` and four weeks' weight; ``S = max(0, S + z - 0.75)`` alarms
    at 3.5, on either side. After an alarm the reference begins anew.

    Args:
        values: one a week, on a scale on which weeks are alike (logarithm, arcsine).
        variances: of the sampling of each.
        weekly_sd: what weeks may differ by before their own spread is known.

    Returns:
        From the fifth week on: the score with the sign of its direction, and whether it is an alarm.
    """
    x = np.asarray(values, dtype=np.float64)
    scores: list[tuple[float, bool]] = []
    begin, up, down = 0, 0.0, 0.0
    for index in range(REFERENCE_WEEKS_MIN, len(x)):
        reference = slice(max(begin, index - REFERENCE_WEEKS_MAX), index)
        m = index - reference.start
        if m < REFERENCE_WEEKS_MIN:
            scores.append((0.0, False))
            continue
        between = _between(x[reference], np.asarray(variances[reference]), weekly_sd)
        z = (x[index] - x[reference].mean()) / math.sqrt(variances[index] + between * (1.0 + 1.0 / m))
        up, down = max(0.0, up + z - SLACK), max(0.0, down - z - SLACK)
        is_alarm = max(up, down) >= LIMIT
        scores.append((up if up >= down else -down, is_alarm))
        if is_alarm:
            begin, up, down = index, 0.0, 0.0
    return scores


def deploy_changes(weeks: Mapping[StratumKey, Sequence[WeekOfVersion]]) -> list[DeployChange]:
    """The latest version of each stratum's application against the one before, where both have enough handshakes.

    Two conditions, since with enough handshakes every difference is shown: Fisher's exact test above the earlier
    median, and on cold starts, Holm-adjusted over all; and a median a tenth, or cold starts half, above or below what
    they were.
    """
    pairs = {key: pair for key, found in weeks.items() if (pair := _latest_versions(found)) is not None}
    changes = {key: readiness_changes(old.histogram, new.histogram) for key, (old, new) in pairs.items()}
    adjusted = iter(holm([change.p_value for found in changes.values() for change in found]))
    return [_deploy_change(key, *pair, [(c, next(adjusted)) for c in changes[key]]) for key, pair in pairs.items()]


def to_document(found: Sequence[Drift], deploys: Sequence[DeployChange], window: Window) -> dict[str, Any]:
    """As JSON carries both."""
    return {
        "schema_version": 1,
        "window": {**window.parameters, "week": window.week, "provisional": window.provisional},
        "drifts": [row.to_row() for row in found],
        "deploys": [row.to_row() for row in deploys],
    }


def _between(x: Any, variances: Any, weekly_sd: float) -> float:
    """Variance between weeks beyond their sampling, shrunk towards what is usual while few are known."""
    own = max(0.0, float(x.var(ddof=1)) - float(variances.mean()))
    weight = len(x) - 1
    return (PRIOR_WEEKS * weekly_sd**2 + weight * own) / (PRIOR_WEEKS + weight)


def _median_variance(histogram: Histogram) -> float:
    """Of the logarithm of the median: from the order statistics one standard error either side of the middle."""
    n = int(histogram.counts.sum())
    cumulated = np.cumsum(histogram.counts)
    reach = max(math.sqrt(n) / 2, 1.0)
    ranks = [min(max(n / 2 + side * reach, 1.0), float(n)) for side in (-1.0, 1.0)]
    low, high = (math.log(histogram.edges_us[int(np.searchsorted(cumulated, rank))]) for rank in ranks)
    width = math.log(10) / 100  # of a bin: the median is not known better than that
    return max(((high - low) / 2) ** 2, width**2 / 12)


def _arcsine(shares: Sequence[float]) -> Any:
    """The scale on which a share's variance is 1 / 4n whatever the share is."""
    return np.arcsin(np.sqrt(np.asarray(shares)))


def _drift(
    key: StratumKey, series: Series, days: Sequence[date], values: Sequence[float], scores: Sequence[tuple[float, bool]]
) -> Drift:
    judged = list(zip(days, values, strict=True))[REFERENCE_WEEKS_MIN:]
    points = tuple(
        Point(week, float(value), round(score, 3), is_alarm)
        for (week, value), (score, is_alarm) in zip(judged, scores, strict=True)
    )
    alarms = [index for index, (_, is_alarm) in enumerate(scores[:-1]) if is_alarm]
    begin = alarms[-1] + REFERENCE_WEEKS_MIN if alarms else 0
    reference = float(np.mean(values[begin:-1]))
    environment, service, route = key
    return Drift(
        environment=environment, service=service, route=route, series=series, points=points, reference=reference
    )


def _latest_versions(weeks: Sequence[WeekOfVersion]) -> tuple[WeekOfVersion, WeekOfVersion] | None:
    named = sorted((one for one in weeks if one.service_version), key=lambda one: one.service_version)
    versions = [_together(list(group)) for _, group in groupby(named, key=lambda one: one.service_version)]
    known = [one for one in versions if one.histogram.n >= HANDSHAKES_MIN and one.histogram.counts.sum()]
    known.sort(key=lambda one: one.first_seen)
    return (known[-2], known[-1]) if len(known) > 1 else None


def _together(weeks: Sequence[WeekOfVersion]) -> WeekOfVersion:
    first = min(weeks, key=lambda one: one.first_seen)
    ((_, histogram),) = whole_weeks([WeekOfVersion(first.week, "", "", one.histogram) for one in weeks])
    return WeekOfVersion(first.week, first.service_version, first.first_seen, histogram)


def _deploy_change(
    key: StratumKey, before: WeekOfVersion, after: WeekOfVersion, changes: Sequence[tuple[Change, float]]
) -> DeployChange:
    least = {"median": DEPLOY_RATIO_MIN, "cold_share": COLD_RATIO_MIN}
    effects = [
        "slower"
        if change.ratio >= least[change.measure]
        else "faster"
        if change.ratio <= 1 / least[change.measure]
        else "none"
        for change, p in changes
        if p <= DEPLOY_ALPHA
    ]
    effect: Literal["slower", "faster", "none"] = "none"
    if "slower" in effects:
        effect = "slower"
    elif "faster" in effects:
        effect = "faster"
    (median, _), (cold, _) = changes
    return DeployChange(
        environment=key[0],
        service=key[1],
        route=key[2],
        before=before.service_version,
        after=after.service_version,
        n_before=before.histogram.n,
        n_after=after.histogram.n,
        median_ms_before=median.before,
        median_ms_after=median.after,
        cold_share_before=cold.before,
        cold_share_after=cold.after,
        p_value=min(p for _, p in changes),
        effect=effect,
    )
