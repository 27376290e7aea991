"""The sentences of a rationale: what was found and what it means, for somebody who has not read the method."""

from __future__ import annotations

from typing import Final

from acceptfirst_analysis.statistics.bounds import rate_is_above, samples_min, samples_required
from acceptfirst_analysis.tuning.exploration import Trial
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.units import milliseconds, per_cent

MS_PER_S: Final = 1000.0


def readiness_unknown(stratum: Stratum, needed: int) -> str:
    """No readiness time can be known in this mode."""
    mode = stratum.readiness_mode or "unknown"
    early = " A message never comes before the first receive, which is what counts as ready." if mode == "auto" else ""
    return (
        f"Nothing tells when the application is ready (readiness mode {mode}), so no delay can be derived.{early} Call "
        "acceptfirst.ready(websocket) where it is ready: that changes nothing by itself, and the same traffic then "
        f"gives an answer; it takes {needed:,} such handshakes to bound a delay."
    )


def gate(stratum: Stratum, late: int, bound_ms: float | None, settings: Settings) -> str:
    """No delay within the guardrail is enough."""
    seen = (
        ""
        if stratum.n_violations
        else f" No message has come too early yet, but {stratum.n_setting} handshakes don't show that none will."
    )
    return (
        f"No delay within the guardrail of {milliseconds(settings.delay_ms_max)} keeps {per_cent(settings.slo)}: "
        f"{late} of {stratum.times.n} handshakes were not ready by then (shown at {per_cent(settings.confidence)} by "
        f"an anytime-valid test).{seen} {_instead(stratum, bound_ms)} and lets no message through early."
    )


def gate_on_event(stratum: Stratum, bound_ms: float | None, settings: Settings) -> str:
    """Messages come too early, and the application says itself when it is ready."""
    return (
        f"{_too_early(stratum, settings)} The application says itself when it is ready, so they can be held until "
        f"then. {_instead(stratum, bound_ms)} and only a message that comes too early is kept waiting."
    )


def _instead(stratum: Stratum, bound_ms: float | None) -> str:
    mean_ms = float(stratum.times.ready_ms.mean()) if len(stratum.times.ready_ms) else 0.0
    fixed = (
        f"A fixed delay would have to be {milliseconds(bound_ms)} for everybody"
        if bound_ms is not None
        else "No fixed delay can be bounded from this sample"
    )
    return f"{fixed}; waiting for the event itself costs {milliseconds(mean_ms)} on average"


def _too_early(stratum: Stratum, settings: Settings) -> str:
    return (
        f"In {stratum.n_violations:,} of {stratum.n_setting:,} handshakes the application met its client before it was "
        f"ready, more than {per_cent(settings.slo)} (shown at {per_cent(settings.confidence)} by an anytime-valid "
        "test)."
    )


def broken(stratum: Stratum, settings: Settings) -> str:
    """The objective is broken, whatever else is not known; empty where that is not shown."""
    if not rate_is_above(stratum.n_violations, stratum.n_setting, settings.slo, settings.confidence):
        return ""
    return (
        f"{_too_early(stratum, settings)} Holding messages until acceptfirst.ready() needs no number and would end "
        "that wherever the application becomes ready; which delay would do is not known: "
    )


def undecided(stratum: Stratum, n_missing: int, settings: Settings) -> str:
    """It is not known whether the objective is kept."""
    return (
        f"In {stratum.n_violations:,} of {stratum.n_setting:,} handshakes the application met its client before it was "
        f"ready. That shows neither that {per_cent(settings.slo)} is kept nor that it is not, at "
        f"{per_cent(settings.confidence)}: {n_missing:,} more are needed ({stratum.n_setting + n_missing:,} in all)."
    )


def gate_holds(stratum: Stratum) -> str:
    """The gate is in place already."""
    version = stratum.policy_version or "unknown"
    return (
        f"Messages are held until the application says that it is ready (policy {version}): of {stratum.n_setting:,} "
        f"handshakes under it {stratum.n_timed_out:,} ran into the timeout, and {stratum.n_violations:,} in all had a "
        "message that came too early."
    )


