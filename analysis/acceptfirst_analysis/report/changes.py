"""What to change, ready to paste, and whether what was changed has worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from acceptfirst.policy import dump_policy_file
from acceptfirst_analysis.bounds import rate
from acceptfirst_analysis.proposal import propose
from acceptfirst_analysis.readiness import tells_readiness
from acceptfirst_analysis.recommendation import Recommendation, Settings
from acceptfirst_analysis.report.model import Change, Comparison, Effect
from acceptfirst_analysis.report.phrases import SETTING_VERDICTS, delay_text, goal, interval, setting_in_force
from acceptfirst_analysis.units import count, milliseconds, per_cent

Row = Mapping[str, Any]


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
        return "Asking oftener finds readiness sooner by less than the interval, and costs a check each time."
    return (
        f"Every further millisecond is waited by all {count(row.n)} connections, and the bound already keeps "
        f"{per_cent(settings.slo)}. Less would not."
    )


def compare(rows: Sequence[Row], settings: Settings) -> tuple[Comparison, ...]:
    """Each stratum whose setting changed in the range: the latest one against the one before it, the clearest first.

    A new version of the policy that leaves a route's setting as it was is no change of that route.

    Args:
        rows: of the statement ``readiness_times``, one a stratum and policy version.
        settings: for the confidence of the test.
    """
    found = []
    for _, group in groupby(rows, key=lambda row: (row["environment"], row["service"], row["route"])):
        told = [row for row in group if int(row["n"]) and tells_readiness(row)]
        told.sort(key=lambda row: str(row["last_seen"]))
        earlier = [row for row in told if _setting(row) != _setting(told[-1])]
        if earlier:
            found.append(_comparison(earlier[-1], told[-1], settings))
    return tuple(sorted(found, key=lambda comparison: comparison.p_value))


def _setting(row: Row) -> tuple[object, ...]:
    return row["readiness_mode"], row["gate"], row["delay_applied_ms"]


def _comparison(before: Row, after: Row, settings: Settings) -> Comparison:
    pairs = [(int(row["n_violations"]), int(row["n"])) for row in (before, after)]
    table = np.array([[events, n - events] for events, n in pairs])
    p_value = float(fisher_exact(table).pvalue)
    texts = [_share(events, n, settings) for events, n in pairs]
    return Comparison(
        environment=str(after["environment"]),
        service=str(after["service"]),
        route=str(after["route"]),
        before_version=_version(before),
        after_version=_version(after),
        before=pairs[0],
        after=pairs[1],
        before_text=texts[0],
        after_text=texts[1],
        effect=_effect_of(pairs, p_value, settings),
        p_value=p_value,
    )


def _effect_of(pairs: Sequence[tuple[int, int]], p_value: float, settings: Settings) -> Effect:
    if p_value > 1 - settings.confidence:
        return "no evidence"
    (events_before, n_before), (events_after, n_after) = pairs
    return "worked" if events_after * n_before < events_before * n_after else "worse"


def _share(events: int, n: int, settings: Settings) -> str:
    shown = rate(events, n, 1 - (1 - settings.confidence) / 2)
    return f"{per_cent(shown.share)} ({interval(shown)}, n = {count(n)})"


def _version(row: Row) -> str:
    return f"{row['policy_version'] or 'unknown'} ({row['readiness_mode']}, {row['gate']})"
