"""From the store to recommendations.

Reads through named statements only, so it runs on an open database and on a collector's HTTP API alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.statistics.bounds import rate
from acceptfirst_analysis.tuning import wording
from acceptfirst_analysis.tuning.exploration import Arm, Trial, next_trial
from acceptfirst_analysis.tuning.readiness import Stratum, StratumKey, strata_of
from acceptfirst_analysis.tuning.recommendation import SCHEMA_VERSION, Recommendation, Settings
from acceptfirst_analysis.tuning.verdict import judge
from acceptfirst_analysis.tuning.weeks import headroom, weeks_of, whole_weeks
from acceptfirst_analysis.units import per_cent
from acceptfirst_analysis.window import WEEK, Window, week_before, window_between

HISTORY: Final = 8 * WEEK
"""How far back weeks are looked at for their drift."""


class StatementReader(Protocol):
    """Whoever can run a named, reading statement."""

    def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement and return its rows."""
        ...


class EnvironmentUnseenError(LookupError):
    """An environment was asked for of which the range holds no handshake; names the ones that it does hold."""


def recommend(
    reader: StatementReader,
    catalogue: Catalogue,
    window: Window,
    *,
    environment: str = "",
    settings: Settings | None = None,
) -> list[Recommendation]:
    """What to change in each environment × service × route.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        catalogue: says of each classified pattern where its cure lies.
        window: handshakes first seen in it.
        environment: only this one; empty for all.
        settings: objective, confidence and costs; ``None`` for the defaults.

    Returns:
        One row on the timing of each stratum, and one ``code_fix`` row behind it where a race was found that no waiting
        cures. A stratum that says nothing on timing and has a ``code_fix`` is not repeated.

    Raises:
        EnvironmentUnseenError: when the environment has no handshake in the range but others have.
        StoreError: when the store can't be read.
    """
    settings = settings or Settings()
    parameters = {"environment": environment, **window.parameters}
    handshakes = _handshakes_by_stratum(reader, parameters)
    if environment and not handshakes:
        _require_seen(reader, environment, window)
    strata = {s.key: s for s in strata_of(reader.statement_rows("readiness_times", parameters))}
    headrooms = _headrooms(reader, environment, window)
    counts = reader.statement_rows("pattern_counts", parameters)
    fixes = code_fixes(counts, handshakes, catalogue, settings, provisional=window.provisional)
    trials = _trials(reader, parameters, strata, settings)
    merged = _merged(handshakes, strata, fixes, headrooms, trials, settings=settings, provisional=window.provisional)
    return list(merged)


def _merged(
    keys: Iterable[StratumKey],
    strata: Mapping[StratumKey, Stratum],
    fixes: Mapping[StratumKey, Recommendation],
    headrooms: Mapping[StratumKey, float],
    trials: Mapping[StratumKey, Trial],
    *,
    settings: Settings,
    provisional: bool,
) -> Iterable[Recommendation]:
    for key in keys:
        stratum, fix = strata.get(key), fixes.get(key)
        if stratum is not None and (stratum.times.n or fix is None):
            row = judge(stratum, settings, provisional=provisional, headroom=headrooms.get(key, 1.0))
            yield _explored(row, trials[key]) if key in trials else row
        if fix is not None:
            mode = stratum.readiness_mode if stratum is not None else fix.readiness_mode_seen
            yield replace(fix, readiness_mode_seen=mode)


def _headrooms(reader: StatementReader, environment: str, window: Window) -> dict[StratumKey, float]:
    """By what each stratum's delay is multiplied for next week, from the whole weeks up to the range's end."""
    until = week_before(window.until, now=window.until).until
    parameters = {"environment": environment, **window_between(until - HISTORY, until, now=until).parameters}
    weeks = weeks_of(reader.statement_rows("readiness_weeks", parameters))
    length = (window.until - window.since) / WEEK
    return {
        key: headroom([histogram.median_ms for _, histogram in whole_weeks(found)], min(length, len(found)))
        for key, found in weeks.items()
    }


def _trials(
    reader: StatementReader, parameters: Mapping[str, Any], strata: Mapping[StratumKey, Stratum], settings: Settings
) -> dict[StratumKey, Trial]:
    """Where nothing tells readiness behind a delay: which shorter delay to try next, and on how many connections.

    What the delay was too short for is then only seen by its consequences, an exception or another race.
    """
    blind = {key for key, stratum in strata.items() if stratum.readiness_mode == "blind" and not stratum.times.n}
    if not blind:
        return {}
    rows = [row for row in reader.statement_rows("arm_outcomes", parameters) if row["readiness_mode"] == "blind"]
    arms: dict[StratumKey, list[Arm]] = {}
    for row in rows:
        arm = Arm(float(row["delay_applied_ms"]), int(row["n_failed"]), int(row["n"]))
        arms.setdefault(_key(row), []).append(arm)
    found = {key: next_trial(arms.get(key, ()), settings.slo, settings.confidence) for key in blind}
    return {key: trial for key, trial in found.items() if trial is not None}


