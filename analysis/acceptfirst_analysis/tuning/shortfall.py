"""How many more handshakes are needed before something can be said."""

from __future__ import annotations

from acceptfirst_analysis.statistics.bounds import rate_is_above, samples_required
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Settings


def objective_missing(stratum: Stratum, settings: Settings) -> int:
    """How many more handshakes like these show whether the objective is kept, if they go on as they did.

    Args:
        stratum: its setting in force, under which the objective is not shown to be kept or broken yet.
        settings: objective and confidence.
    """
    events, n = stratum.n_violations, stratum.n_setting
    if events > n * settings.slo:
        return _until_shown(events, n, settings) - n
    return max(samples_required(events, settings.slo, settings.confidence) - n, 1)


def delay_missing(times: ReadinessTimes, settings: Settings) -> int:
    """How many more handshakes like these bound a delay or show that none is enough; 0 where no number would.

    Args:
        times: a sample that does neither yet.
        settings: objective, confidence and the guardrail.
    """
    if times.n_missing > times.n * settings.slo:
        return 0  # more of the same never bounds a delay: first find out why they leave
    late = times.exceedances_certain(settings.delay_ms_max)
    if late > times.n * settings.slo:
        return _until_shown(late, times.n, settings) - times.n
    return max(samples_required(late, settings.slo, settings.confidence) - times.n, 1)


def _until_shown(events: int, n: int, settings: Settings) -> int:
    """About how many handshakes show that a rate is above the objective: by doubling, then halving."""
    low, high = n, n
    while not rate_is_above(events * high // n, high, settings.slo, settings.confidence):
        low, high = high, high * 2
    while low + 1 < high:
        middle = (low + high) // 2
        if rate_is_above(events * middle // n, middle, settings.slo, settings.confidence):
            high = middle
        else:
            low = middle
    return max(high, n + 1)
