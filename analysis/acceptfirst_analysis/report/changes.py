"""What to change, ready to paste."""

from __future__ import annotations

from collections.abc import Sequence

from acceptfirst.policy import dump_policy_file
from acceptfirst_analysis.loop.proposal import propose
from acceptfirst_analysis.report.model import Change
from acceptfirst_analysis.report.phrases import SETTING_VERDICTS, delay_text, goal, setting_in_force
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.units import count, milliseconds, per_cent


def changes_of(recommendations: Sequence[Recommendation], settings: Settings) -> tuple[Change, ...]:
    """The settings to change, the one that saves most violations first."""
    rows = [row for row in recommendations if row.verdict in SETTING_VERDICTS]
    rows.sort(key=lambda row: -row.cost.get("violations_avoided", 0.0))
    return tuple(_change(row, settings) for row in rows)


def _change(row: Recommendation, settings: Settings) -> Change:
    policies = propose([row], {}, version="proposed")
    return Change(
        recommendation=row,
        from_text=setting_in_force(row.from_values),
        to_text=goal(row),
        effect=_effect(row, settings),
        why_not_more=_why_not_more(row, settings),
        snippet=dump_policy_file(policies) if policies else "",
        rollback=f"Put the policy file of version {row.from_values.get('policy_version') or 'before'} back.",
    )


def _effect(row: Recommendation, settings: Settings) -> str:
    sentences = []
    if row.violation_rate is not None and row.violation_rate_upper is not None:
        sentences.append(
            f"Now {per_cent(row.violation_rate)} of handshakes have the race "
            f"(at most {per_cent(row.violation_rate_upper)} at {per_cent(settings.confidence)})."
        )
    after_ms, before_ms = row.cost.get("wait_ms_mean_after"), row.cost.get("wait_ms_mean_before")
    if after_ms is not None and before_ms is not None:
        total = abs(row.cost["added_latency_s"])
        kind = "more" if after_ms > before_ms else "less"
        sentences.append(
            f"Clients wait {milliseconds(after_ms)} on average instead of {milliseconds(before_ms)}: {count(total)} s "
            f"{kind} over {count(row.cost['connections'])} connections."
        )
        sentences.append(f"Violations avoided: {count(row.cost['violations_avoided'])}.")
    if row.verdict == "gate":
        sentences.append("After it none can: messages wait until the application is ready.")
    elif row.verdict == "delay":
        sentences.append(f"After it at most {per_cent(settings.slo)} can have it, at {per_cent(settings.confidence)}.")
    return " ".join(sentences)


def _why_not_more(row: Recommendation, settings: Settings) -> str:
    if row.verdict == "gate":
        return (
            f"A fixed delay instead would have to be {delay_text(row)} for everybody; the guardrail is "
            f"{milliseconds(settings.delay_ms_max)}."
        )
    if row.verdict == "poll":
        return "Asking oftener finds readiness sooner by less than the and costs a check each time."
    return (
        f"Every further millisecond is waited by all {count(row.n)} connections, and the bound already keeps "
        f"{per_cent(settings.slo)}. Less would not."
    )
