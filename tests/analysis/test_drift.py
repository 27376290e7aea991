"""Drift week over week and after a deploy: found soon, and rarely where there is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from acceptfirst_analysis.loop.drift import Drift, cusum, deploy_changes, drifts, drifts_of, to_document
from acceptfirst_analysis.tuning.weeks import Histogram, WeekOfVersion
from acceptfirst_analysis.window import Window

SEED = 20261125
KEY = ("production", "chat", "/ws")
BEGIN = date(2026, 4, 6)
CHANGE = 12


def histogram(times_ms: Any) -> Histogram:
    """As the store makes it."""
    bins, counts = np.unique(np.floor(100 * np.log10(np.asarray(times_ms) * 1000)).astype(int), return_counts=True)
    return Histogram(np.power(10.0, bins / 100), counts, 0)


def history(seed: int, n: int, *, slower: float = 1.0, colder: float = 1.0) -> list[WeekOfVersion]:
    """Twenty weeks with 3 % of their own; one start in a hundred is cold; what changes, changes in the thirteenth."""
    generator = np.random.default_rng(seed)
    weeks = []
    for index in range(20):
        scale = np.exp(generator.normal(0, 0.03)) * (slower if index >= CHANGE else 1.0)
        cold = generator.random(n) < 0.01 * (colder if index >= CHANGE else 1.0)
        times = generator.lognormal(2.0, 0.45, n) * scale + np.where(cold, 300.0, 0.0)
        weeks.append(WeekOfVersion(BEGIN + timedelta(days=7 * index), "1", str(index), histogram(times)))
    return weeks


def delays(n: int, runs: int, **change: float) -> list[int | None]:
    """Weeks until the change was found, the week of the change being the first; ``None``: not in four."""
    found: list[int | None] = []
    for run in range(runs):
        series = drifts_of(KEY, history(SEED + run, n, **change))
        alarms = sorted(_alarm_weeks(series))
        late = [week - CHANGE + 1 for week in alarms if CHANGE <= week < CHANGE + 4]
        found.append(late[0] if late else None)
    return found


def _alarm_weeks(series: Sequence[Drift]) -> set[int]:
    return {(point.week - BEGIN).days // 7 for drift in series for point in drift.points if point.is_alarm}


@pytest.mark.parametrize(("change", "weeks"), [({"slower": 1.2}, 1), ({"slower": 1.1}, 3), ({"colder": 2.0}, 1)])
def test_drift_is_found_within_weeks(change: dict[str, float], weeks: int) -> None:
    """20,000 handshakes a week: a fifth slower or twice as many cold starts at once, a tenth in three weeks."""
    found = delays(20_000, 12, **change)
    known = [weeks_needed or 9 for weeks_needed in found]
    assert np.median(known) <= weeks


def test_drift_is_rarely_found_where_there_is_none() -> None:
    """40 series of sixteen judged weeks that move by 3 %: at most half an alarm a year each."""
    alarms = sum(bool(_alarm_weeks(drifts_of(KEY, history(SEED + run, 2000)))) for run in range(40))
    assert alarms / (40 * 16 / 52) <= 0.5


def test_score_says_the_direction() -> None:
    """Slower is above, faster below."""
    steady = [0.0, 0.01, -0.01, 0.0, 0.01, -0.01]
    variances = [1e-6] * 7
    (slower, alarm), (faster, _) = (cusum([*steady, last], variances, 0.03)[-1] for last in (0.5, -0.5))
    assert alarm
    assert slower == pytest.approx(-faster)
    assert slower > 10


def test_cusum_is_the_recursion_that_it_says() -> None:
    """By hand: means and spreads of what came before, one week after the other."""
    values, variances = [1.0, 1.1, 0.9, 1.0, 1.2, 1.25], [0.01] * 6
    scores = cusum(values, variances, 0.1)
    up = 0.0
    for index, (score, _) in enumerate(scores, 4):
        past = np.array(values[:index])
        between = (4 * 0.01 + (index - 1) * max(0.0, past.var(ddof=1) - 0.01)) / (4 + index - 1)
        z = (values[index] - past.mean()) / np.sqrt(0.01 + between * (1 + 1 / index))
        up = max(0.0, up + z - 0.75)
        assert score == pytest.approx(up)


def test_reference_begins_anew_after_an_alarm() -> None:
    """A new level is told once, not for ever."""
    series = drifts_of(KEY, history(SEED, 20_000, slower=1.5))
    median = next(drift for drift in series if drift.series == "median")
    alarms = [point.week for point in median.points if point.is_alarm]
    assert alarms == [BEGIN + timedelta(days=7 * CHANGE)]
    assert not median.is_alarm
    assert median.reference == pytest.approx(median.points[-1].value, rel=0.1)


def test_nothing_is_said_of_few_weeks_or_few_handshakes() -> None:
    """Four weeks are a reference and nothing to compare with it; 100 handshakes are no week."""
    assert drifts_of(KEY, history(SEED, 2000)[:4]) == []
    assert drifts_of(KEY, history(SEED, 100)) == []


def versions(before_ms: Any, after_ms: Any) -> dict[tuple[str, str, str], list[WeekOfVersion]]:
    """Two versions within a week."""
    return {
        KEY: [
            WeekOfVersion(BEGIN, "1.9", "2026-04-06 01", histogram(before_ms)),
            WeekOfVersion(BEGIN, "1.10", "2026-04-08 01", histogram(after_ms)),
        ]
    }


@pytest.mark.parametrize(
    ("factor", "cold", "effect"),
    [(1.4, 0.0, "slower"), (0.6, 0.0, "faster"), (1.0, 0.03, "slower"), (1.02, 0.0, "none")],
)
def test_deploy_is_compared_with_the_version_before(factor: float, cold: float, effect: str) -> None:
    """By the time of its first handshake, not by its name; 2 % are shown in 20,000 handshakes, and do not matter."""
    generator = np.random.default_rng(SEED)
    before = generator.lognormal(2.0, 0.45, 20_000)
    after = generator.lognormal(2.0, 0.45, 20_000) * factor + np.where(generator.random(20_000) < cold, 300.0, 0.0)
    (change,) = deploy_changes(versions(before, after))
    assert (change.before, change.after, change.effect) == ("1.9", "1.10", effect)
    assert (change.n_before, change.n_after) == (20_000, 20_000)


def test_deploy_is_left_out_when_the_latest_version_is_young() -> None:
    """150 handshakes say nothing yet."""
    assert deploy_changes(versions(np.full(1000, 5.0), np.full(150, 50.0))) == []


def test_store_shows_a_deploy_that_made_it_slower(handshakes: Any, window: Window) -> None:
    """From rows to a document that is JSON."""
    for i in range(500):
        is_new = i >= 250
        handshakes.add(ready_ms=40.0 if is_new else 8.0, service_version="2" if is_new else "1")
    handshakes.write()
    found, deploys = drifts(handshakes.database, window)
    document = to_document(found, deploys, window)
    assert [(row.before, row.after, row.effect) for row in deploys] == [("1", "2", "slower")]
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert found == []
