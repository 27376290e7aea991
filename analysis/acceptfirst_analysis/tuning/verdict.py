"""From one stratum's sample to a verdict on its timing.

The order of the questions is the method. Is it shown that no delay within the guardrail is enough? Then gate; that
takes tens to hundreds of handshakes. Does a gate hold already? Keep it. Can a delay be bounded? Then say which, unless
the bound and the estimate are so far apart that the answer lies on a cliff. Else say how much is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from acceptfirst.environment import UnknownEnvironmentError
from acceptfirst.policy import HANDSHAKE_TIMEOUT_MS_MAX, default_policy
from acceptfirst_analysis.statistics.bounds import (
    censored_quantile,
    cheapest_delay,
    quantile_estimate,
    quantile_upper,
    rate,
    rate_is_above,
    samples_min,
    samples_required,
)
from acceptfirst_analysis.tuning import wording
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings, Verdict

LADDER_EXCEEDANCES: Final = (0.05, 0.005)  # waits end at Q95 and Q99.5, and then at the delay itself
KEEP_SLACK: Final = 1.25  # a delay in force that is at most a quarter above the bound is not worth a change
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
    delays = delays_of(stratum.times, settings)
    verdict, reason = _verdict(stratum, delays, settings)
    delays = delays.with_headroom(headroom, settings)
    timeout_ms, timeout_is_bound = timeout_of(stratum, settings)
    violations = rate(stratum.n_violations, stratum.n_setting, settings.confidence)
    sentences = [reason, wording.missing(stratum, delays.is_censored_estimate and delays.estimate_ms is not None)]
    if stratum.times.n:
        sentences.append(wording.timeout(timeout_ms, timeout_is_bound, settings))
    if verdict in {"delay", "poll"}:
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
        poll_interval_ms=_poll_interval(delays) if verdict == "poll" else None,
        ladder_ms=ladder_of(stratum.times, delays),
        slo=settings.slo,
        confidence=settings.confidence,
        violation_rate=violations.share if violations.n else None,
        violation_rate_upper=violations.high if violations.n else None,
        delay_ms_estimate=delays.estimate_cheapest_ms,
        n=stratum.times.n,
        n_missing=missing_of(stratum, settings) if verdict == "not_enough_evidence" else 0,
        n_never_ready=stratum.times.n_missing,
        headroom=headroom,
        pattern="early_message_before_ready" if verdict == "code_fix" else None,
        cost=cost_of(stratum, verdict, delays, settings),
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


def _verdict(stratum: Stratum, delays: Delays, settings: Settings) -> tuple[Verdict, str]:
    times = stratum.times
    if times.n == 0:
        return "not_enough_evidence", wording.readiness_unknown(stratum)
    late = times.exceedances_certain(settings.delay_ms_max)
    if stratum.gate_holds:
        return _held_verdict(stratum, settings)
    if rate_is_above(late, times.n, settings.slo, settings.confidence):
        return "gate", wording.gate(stratum, late, delays.bound_cheapest_ms, settings)
    return _delay_verdict(stratum, delays, settings)


def _held_verdict(stratum: Stratum, settings: Settings) -> tuple[Verdict, str]:
    """The gate is in place: messages that came too early all the same were let through on purpose."""
    if rate_is_above(stratum.n_violations, stratum.n_setting, settings.slo, settings.confidence):
        return "code_fix", wording.gate_lets_through(stratum)
    return "keep", wording.gate_holds(stratum)


def _delay_verdict(stratum: Stratum, delays: Delays, settings: Settings) -> tuple[Verdict, str]:
    """It is not shown that every delay fails: which one is enough, and does that mean a change?"""
    times = stratum.times
    if delays.bound_ms is None or delays.estimate_ms is None or delays.bound_cheapest_ms is None:
        return "not_enough_evidence", wording.too_few(times, settings)
    if delays.bound_ms > settings.cliff_ratio * delays.estimate_ms:
        return "cliff", wording.cliff(times, delays.estimate_ms, delays.bound_ms)
    if delays.bound_ms > settings.delay_ms_max:
        return "not_enough_evidence", wording.above_guardrail(times, delays.bound_ms, settings)
    return _enough_verdict(stratum, delays, delays.bound_cheapest_ms, settings)


def _enough_verdict(stratum: Stratum, delays: Delays, bound_ms: float, settings: Settings) -> tuple[Verdict, str]:
    """A delay of ``bound_ms`` is enough: is it wanted?"""
    if stratum.readiness_mode == "polled":
        return "poll", wording.poll(_poll_interval(delays))
    if _is_kept(stratum, bound_ms):
        return "keep", wording.delay_is_right(stratum, bound_ms)
    if _is_met(stratum, settings):
        return "keep", wording.objective_is_met(stratum, settings)
    return "delay", wording.delay(stratum, bound_ms, settings)


def _is_kept(stratum: Stratum, bound_ms: float) -> bool:
    return stratum.readiness_mode == "blind" and bound_ms <= stratum.delay_applied_ms <= KEEP_SLACK * bound_ms


def _is_met(stratum: Stratum, settings: Settings) -> bool:
    """Whether clients that could have come too early were seen, and are shown not to, without any waiting."""
    if stratum.readiness_mode != "event":
        return False
    shown = rate(min(stratum.n_violations, stratum.n_messaged), stratum.n_messaged, settings.confidence)
    return shown.high <= settings.slo


def _poll_interval(delays: Delays) -> float:
    return max(POLL_INTERVAL_MS_MIN, math.floor((delays.estimate_ms or 0.0) / POLLS_WITHIN_DELAY))


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


def missing_of(stratum: Stratum, settings: Settings) -> int:
    """How many more handshakes like these would be enough for an answer; 0 where no number would."""
    times = stratum.times
    if not times.n:
        return samples_min(settings.slo, settings.confidence)
    if times.n_missing > times.n * settings.slo:
        return 0  # more of the same never bounds a delay: first find out why they leave
    late = times.exceedances_certain(settings.delay_ms_max)
    if late > times.n * settings.slo:
        return _until_shown(late, times.n, settings) - times.n
    return max(samples_required(late, settings.slo, settings.confidence) - times.n, 1)


def _until_shown(late: int, n: int, settings: Settings) -> int:
    """About how many handshakes show that every delay fails, if they go on as they did: by doubling, then halving."""
    low, high = n, n
    while not rate_is_above(late * high // n, high, settings.slo, settings.confidence):
        low, high = high, high * 2
    while low + 1 < high:
        middle = (low + high) // 2
        if rate_is_above(late * middle // n, middle, settings.slo, settings.confidence):
            high = middle
        else:
            low = middle
    return max(high, n + 1)


def cost_of(stratum: Stratum, verdict: Verdict, delays: Delays, settings: Settings) -> dict[str, float]:
    """What following the verdict costs in waiting and saves in violations, over the connections of the range."""
    times = stratum.times
    if not len(times.ready_ms):
        return {"connections": round(stratum.handshakes)}
    mean_ready_ms = float(times.ready_ms.mean())
    # Behind an observing gate nobody waits, whatever delay the policy names.
    in_force_ms = stratum.delay_applied_ms if stratum.gate == "hold" else 0.0
    before_ms = mean_ready_ms if stratum.gate_holds else in_force_ms
    after_ms, share_after = before_ms, stratum.n_violations / max(stratum.n_setting, 1)
    if verdict == "gate":
        after_ms, share_after = mean_ready_ms, 0.0  # the event itself is waited for
    elif verdict in {"delay", "poll"} and delays.bound_cheapest_ms is not None:
        after_ms, share_after = delays.bound_cheapest_ms, times.share_above(delays.bound_cheapest_ms)
    share_before = stratum.n_violations / max(stratum.n_setting, 1)
    added_s = (after_ms - before_ms) * stratum.handshakes / 1000.0
    avoided = max(0.0, share_before - share_after) * stratum.handshakes
    return {
        "connections": round(stratum.handshakes),
        "wait_ms_mean_before": round(before_ms, 3),
        "wait_ms_mean_after": round(after_ms, 3),
        "added_latency_s": round(added_s, 3),
        "violations_avoided": round(avoided, 1),
        "user_seconds_saved": round(avoided * settings.lambda_ms / 1000.0 - added_s, 3),
    }


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
