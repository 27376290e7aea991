"""Whether a canary is promoted, rolled back or goes on: from the counts of both arms, looked at as often as one likes.

- It **harms** where one kind of harm falls into it more often than its share of the connections explains. That is a
  two-sample test, so that a drift of both arms is not blamed on it; it is rolled back at once.
- It **breaks the objective** where its own rate is shown to be above it, and the other arm's is not: rolled back too.
  When both arms become five times as bad at once, a canary of a tenth of the connections is still blamed for it in one
  of 100 cases, one of half of them in 15 (simulated): the smaller the share, the better the other arm is known.
- It is **good** where its rate is shown to be below the objective, or to be below that of a baseline that breaks it.
- Else it goes on, and says what is missing; after ``days_max`` it is rolled back for want of evidence.

What ended is a decision; the numbers that led to it are kept with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from scipy.special import betaincinv

from acceptfirst_analysis.loop.arms import HARMS, ArmCounts, Harm
from acceptfirst_analysis.statistics.sequential import (
    handshakes_until_below,
    log_evidence,
    log_rate_above,
    log_rate_below,
    log_share_above,
    log_share_below,
    tolerated_share,
)
from acceptfirst_analysis.units import per_cent

Step = Literal["wait", "promote", "rollback"]

#: How much more often a kind of harm may fall into the canary before it counts. A gate answers later by its nature, so
#: somewhat more clients leave before they were answered; races and failures have no excuse.
TOLERATED_RATIO: Final[Mapping[Harm, float]] = {"races": 1.0, "failures": 1.0, "unanswered": 1.25}

_SHARE_CONFIDENCE: Final = 0.999
_WORDS: Final[Mapping[Harm, str]] = {
    "races": "connections with a race",
    "failures": "connections with an exception or another race",
    "unanswered": "connections that ended without an answer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySettings:
    """When a canary is over.

    Attributes:
        slo: share of handshakes that may meet an application that is not ready.
        alpha_rollback: chance that a canary which is no worse than the objective and the baseline is ever rolled back,
            over all looks; each kind of harm gets a quarter of it, and the objective, where the test of both arms must
            agree, all of it.
        alpha_promote: chance, over all looks, that a canary is promoted for a claim that is wrong; there are two: that
            it keeps the objective, and that it is better than what is in force.
        days_max: after so many days without a decision it is rolled back.
    """

    slo: float = 0.001
    alpha_rollback: float = 0.01
    alpha_promote: float = 0.05
    days_max: float = 28.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a canary, and why.

    Attributes:
        step: ``wait`` where neither is shown.
        reason: one sentence.
        evidence: the counts and what the tests made of them, as JSON can hold it.
    """

    step: Step
    reason: str
    evidence: dict[str, Any]


def judge_canary(
    canary: ArmCounts, baseline: ArmCounts, *, share: float, days: float, settings: CanarySettings | None = None
) -> Decision:
    """What the counts of both arms say.

    Args:
        canary: what happened under the candidate since the canary began.
        baseline: what happened under the policy in force in the same time, on the same routes.
        share: of the connections that are given the candidate, in (0, 1).
        days: since the canary began.
        settings: objective and errors; ``None`` for the defaults.
    """
    settings = settings or CanarySettings()
    evidence = _evidence(canary, baseline, share, settings)
    step, reason = next(_answers(canary, baseline, evidence, days, settings))
    return Decision(step, reason, {**evidence, "days": round(days, 3)})


def _answers(
    canary: ArmCounts, baseline: ArmCounts, evidence: Mapping[str, Any], days: float, settings: CanarySettings
) -> Iterator[tuple[Step, str]]:
    """In the order of their weight; the first one holds."""
    for harm in HARMS:
        if evidence["harm"][harm]["log_worse"] >= _harm_needed(settings):
            yield "rollback", _harms(harm, evidence["harm"][harm], evidence["share"])
    if _breaks(evidence, settings):
        yield "rollback", _is_above(canary, settings)
    if canary.n_told * 2 >= canary.n > 0:  # else silence would be taken for success
        if evidence["log_below"] >= log_evidence(settings.alpha_promote):
            yield "promote", _is_below(canary, settings)
        if _is_better(evidence, settings):
            yield "promote", _improves(canary, baseline)
    if days >= settings.days_max:
        yield "rollback", f"{days:.0f} days have shown neither harm nor that it keeps the objective: {_count(canary)}"
    yield "wait", _missing(canary, settings)


