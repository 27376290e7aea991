"""Reads what a report says; the one place where the report and the store meet."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import numpy as np

from acceptfirst.catalogue import Catalogue
from acceptfirst.signature import describe
from acceptfirst_analysis.bounds import Rate, rate
from acceptfirst_analysis.readiness import Stratum, StratumKey, strata_of
from acceptfirst_analysis.recommend import StatementReader, needs_code, recommend
from acceptfirst_analysis.recommendation import Recommendation, Settings
from acceptfirst_analysis.report.changes import changes_of, compare
from acceptfirst_analysis.report.model import (
    Comparison,
    Distribution,
    EnvironmentVerdict,
    Figure,
    PatternFound,
    Report,
    Timeline,
)
from acceptfirst_analysis.report.phrases import count, interval, verdict_sentence
from acceptfirst_analysis.unclassified import pattern_named
from acceptfirst_analysis.window import BEGINNING, Window
from acceptfirst_analysis.wording import milliseconds, per_cent

SAMPLE_MIN: Final = 20  # below it a percentile or a share is an anecdote
CHANGES_MAX: Final = 5
BINS_PER_DECADE: Final = 12

_PRODUCTION_FIRST: Final = {"production": 0, "staging": 1, "development": 2, "testing": 3}
_WAITING: Final = {
    "cures": "a delay in the client cures it",
    "masks": "a delay only hides it",
    "useless": "a delay does nothing",
    "worsens": "a delay makes it worse",
}

Rows = Sequence[Mapping[str, Any]]


def gather(
    reader: StatementReader,
    catalogue: Catalogue,
    window: Window,
    *,
    now: datetime,
    environment: str = "",
    settings: Settings | None = None,
) -> Report:
    """Read and settle everything that the report of a range says.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        catalogue: the patterns.
        window: the range.
        now: aware time of the making.
        environment: only this one; empty for all.
        settings: of the recommendations; ``None`` for the defaults.

    Raises:
        EnvironmentUnseenError: when the environment has no handshake in the range but others have.
        StoreError: when the store can't be read.
    """
    settings = settings or Settings()
    recommendations = recommend(reader, catalogue, window, environment=environment, settings=settings)
    parameters = {"environment": environment, **window.parameters}
    summaries = reader.statement_rows("handshake_summary", parameters)
    before = _summaries_before(reader, window, environment)
    counts = reader.statement_rows("pattern_counts", parameters)
    settings_rows = reader.statement_rows("readiness_times", parameters)
    strata = strata_of(settings_rows)
    patterns = _patterns(reader, counts, summaries, catalogue)
    changes = changes_of(recommendations, settings)
    comparisons = compare(settings_rows, settings)
    return Report(
        title=_title(window, environment),
        generated_at=now.isoformat(timespec="seconds"),
        version=importlib.metadata.version("acceptfirst"),
        window={**window.parameters, "week": window.week, "provisional": window.provisional},
        verdicts=_verdicts(summaries, before, counts, recommendations, comparisons=comparisons, settings=settings),
        changes=changes[:CHANGES_MAX],
        changes_left_out=max(0, len(changes) - CHANGES_MAX),
        comparisons=comparisons,
        patterns=patterns,
        distributions=_distributions(strata, recommendations),
        recommendations=tuple(recommendations),
        quality=_quality(summaries, strata),
        settings={"slo": settings.slo, "confidence": settings.confidence, "lambda_ms": settings.lambda_ms},
    )


def _title(window: Window, environment: str) -> str:
    where = f" of {environment}" if environment else ""
    if window.week:
        return f"WebSocket handshakes{where}, week {window.week}"
    until = f"{window.until:%d %B %Y, %H:%M} UTC"
    if window.since.date() == window.until.date():
        return f"WebSocket handshakes{where}, {window.since:%d %B %Y, %H:%M} to {window.until:%H:%M} UTC"
    if window.since == BEGINNING:
        return f"WebSocket handshakes{where} until {until}"
    return f"WebSocket handshakes{where}, {window.since:%d %B %Y, %H:%M} to {until}"


def _summaries_before(reader: StatementReader, window: Window, environment: str) -> Rows:
    if window.since == BEGINNING:
        return []
    earlier = window.previous()
    return reader.statement_rows("handshake_summary", {"environment": environment, **earlier.parameters})


def _verdicts(
    summaries: Rows,
    before: Rows,
    counts: Rows,
    recommendations: Sequence[Recommendation],
    *,
    comparisons: Sequence[Comparison],
    settings: Settings,
) -> tuple[EnvironmentVerdict, ...]:
    environments = sorted(
        {str(row["environment"]) for row in summaries}, key=lambda name: (_PRODUCTION_FIRST.get(name, 4), name)
    )
    verdicts = []
    for name in environments:
        rows = _of(summaries, name)
        advice = [row for row in recommendations if row.environment == name]
        changed = [comparison for comparison in comparisons if comparison.environment == name]
        status, sentence = verdict_sentence(advice, changed)
        figures = _strip(rows, _of(before, name), _of(counts, name), settings)
        verdicts.append(EnvironmentVerdict(environment=name, status=status, sentence=sentence, figures=figures))
    return tuple(verdicts)


def _of(rows: Rows, environment: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["environment"] == environment]


def _strip(rows: Rows, before: Rows, counts: Rows, settings: Settings) -> tuple[Figure, ...]:
    total = sum(float(row["handshakes"]) for row in rows)
    total_before = sum(float(row["handshakes"]) for row in before)
    ready, ready_before = _ready(rows, settings), _ready(before, settings)
    occurrences = sum(int(row["occurrences"]) for row in counts)
    measured = [row for row in rows if int(row["n"]) >= SAMPLE_MIN]
    slowest = max(measured, key=lambda row: _finite(row["accept_p95_ms"]), default=None)
    return (
        Figure(label="handshakes", value=count(total), change=_moved(total, total_before)),
        Figure(
            label="reached ready",
            value=per_cent(ready.share) if ready.n >= SAMPLE_MIN else "n too small",
            interval=interval(ready),
            change=f"before: {per_cent(ready_before.share)}" if ready_before.n >= SAMPLE_MIN else "",
        ),
        Figure(
            label="races per 10,000",
            value=count(10_000 * occurrences / total) if total >= SAMPLE_MIN else "n too small",
            interval=f"{count(occurrences)} found",
        ),
        Figure(
            label="accept, p95, slowest route",
            value=milliseconds(_finite(slowest["accept_p95_ms"])) if slowest else "n too small",
            interval=str(slowest["route"]) if slowest else "",
        ),
    )


def _ready(rows: Rows, settings: Settings) -> Rate:
    n = sum(int(row["n"]) for row in rows)
    # Two one-sided bounds at 97.5 % make the two-sided 95 % interval that is shown.
    return rate(sum(int(row["n_ready"]) for row in rows), n, 1 - (1 - settings.confidence) / 2)


def _moved(now: float, before: float) -> str:
    if not before:
        return ""
    return f"{100 * (now - before) / before:+.0f} % against before"


def _finite(value: float | None) -> float:
    return 0.0 if value is None or not np.isfinite(value) else float(value)


def _patterns(reader: StatementReader, counts: Rows, summaries: Rows, catalogue: Catalogue) -> tuple[PatternFound, ...]:
    known = sorted((row for row in counts if row["pattern_type"] in catalogue), key=lambda row: row["pattern_type"])
    by_name = {name: list(rows) for name, rows in groupby(known, key=lambda row: str(row["pattern_type"]))}
    firsts = [str(rows[0]["examples"][0]) for rows in by_name.values() if rows[0]["examples"]]
    timelines = _timelines(reader, firsts)
    totals = {_key(row): float(row["handshakes"]) for row in summaries}
    found = [_pattern(name, rows, catalogue, totals, timelines) for name, rows in by_name.items()]
    return tuple(sorted(found, key=lambda pattern: -pattern.connections))


def _pattern(
    name: str,
    rows: Rows,
    catalogue: Catalogue,
    totals: Mapping[StratumKey, float],
    timelines: Mapping[str, Timeline],
) -> PatternFound:
    pattern = pattern_named(catalogue, name)
    connections = sum(int(row["connections"]) for row in rows)
    total = sum(totals.get(_key(row), 0.0) for row in rows)
    examples = tuple(str(example) for row in rows for example in row["examples"])[:3]
    routes = sorted(
        ((f"{row['service']} {row['route']}", int(row["connections"])) for row in rows), key=lambda r: -r[1]
    )
    return PatternFound(
        name=name,
        severity=pattern.severity,
        title=pattern.title,
        cause=pattern.cause,
        remedy=pattern.remedy,
        waiting=_WAITING[pattern.delay_helps] if needs_code(pattern) else "a gate cures it, a delay only hides it",
        connections=connections,
        share=min(1.0, connections / total) if total else 0.0,
        routes=tuple(routes),
        examples=examples,
        evidence=str(rows[0]["evidence"]),
        timeline=timelines.get(examples[0]) if examples else None,
    )


def _timelines(reader: StatementReader, connections: Iterable[str]) -> dict[str, Timeline]:
    wanted = list(connections)
    if not wanted:
        return {}
    rows = reader.statement_rows("handshake_timelines", {"connections": wanted})
    return {str(row["connection"]): _timeline(row) for row in rows}


def _timeline(row: Mapping[str, Any]) -> Timeline:
    signature = str(row["signature"])
    try:
        events = tuple(describe(signature))
    except ValueError:
        events = ()  # letters of a later alphabet: the states still tell the story
    return Timeline(
        connection=str(row["connection"]),
        states=tuple(map(str, row["states"])),
        triggers=tuple(map(str, row["triggers"])),
        durations_ms=tuple(map(float, row["durations_ms"])),
        signature=signature,
        events=events,
    )


def _distributions(strata: Sequence[Stratum], recommendations: Sequence[Recommendation]) -> tuple[Distribution, ...]:
    timing = {(row.environment, row.service, row.route): row for row in recommendations if row.verdict != "code_fix"}
    ordered = sorted(strata, key=lambda s: (_PRODUCTION_FIRST.get(s.environment, 4), s.environment, -s.times.n))
    return tuple(
        _distribution(stratum, timing[stratum.key])
        for stratum in ordered
        if len(stratum.times.ready_ms) >= SAMPLE_MIN and stratum.key in timing
    )


def _distribution(stratum: Stratum, row: Recommendation) -> Distribution:
    ready_ms = stratum.times.ready_ms
    edges_ms = _edges(ready_ms)
    counts, _ = np.histogram(np.clip(ready_ms, edges_ms[0], edges_ms[-1]), bins=edges_ms)
    return Distribution(
        environment=stratum.environment,
        service=stratum.service,
        route=stratum.route,
        edges_ms=tuple(float(edge) for edge in edges_ms),
        counts=tuple(int(c) for c in counts),
        n=stratum.times.n,
        n_missing=stratum.times.n_missing,
        p50_ms=float(np.quantile(ready_ms, 0.5)),
        p99_ms=float(np.quantile(ready_ms, 0.99)),
        in_force_ms=stratum.delay_applied_ms,
        needed_ms=row.delay_ms if row.delay_ms is not None else row.delay_ms_estimate,
        needed_is_bound=row.delay_ms is not None,
        verdict=row.verdict,
    )


def _edges(ready_ms: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Whole bins of a twelfth of a decade around the sample; below a microsecond there is nothing to see."""
    low = np.floor(np.log10(max(float(ready_ms[0]), 1e-3)) * BINS_PER_DECADE)
    high = np.ceil(np.log10(max(float(ready_ms[-1]), 1e-3)) * BINS_PER_DECADE)
    return np.power(10.0, np.arange(low, max(high, low + 1) + 1) / BINS_PER_DECADE)


def _quality(summaries: Rows, strata: Sequence[Stratum]) -> tuple[tuple[str, str], ...]:
    drawn = sum(int(row["n"]) for row in summaries)
    stored = sum(int(row["n_all"]) for row in summaries)
    unended = sum(int(row["n_unended"]) for row in summaries)
    versions = sorted({str(v) for row in summaries for v in row["policy_versions"] if v})
    missing = sum(s.times.n_missing for s in strata)
    return (
        ("handshakes stored", count(stored)),
        ("of these drawn by the sampling (only they count in rates and bounds)", count(drawn)),
        ("accepted, but never ready (each counts as above every delay)", count(missing)),
        (
            "accepted, then closed by the application before it was ready (left out)",
            count(sum(s.n_refused for s in strata)),
        ),
        ("without a last span (still open, or its spans were lost)", count(unended)),
        ("policy versions seen", ", ".join(versions) or "none"),
        ("first span", min((str(row["first_seen"]) for row in summaries), default="none")),
        ("last span", max((str(row["last_seen"]) for row in summaries), default="none")),
    )


def _key(row: Mapping[str, Any]) -> StratumKey:
    return (str(row["environment"]), str(row["service"]), str(row["route"]))