def _explored(row: Recommendation, trial: Trial) -> Recommendation:
    evidence = {**row.evidence, "trial": {"delay_ms": trial.delay_ms, "share": trial.share}}
    return replace(row, rationale=f"{row.rationale} {wording.trial(trial)}", evidence=evidence)


ONE_A_DEPLOY: Final = frozenset({"regression_after_deploy"})
"""Found once a deploy and not once a handshake: no share of handshakes, and which code it was its authors know."""


def code_fixes(
    counts: Sequence[Mapping[str, Any]],
    handshakes: Mapping[StratumKey, Mapping[str, Any]],
    catalogue: Catalogue,
    settings: Settings,
    *,
    provisional: bool,
) -> dict[StratumKey, Recommendation]:
    """For each stratum the most frequent race that no gate and no delay cures, with its remedy.

    Args:
        counts: rows of the statement ``pattern_counts``.
        handshakes: rows of the statement ``handshake_summary`` by stratum: the denominators.
        catalogue: the patterns.
        settings: for the confidence of the rate's bound.
        provisional: whether the range binds.
    """
    found: dict[StratumKey, list[Mapping[str, Any]]] = {}
    for row in counts:
        name = str(row["pattern_type"])
        if name in catalogue and name not in ONE_A_DEPLOY and needs_code(catalogue[name]):
            found.setdefault(_key(row), []).append(row)
    return {
        key: _code_fix(key, rows, handshakes.get(key, {}), catalogue, settings, provisional=provisional)
        for key, rows in found.items()
    }


def needs_code(pattern: Pattern) -> bool:
    """Whether neither a gate nor a delay cures it, so that somebody has to change the application."""
    return not (pattern.fixed_by == "gate" and pattern.delay_helps in {"cures", "masks"})


def _code_fix(
    key: StratumKey,
    rows: list[Mapping[str, Any]],
    summary: Mapping[str, Any],
    catalogue: Catalogue,
    settings: Settings,
    *,
    provisional: bool,
) -> Recommendation:
    dominant = max(rows, key=lambda row: int(row["connections"]))
    pattern = catalogue[str(dominant["pattern_type"])]
    n = int(summary.get("n", 0))
    share = rate(min(int(dominant["connections_drawn"]), n), n, settings.confidence)
    others = ", ".join(f"{row['pattern_type']} ({row['connections']})" for row in rows if row is not dominant)
    modes = [mode for mode in summary.get("readiness_modes", []) if mode]
    return Recommendation(
        environment=key[0],
        service=key[1],
        route=key[2],
        verdict="code_fix",
        readiness_mode_seen=str(modes[-1]) if modes else "",
        slo=settings.slo,
        confidence=settings.confidence,
        violation_rate=share.share if n else None,
        violation_rate_upper=share.high if n else None,
        n=n,
        pattern=pattern.name,
        cost={"connections": int(dominant["connections"])},
        rationale=_code_fix_rationale(pattern, int(dominant["connections"]), n, others),
        provisional=provisional,
        evidence={"examples": list(dominant["examples"]), "sentence": str(dominant["evidence"])},
    )


_WAITING = {
    "cures": "A delay would cure it, but it belongs in the client.",
    "masks": "A delay only hides it.",
    "useless": "No delay helps.",
    "worsens": "A delay makes it worse.",
}


def _code_fix_rationale(pattern: Pattern, connections: int, n: int, others: str) -> str:
    share = f" of {n} ({per_cent(connections / n)})" if n >= connections > 0 else ""
    tail = f" Also found here: {others}." if others else ""
    return (
        f"{pattern.title}: {connections}{share} handshakes. {pattern.cause} {_WAITING[pattern.delay_helps]} "
        f"Fix: {pattern.remedy}{tail}"
    )


def _handshakes_by_stratum(
    reader: StatementReader, parameters: Mapping[str, Any]
) -> dict[StratumKey, Mapping[str, Any]]:
    return {_key(row): row for row in reader.statement_rows("handshake_summary", parameters)}


def _key(row: Mapping[str, Any]) -> StratumKey:
    return (str(row["environment"]), str(row["service"]), str(row["route"]))


def _require_seen(reader: StatementReader, environment: str, window: Window) -> None:
    rows = reader.statement_rows("handshake_summary", {"environment": "", **window.parameters})
    seen = sorted({str(row["environment"]) for row in rows})
    if seen:
        raise EnvironmentUnseenError(
            f"expected an environment with handshakes in this range ({', '.join(seen)}), but got {environment!r}"
        )


def to_document(
    recommendations: Sequence[Recommendation], window: Window, settings: Settings | None = None
) -> dict[str, Any]:
    """The JSON that ``recommend --json`` prints."""
    settings = settings or Settings()
    return {
        "schema_version": SCHEMA_VERSION,
        "window": {**window.parameters, "week": window.week, "provisional": window.provisional},
        "settings": {"slo": settings.slo, "confidence": settings.confidence, "lambda_ms": settings.lambda_ms},
        "recommendations": [row.to_row() for row in recommendations],
    }
