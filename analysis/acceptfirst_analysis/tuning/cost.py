"""What following a verdict costs in waiting and saves in violations."""

from __future__ import annotations

import numpy as np

from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Settings, Verdict


def cost_of(
    stratum: Stratum, verdict: Verdict, delay_ms: float | None, timeout_ms: float, settings: Settings
) -> dict[str, float]:
    """The cost over the connections of the range; see ``acceptfirst_analysis.tuning.verdict.judge``.

    Args:
        stratum: its sample and its setting in force.
        verdict: what is followed; one that changes nothing costs nothing.
        delay_ms: what a fixed delay would have to be.
        timeout_ms: until which a gate holds.
        settings: what a violation costs.
    """
    times = stratum.times
    if not len(times.ready_ms):
        return {"connections": round(stratum.handshakes)}
    # Behind an observing gate nobody waits, whatever delay the policy names.
    in_force_ms = stratum.delay_applied_ms if stratum.gate == "hold" else 0.0
    before_ms = wait_ms_mean(times, timeout_ms) if stratum.gate_holds else in_force_ms
    share_before = stratum.n_violations / max(stratum.n_setting, 1)
    after_ms, share_after = before_ms, share_before
    if verdict in {"gate", "poll"}:
        # Readiness itself is waited for; who is still there when the timeout runs out is let through.
        after_ms, share_after = wait_ms_mean(times, timeout_ms), times.exceedances_certain(timeout_ms) / times.n
    elif verdict == "delay" and delay_ms is not None:
        after_ms, share_after = delay_ms, times.share_above(delay_ms)
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


def wait_ms_mean(times: ReadinessTimes, timeout_ms: float) -> float:
    """What waiting for readiness itself costs on average: until ready, until the client left or until the timeout."""
    waits_ms = np.minimum(np.concatenate([times.ready_ms, times.waited_ms]), timeout_ms)
    return float(waits_ms.mean()) if len(waits_ms) else 0.0
