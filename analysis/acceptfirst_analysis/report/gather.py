"""Reads what a report says; the one place where the report and the store meet."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

import numpy as np

from acceptfirst.catalogue import Catalogue
from acceptfirst.signature import describe
from acceptfirst_analysis.classification.unclassified import pattern_named
from acceptfirst_analysis.report.changes import changes_of
from acceptfirst_analysis.report.model import (
    Comparison,
    Distribution,
    EnvironmentVerdict,
    Figure,
    PatternFound,
    Report,
    Timeline,
)
from acceptfirst_analysis.report.phrases import interval, verdict_sentence
from acceptfirst_analysis.report.results import alerts_fired, comparisons_of, silences_on, value_document
from acceptfirst_analysis.statistics.bounds import Rate, rate
from acceptfirst_analysis.tuning.readiness import Stratum, StratumKey, strata_of
from acceptfirst_analysis.tuning.recommend import StatementReader, needs_code, recommend
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.units import count, milliseconds, per_cent
from acceptfirst_analysis.window import BEGINNING, Window

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
    before, counts_before = (
        _before(reader, name, window, environment) for name in ("handshake_summary", "pattern_counts")
    )
    counts = reader.statement_rows("pattern_counts", parameters)
    settings_rows = reader.statement_rows("readiness_times", parameters)
    strata = strata_of(settings_rows)
    patterns = _patterns(reader, counts, summaries, catalogue)
    changes = changes_of(recommendations, settings)
    comparisons = comparisons_of(reader, window, environment, settings)
    return Report(
        title=_title(window, environment),
        generated_at=now.isoformat(timespec="seconds"),
        version=importlib.metadata.version("acceptfirst"),
        window={**window.parameters, "week": window.week, "provisional": window.provisional},
        verdicts=_verdicts(
            _Ranges(summaries, before, counts, counts_before),
            recommendations,
            comparisons=comparisons,
            settings=settings,
        ),
        changes=changes[:CHANGES_MAX],
        changes_left_out=max(0, len(changes) - CHANGES_MAX),
        comparisons=comparisons,
        patterns=patterns,
        distributions=_distributions(strata, recommendations),
        recommendations=tuple(recommendations),
        quality=_quality(reader.statement_rows("handshake_quality", parameters)[0], summaries, strata, window),
        alerts=alerts_fired(reader, window, environment),
        silences=silences_on(reader, window, environment),
        value=value_document(reader, window, environment, settings),
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


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Rows of the range and of the one before it, of all environments or of one."""

    summaries: Rows
    before: Rows
    counts: Rows
    counts_before: Rows

    def of(self, environment: str) -> _Ranges:
        rows = ([row for row in each if row["environment"] == environment] for each in self.all)
        return _Ranges(*rows)

    @property
    def all(self) -> tuple[Rows, Rows, Rows, Rows]:
        return self.summaries, self.before, self.counts, self.counts_before


def _before(reader: StatementReader, name: str, window: Window, environment: str) -> Rows:
    if window.since == BEGINNING:
        return []
    return reader.statement_rows(name, {"environment": environment, **window.previous().parameters})


def _verdicts(
    ranges: _Ranges,
    recommendations: Sequence[Recommendation],
    *,
    comparisons: Sequence[Comparison],
    settings: Settings,
) -> tuple[EnvironmentVerdict, ...]:
    environments = sorted(
        {str(row["environment"]) for row in ranges.summaries}, key=lambda name: (_PRODUCTION_FIRST.get(name, 4), name)
    )
    verdicts = []
    for name in environments:
        advice = [row for row in recommendations if row.environment == name]
        changed = [comparison for comparison in comparisons if comparison.environment == name]
        status, sentence = verdict_sentence(advice, changed)
        figures = _strip(ranges.of(name), settings)
        verdicts.append(EnvironmentVerdict(environment=name, status=status, sentence=sentence, figures=figures))
    return tuple(verdicts)


def _strip(ranges: _Ranges, settings: Settings) -> tuple[Figure, ...]:
    total, total_before = (sum(float(row["handshakes"]) for row in rows) for rows in (ranges.summaries, ranges.before))
    ready, ready_before = _ready(ranges.summaries, settings), _ready(ranges.before, settings)
    races, races_before = (
        sum(int(row["occurrences"]) for row in rows) for rows in (ranges.counts, ranges.counts_before)
    )
    slowest = _slowest(ranges.summaries)
    slowest_before = _slowest([row for row in ranges.before if slowest and _key(row) == _key(slowest)])
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
            value=count(10_000 * races / total) if total >= SAMPLE_MIN else "n too small",
            interval=f"{count(races)} found",
            change=f"before: {count(10_000 * races_before / total_before)}" if total_before >= SAMPLE_MIN else "",
        ),
        Figure(
            label="accept, p95, slowest route",
            value=milliseconds(_finite(slowest["accept_p95_ms"])) if slowest else "n too small",
            interval=str(slowest["route"]) if slowest else "",
            change=f"before: {milliseconds(_finite(slowest_before['accept_p95_ms']))}" if slowest_before else "",
        ),
    )


def _slowest(rows: Rows) -> Mapping[str, Any] | None:
    measured = [row for row in rows if int(row["n"]) >= SAMPLE_MIN]
    return max(measured, key=lambda row: _finite(row["accept_p95_ms"]), default=None)


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


def _quality(
    row: Mapping[str, Any], summaries: Rows, strata: Sequence[Stratum], window: Window
) -> tuple[tuple[str, str], ...]:
    stored, drawn = int(row["n_all"]), int(row["n_drawn"])
    hours = "" if window.since == BEGINNING else f" of {count((window.until - window.since) / timedelta(hours=1))}"
    versions = sorted({str(v) for each in summaries for v in each["policy_versions"] if v})
    return (
        ("hours in which a handshake began", f"{count(int(row['hours']))}{hours}"),
        ("handshakes stored", count(stored)),
        (
            "of these drawn by the sampling (only they count in rates and bounds)",
            f"{count(drawn)}, each for {row['weight_max']:g} at most" if drawn else "0",
        ),
        ("accepted, but never ready (each counts as above every delay)", count(sum(s.times.n_missing for s in strata))),
        (
            "accepted, then closed by the application before it was ready (left out)",
            count(sum(s.n_refused for s in strata)),
        ),
        (
            "without a last span (still open, or its spans were lost)",
            count(sum(int(each["n_unended"]) for each in summaries)),
        ),
        ("without a first span (lost, or late)", count(int(row["n_without_start"]))),
        ("ended, but without a signature (its last span was lost)", count(int(row["n_without_signature"]))),
        ("begun later than now (a clock is wrong)", count(int(row["n_ahead"]))),
        ("policy versions seen", ", ".join(versions) or "none"),
        ("first span", _second(min((str(each["first_seen"]) for each in summaries), default=""))),
        ("last span", _second(max((str(each["last_seen"]) for each in summaries), default=""))),
    )


def _key(row: Mapping[str, Any]) -> StratumKey:
    return (str(row["environment"]), str(row["service"]), str(row["route"]))


def _second(text: str) -> str:
    """An instant of the store, without the nanoseconds that nobody reads."""
    return f"{text[:19]} UTC" if text else "none"