def gate_lets_through(stratum: Stratum) -> str:
    """The gate is in place, and yet messages come too early."""
    return (
        f"Messages are held until the application says that it is ready, and yet {stratum.n_violations} of "
        f"{stratum.n_setting} handshakes had one before that: without a phase the gate lets the first receive of the "
        "task that accepted through, since it may be an authentication message. If it is one, read it inside "
        "acceptfirst.phase(websocket, 'auth', receives=True); if not, read only after acceptfirst.ready()."
    )


def timeout_cuts_off(stratum: Stratum) -> str:
    """The gate opens too soon."""
    return (
        f"Messages are held until the application says that it is ready, but {stratum.n_timed_out:,} of "
        f"{stratum.n_setting:,} handshakes ran into the timeout, and the slowest that became ready took "
        f"{milliseconds(float(stratum.times.ready_ms[-1]))}: the timeout cuts off what would have become ready. How "
        "many a longer one saves is known when it has been tried."
    )


def never_ready(stratum: Stratum) -> str:
    """The gate opens on handshakes that no timeout is long enough for."""
    ready_ms = stratum.times.ready_ms
    known = f" Those that become ready take {milliseconds(float(ready_ms[-1]))} at most, so" if len(ready_ms) else " So"
    return (
        f"Messages are held until the application says that it is ready, but {stratum.n_timed_out:,} of "
        f"{stratum.n_setting:,} handshakes ran into the timeout.{known} a longer one would only keep them waiting. "
        "Find the way through the application that never says it is ready."
    )


def too_few(times: ReadinessTimes, n_missing: int, settings: Settings) -> str:
    """The sample can't bound a delay yet; says how many more handshakes would."""
    if not n_missing:
        return (
            f"{times.n_missing} of {times.n} handshakes never became ready, more than the {per_cent(settings.slo)} "
            "that may exceed a delay: no number of further handshakes like these can bound one. "
            "Find out why they leave."
        )
    return (
        f"{times.n} handshakes can't bound a delay for {per_cent(settings.slo)} at {per_cent(settings.confidence)}: "
        f"{n_missing:,} more are needed ({times.n + n_missing:,} in all)."
    )


def cliff(times: ReadinessTimes, estimate_ms: float, bound_ms: float) -> str:
    """Bound and estimate are too far apart."""
    bound = milliseconds(bound_ms)
    return (
        f"The estimate is {milliseconds(estimate_ms)}, but {times.n} handshakes can't exclude {bound}: a rare slow "
        "start lies right at the objective, and a little more or less of it moves the answer many times over. Gate on "
        "the event, or wait for more handshakes; don't pick a number here."
    )


def above_guardrail(times: ReadinessTimes, bound_ms: float, n_missing: int, settings: Settings) -> str:
    """The bound is above the guardrail, and it isn't shown that every delay is."""
    return (
        f"{times.n} handshakes bound the delay at {milliseconds(bound_ms)}, above the guardrail of "
        f"{milliseconds(settings.delay_ms_max)}, and don't show yet that every delay within it fails. "
        f"{n_missing:,} more will decide between a delay and the gate."
    )


def poll(stratum: Stratum, interval_ms: float, settings: Settings) -> str:
    """Readiness is polled: how often."""
    return (
        f"{stratum.n_violations:,} of {stratum.n_setting:,} handshakes met the application before it was ready, which "
        f"does not keep {per_cent(settings.slo)}. Readiness is asked for, so it can be waited for: every "
        f"{milliseconds(interval_ms)}, a twentieth of the delay that it replaces."
    )


def delay_is_right(stratum: Stratum, bound_ms: float) -> str:
    """The delay in force is the one that would be recommended."""
    return (
        f"The delay in force, {milliseconds(stratum.delay_applied_ms)}, is at or just above the bound of "
        f"{milliseconds(bound_ms)}."
    )