def _evidence(canary: ArmCounts, baseline: ArmCounts, share: float, settings: CanarySettings) -> dict[str, Any]:
    # Backends that have not fetched the policy yet make the baseline's share greater than it was asked for. That errs
    # on the safe side for "worse"; for "better" the share is taken for as small as the handshakes allow.
    least_share = min(share, max(_share_low(canary.n, baseline.n), 1e-9))
    return {
        "slo": settings.slo,
        "alpha_rollback": settings.alpha_rollback,
        "alpha_promote": settings.alpha_promote,
        "share": share,
        "canary": asdict(canary),
        "baseline": asdict(baseline),
        "log_above": _finite(log_rate_above(canary.n_late, canary.n, settings.slo)),
        "log_below": _finite(log_rate_below(canary.n_late, canary.n, settings.slo)),
        "baseline_log_above": _finite(log_rate_above(baseline.n_late, baseline.n, settings.slo)),
        "log_better": _finite(log_share_below(canary.races, canary.races + baseline.races, least_share)),
        "harm": {harm: _harm_evidence(harm, canary, baseline, share) for harm in HARMS},
    }


def _share_low(n: int, others: int) -> float:
    """Clopper and Pearson's lower bound of the share of the handshakes that were in the canary."""
    return float(betaincinv(n, others + 1, 1.0 - _SHARE_CONFIDENCE)) if n else 0.0


def _harm_evidence(harm: Harm, canary: ArmCounts, baseline: ArmCounts, share: float) -> dict[str, Any]:
    events, others = int(getattr(canary, harm)), int(getattr(baseline, harm))
    tolerated = tolerated_share(share, TOLERATED_RATIO[harm])
    return {
        "canary": events,
        "baseline": others,
        "log_worse": _finite(log_share_above(events, events + others, tolerated)),
    }


def _harm_needed(settings: CanarySettings) -> float:
    return log_evidence(settings.alpha_rollback / (len(HARMS) + 1))


def _breaks(evidence: Mapping[str, Any], settings: CanarySettings) -> bool:
    """The objective is broken, and nothing leans towards its being broken by both arms alike."""
    is_shown = evidence["log_above"] >= log_evidence(settings.alpha_rollback)
    is_its_own = evidence["harm"]["races"]["log_worse"] >= 0.0 and evidence["baseline_log_above"] <= 0.0
    return bool(is_shown and is_its_own)


def _is_better(evidence: Mapping[str, Any], settings: CanarySettings) -> bool:
    """Staying would be worse: the baseline breaks the objective, and fewer races fall into the canary."""
    needed = log_evidence(settings.alpha_promote)
    return bool(evidence["baseline_log_above"] >= needed and evidence["log_better"] >= needed)


def _harms(harm: Harm, found: Mapping[str, Any], share: float) -> str:
    events, total = found["canary"], found["canary"] + found["baseline"]
    return (
        f"it harms: {events} of {total} {_WORDS[harm]} are the canary's, which has {per_cent(share)} of the connections"
    )


def _is_above(canary: ArmCounts, settings: CanarySettings) -> str:
    return f"it breaks the objective of {per_cent(settings.slo)}: {_count(canary)}"


def _is_below(canary: ArmCounts, settings: CanarySettings) -> str:
    return f"it keeps the objective of {per_cent(settings.slo)}: {_count(canary)}"


def _improves(canary: ArmCounts, baseline: ArmCounts) -> str:
    return (
        f"it has fewer races than what is in force, which breaks the objective: {_count(canary)}, "
        f"against {baseline.n_late} of {baseline.n}"
    )


def _count(canary: ArmCounts) -> str:
    return f"{canary.n_late} of {canary.n} handshakes were late"


def _missing(canary: ArmCounts, settings: CanarySettings) -> str:
    if not canary.n:
        return "no handshake of the canary has come in yet"
    if canary.n_told * 2 < canary.n:
        return (
            f"nothing tells when the application is ready in {canary.n - canary.n_told} of {canary.n} handshakes, so "
            "that it can't be shown to be right; call acceptfirst.ready(websocket) where it is"
        )
    needed = handshakes_until_below(canary.n_late, settings.slo, settings.alpha_promote)
    return (
        f"{_count(canary)}; {max(needed - canary.n, 1):,} more without another would show that it keeps the objective"
    )


def _finite(value: Any) -> float:
    """JSON has no infinity; an e-value of e^-700 is none."""
    return round(max(float(value), -700.0), 6)
