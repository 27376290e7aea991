"""From one stratum's sample to a verdict on its timing, in figures and in words.

Which verdict belongs where is ``acceptfirst_analysis.tuning.decision``'s table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from acceptfirst.environment import UnknownEnvironmentError
from acceptfirst.policy import HANDSHAKE_TIMEOUT_MS_MAX, default_policy
from acceptfirst_analysis.statistics.bounds import (
    censored_quantile,
    cheapest_delay,
    quantile_estimate,
    quantile_upper,
    samples_min,
)
from acceptfirst_analysis.tuning import wording
from acceptfirst_analysis.tuning.cost import cost_of, wait_ms_mean
from acceptfirst_analysis.tuning.decision import KEEP_SLACK, Advice, DelayOutlook, advice_of, outlook_of, violations_of
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings, Verdict
from acceptfirst_analysis.tuning.shortfall import delay_missing, objective_missing

LADDER_EXCEEDANCES: Final = (0.05, 0.005)  # waits end at Q95 and Q99.5, and then at the delay itself
POLLS_WITHIN_DELAY: Final = 20  # a coarser poll shows in the delay: regret is poll / delay
POLL_INTERVAL_MS_MIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Delays:
    """What a fixed delay would have to be.

    Attributes:
        estimate_ms: point estimate of the quantile, before the cost is looked at.
        bound_ms: its upper bound.
        estimate_cheapest_ms: the cheapest delay that keeps the estimate.
        bound_cheapest_ms: the cheapest delay that keeps the bound, and next week's headroom: what is recommended.
        is_censored_estimate: whether too many never became ready for the worst case to say anything, so that the
            estimate assumes that leaving had nothing to do with being slow.
    """

    estimate_ms: float | None
    bound_ms: float | None
    estimate_cheapest_ms: float | None
    bound_cheapest_ms: float | None
    is_censored_estimate: bool

    def with_headroom(self, factor: float, settings: Settings) -> Delays:
        """The same, but what is recommended is so many times longer, up to the guardrail."""
        if self.bound_cheapest_ms is None or factor <= 1.0:
            return self
        longer_ms = _rounded(self.bound_cheapest_ms * factor)
        limited_ms = min(longer_ms or 0.0, max(settings.delay_ms_max, self.bound_cheapest_ms))
        return replace(self, bound_cheapest_ms=limited_ms)


def delays_of(times: ReadinessTimes, settings: Settings) -> Delays:
    """Estimate and bound of the ``1 - slo`` quantile, each with the cheapest delay that keeps it."""
    bound_ms = quantile_upper(times.worst_case_ms, settings.slo, settings.confidence)
    if times.n_missing > times.n * settings.slo / 2:
        estimate_ms = censored_quantile(times.ready_ms, times.waited_ms, settings.slo)
        return Delays(estimate_ms, bound_ms, _rounded(estimate_ms), _cheapest(times, bound_ms, settings), True)
    estimate_ms = quantile_estimate(times.worst_case_ms, settings.slo)
    cheapest_ms = _cheapest(times, estimate_ms, settings)
    return Delays(estimate_ms, bound_ms, cheapest_ms, _cheapest(times, bound_ms, settings), False)


def judge(stratum: Stratum, settings: Settings, *, provisional: bool, headroom: float = 1.0) -> Recommendation:
    """The verdict on one stratum's timing.

    Args:
        stratum: its sample and its setting in force.
        settings: objective, confidence and costs.
        provisional: whether the range was anything but one complete ISO week.
        headroom: what a delay is multiplied by for next week's drift; see ``weeks.headroom``.

    Returns:
        A row whose ``cost`` holds ``connections`` (estimated from the weights), ``wait_ms_mean_before`` and
        ``wait_ms_mean_after`` (what a client waits between accept and its first answer), ``added_latency_s``
        (user-seconds over all connections; negative where it saves), ``violations_avoided``, and
        ``user_seconds_saved`` (what those would have cost, less what is waited for it).
    """
    delays = delays_of(stratum.times, settings).with_headroom(headroom, settings)
    told = _verdict(stratum, delays, settings)
    verdict = told.verdict
    timeout_ms, timeout_is_bound = timeout_of(stratum, settings)
    violations = violations_of(stratum, settings)
    sentences = [told.reason, wording.missing(stratum, delays.is_censored_estimate and delays.estimate_ms is not None)]
    if stratum.times.n:
        sentences.append(wording.timeout(timeout_ms, timeout_is_bound, settings))
    if verdict == "delay":
        sentences.append(wording.headroom(headroom))
    sentences += [wording.set_aside(stratum), wording.window(provisional)]
    return Recommendation(
        environment=stratum.environment,
        service=stratum.service,
        route=stratum.route,
        verdict=verdict,
        readiness_mode_seen=stratum.readiness_mode,
        delay_ms=delays.bound_cheapest_ms,
        timeout_ms=timeout_ms if stratum.times.n else None,
        poll_interval_ms=_poll_interval(stratum.times, settings) if verdict == "poll" else None,
        ladder_ms=ladder_of(stratum.times, delays),
        slo=settings.slo,
        confidence=settings.confidence,
        violation_rate=violations.share if violations.n else None,
        violation_rate_upper=violations.high if violations.n else None,
        delay_ms_estimate=delays.estimate_cheapest_ms,
        n=stratum.times.n,
        n_missing=told.n_missing,
        n_never_ready=stratum.times.n_missing,
        headroom=headroom,
        pattern=told.pattern,
        cost=cost_of(stratum, verdict, delays.bound_cheapest_ms, timeout_ms, settings),
        rationale=" ".join(sentence for sentence in sentences if sentence),
        provisional=provisional,
        from_values=_in_force(stratum),
        evidence={
            "n_refused": stratum.n_refused,
            "n_set_aside": stratum.n_set_aside,
            "n_skewed": stratum.n_skewed,
            "policy_versions": stratum.policy_versions,
        },
    )


def _verdict(stratum: Stratum, delays: Delays, settings: Settings) -> _Told:
    advice = advice_of(stratum, delays.bound_ms, delays.estimate_ms, settings)
    return _TELLERS[advice](_Case(stratum, delays, settings))


@dataclass(frozen=True, slots=True)
class _Case:
    """What a verdict is made of."""

    stratum: Stratum
    delays: Delays
    settings: Settings

    @property
    def late(self) -> int:
        return self.stratum.times.exceedances_certain(self.settings.delay_ms_max)

    @property
    def delay_ms(self) -> float:
        """The delay that is enough; only asked for where there is one."""
        return self.delays.bound_cheapest_ms or 0.0


@dataclass(frozen=True, slots=True)
class _Told:
    """A verdict with its reason.

    Attributes:
        verdict: what to do.
        reason: why, in sentences.
        n_missing: with ``not_enough_evidence``.
        pattern: with ``code_fix``.
    """

    verdict: Verdict
    reason: str
    n_missing: int = 0
    pattern: str | None = None


def _tell(case: _Case) -> _Told:
    needed = samples_min(case.settings.slo, case.settings.confidence)
    return _Told("not_enough_evidence", wording.readiness_unknown(case.stratum, needed), needed)


def _count(case: _Case) -> _Told:
    n_missing = objective_missing(case.stratum, case.settings)
    return _Told("not_enough_evidence", wording.undecided(case.stratum, n_missing, case.settings), n_missing)


def _bound(case: _Case) -> _Told:
    n_missing = delay_missing(case.stratum.times, case.settings)
    if case.delays.bound_ms is None:
        reason = wording.too_few(case.stratum.times, n_missing, case.settings)
    else:
        reason = wording.above_guardrail(case.stratum.times, case.delays.bound_ms, n_missing, case.settings)
    return _Told("not_enough_evidence", f"{wording.broken(case.stratum, case.settings)}{reason}", n_missing)


def _keep(case: _Case) -> _Told:
    return _Told("keep", wording.objective_is_kept(case.stratum, case.settings))


def _keep_held(case: _Case) -> _Told:
    return _Told("keep", wording.gate_holds(case.stratum))


def _fit(case: _Case) -> _Told:
    if case.delay_ms <= case.stratum.delay_applied_ms <= KEEP_SLACK * case.delay_ms:
        return _Told("keep", wording.delay_is_right(case.stratum, case.delay_ms))
    return _delay(case)


def _trim(case: _Case) -> _Told:
    in_force_ms, times = case.stratum.delay_applied_ms, case.stratum.times
    if outlook_of(times, case.delays.bound_ms, case.delays.estimate_ms, case.settings) is DelayOutlook.HOPELESS:
        if case.settings.delay_ms_max < in_force_ms and wait_ms_mean(times, in_force_ms) < in_force_ms:
            return _gate(case)
        return _keep(case)
    if in_force_ms > KEEP_SLACK * case.delay_ms:
        return _Told("delay", wording.delay_is_too_long(case.stratum, case.delay_ms, case.settings))
    return _keep(case)


def _delay(case: _Case) -> _Told:
    return _Told("delay", wording.delay(case.stratum, case.delay_ms, case.settings))


def _cliff(case: _Case) -> _Told:
    estimate_ms, bound_ms = case.delays.estimate_ms or 0.0, case.delays.bound_ms or 0.0
    return _Told("cliff", wording.cliff(case.stratum.times, estimate_ms, bound_ms))


def _gate(case: _Case) -> _Told:
    return _Told("gate", wording.gate(case.stratum, case.late, case.delays.bound_cheapest_ms, case.settings))


def _hold(case: _Case) -> _Told:
    return _Told("gate", wording.gate_on_event(case.stratum, case.delays.bound_cheapest_ms, case.settings))


def _poll(case: _Case) -> _Told:
    return _Told("poll", wording.poll(case.stratum, _poll_interval(case.stratum.times, case.settings), case.settings))


def _leak(case: _Case) -> _Told:
    """Messages that came too early all the same: let through on purpose, or since the timeout had run out."""
    stratum, times = case.stratum, case.stratum.times
    if 2 * stratum.n_timed_out < stratum.n_violations:
        return _Told("code_fix", wording.gate_lets_through(stratum), pattern="early_message_before_ready")
    # Where the slowest that became ready came close to the timeout, those behind it were cut off by it. Where they did
    # not, those that ran into it are of another kind, and no timeout is long enough for them.
    if len(times.ready_ms) and 2 * times.ready_ms[-1] >= (times.waited_ms[-1] if times.n_missing else 0.0):
        verdict: Verdict = "poll" if stratum.readiness_mode == "polled" else "gate"
        return _Told(verdict, wording.timeout_cuts_off(stratum))
    return _Told("code_fix", wording.never_ready(stratum), pattern="handshake_stalled")


_TELLERS: Final[Mapping[Advice, Callable[[_Case], _Told]]] = {
    Advice.TELL: _tell,
    Advice.COUNT: _count,
    Advice.BOUND: _bound,
    Advice.KEEP: _keep,
    Advice.KEEP_HELD: _keep_held,
    Advice.FIT: _fit,
    Advice.TRIM: _trim,
    Advice.DELAY: _delay,
    Advice.CLIFF: _cliff,
    Advice.GATE: _gate,
    Advice.HOLD: _hold,
    Advice.POLL: _poll,
    Advice.LEAK: _leak,
}


def _poll_interval(times: ReadinessTimes, settings: Settings) -> float:
    slow_ms = quantile_estimate(times.ready_ms, settings.slo) or 0.0
    return max(POLL_INTERVAL_MS_MIN, math.floor(slow_ms / POLLS_WITHIN_DELAY))


def timeout_of(stratum: Stratum, settings: Settings) -> tuple[float, bool]:
    """The handshake timeout in milliseconds, connect to ready, and whether it is a bound.

    The order-statistic bound of the readiness time's ``1 - timeout_quantile`` quantile behind the slowest accept seen;
    until there are enough handshakes, twice the slowest seen or the environment's default, whichever is longer.
    """
    times = stratum.times
    bound_ms = quantile_upper(times.worst_case_ms, settings.timeout_quantile, settings.confidence)
    if bound_ms is not None:
        return _timeout(stratum.accept_ms_max + bound_ms), True
    slowest_ms = stratum.accept_ms_max + (float(times.ready_ms[-1]) if len(times.ready_ms) else 0.0)
    return _timeout(max(2 * slowest_ms, _default_timeout_ms(stratum.environment))), False


def ladder_of(times: ReadinessTimes, delays: Delays) -> tuple[float, ...]:
    """Successive waits that end at Q95, at Q99.5 and at the delay; empty where no delay is known."""
    goal_ms = delays.bound_cheapest_ms if delays.bound_cheapest_ms is not None else delays.estimate_cheapest_ms
    if goal_ms is None:
        return ()
    ends = [quantile_estimate(times.worst_case_ms, share) for share in LADDER_EXCEEDANCES]
    ladder: list[float] = []
    waited_ms = 0.0
    for end_ms in [*(end for end in ends if end is not None and end < goal_ms), goal_ms]:
        if end_ms > waited_ms:
            ladder.append(round(end_ms - waited_ms, 3))
            waited_ms = end_ms
    return tuple(ladder)


def _in_force(stratum: Stratum) -> dict[str, str | float]:
    return {
        "readiness_mode": stratum.readiness_mode,
        "gate": stratum.gate,
        "delay_ms": stratum.delay_applied_ms,
        "policy_version": stratum.policy_version,
    }


def _cheapest(times: ReadinessTimes, floor_ms: float | None, settings: Settings) -> float | None:
    if floor_ms is None:
        return None
    return _rounded(cheapest_delay(times.worst_case_ms, floor_ms, settings.lambda_ms, settings.delay_ms_max))


def _rounded(value_ms: float | None) -> float | None:
    # Up: a bound that is rounded down is none. Whole microseconds come in, so this only mends binary fractions.
    return None if value_ms is None else math.ceil(round(value_ms * 1000, 4)) / 1000


def _timeout(value_ms: float) -> float:
    return float(min(math.ceil(value_ms), HANDSHAKE_TIMEOUT_MS_MAX))


def _default_timeout_ms(environment: str) -> float:
    try:
        return default_policy(environment).handshake_timeout_ms
    except UnknownEnvironmentError:
        # Another name than our four came over the wire; production's is the most patient.
        return default_policy("production").handshake_timeout_ms