def delay_is_too_long(stratum: Stratum, delay_ms: float, settings: Settings) -> str:
    """The objective is kept, at more waiting than it needs."""
    superfluous_s = (stratum.delay_applied_ms - delay_ms) * stratum.handshakes / MS_PER_S
    return (
        f"The delay in force, {milliseconds(stratum.delay_applied_ms)}, keeps {per_cent(settings.slo)} and is longer "
        f"than that needs: {milliseconds(delay_ms)} would keep it too, at {per_cent(settings.confidence)} confidence, "
        f"from {stratum.times.n:,} handshakes. The rest is {superfluous_s:,.0f} user-seconds of waiting for nothing."
    )


def objective_is_kept(stratum: Stratum, settings: Settings) -> str:
    """Nothing that is known asks for a change."""
    few = (
        f" A client said something in only {stratum.n_messaged:,} of them."
        if stratum.n_messaged < samples_min(settings.slo, settings.confidence)
        else ""
    )
    return (
        f"In {stratum.n_violations:,} of {stratum.n_setting:,} handshakes the application met its client before it was "
        f"ready, which keeps {per_cent(settings.slo)} at {per_cent(settings.confidence)} confidence: nothing needs to "
        f"change.{few}"
    )


def delay(stratum: Stratum, delay_ms: float, settings: Settings) -> str:
    """A fixed delay is enough."""
    mean_ms = float(stratum.times.ready_ms.mean()) if len(stratum.times.ready_ms) else 0.0
    return (
        f"After {milliseconds(delay_ms)} at most {per_cent(settings.slo)} of handshakes are still not ready, at "
        f"{per_cent(settings.confidence)} confidence, from {stratum.times.n:,} handshakes and whatever their "
        f"distribution. Waiting for the event instead would cost {milliseconds(mean_ms)} on average."
    )


def missing(stratum: Stratum, is_censored_estimate: bool) -> str:
    """What became of handshakes without a readiness time."""
    sentences = []
    if stratum.times.n_missing:
        sentences.append(
            f"{stratum.times.n_missing} of {stratum.times.n} never became ready and count as above every delay."
        )
    if is_censored_estimate:
        sentences.append(
            "That is too many for a worst case, so the estimate assumes (Kaplan-Meier) that those who left were no "
            "slower than the rest."
        )
    if stratum.n_refused:
        sentences.append(
            f"{stratum.n_refused} more were closed by the application itself before it was ready and are left out."
        )
    return " ".join(sentences)


def trial(found: Trial) -> str:
    """The second advice in blind mode."""
    return (
        f"If that can't be, a canary with {milliseconds(found.delay_ms)} on {per_cent(found.share)} of the connections "
        "is the next step down: what is in force is shown to keep the objective, and even if the shorter delay fails "
        "for all of them it uses up a tenth of it."
    )


def headroom(factor: float) -> str:
    """What next week's drift adds."""
    if factor <= 1.0:
        return "It holds for weeks like this one; fewer than four weeks are known, or they did not drift."
    return f"It has {per_cent(factor - 1)} of headroom, since the weeks before drifted."


def set_aside(stratum: Stratum) -> str:
    """What of the range is not in the sample."""
    sentences = []
    if stratum.n_set_aside:
        sentences.append(
            f"{stratum.n_set_aside:,} handshakes under earlier settings became ready at other times (Holm-adjusted "
            "tests) and are not pooled with the latest."
        )
    if stratum.n_skewed:
        sentences.append(f"{stratum.n_skewed} were ready before they were accepted, by a clock that was set back.")
    return " ".join(sentences)


def timeout(timeout_ms: float, is_bound: bool, settings: Settings) -> str:
    """Where the timeout comes from."""
    if is_bound:
        return (
            f"The timeout of {milliseconds(timeout_ms)} is one that at most {per_cent(settings.timeout_quantile)} of "
            f"handshakes run into, at {per_cent(settings.confidence)}."
        )
    needed = samples_required(0, settings.timeout_quantile, settings.confidence)
    return (
        f"The timeout of {milliseconds(timeout_ms)} is provisional: twice the slowest handshake seen or the default, "
        f"whichever is longer, until there are {needed:,} handshakes."
    )


def window(provisional: bool) -> str:
    """What the range of time is worth."""
    return "Provisional: the range is not one complete ISO week." if provisional else ""
