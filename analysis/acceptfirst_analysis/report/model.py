"""What a report says, before anybody decides how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from acceptfirst_analysis.tuning.recommendation import Recommendation

SCHEMA_VERSION: Final = 1

Status = Literal["change", "fix", "fine", "unknown"]
Effect = Literal["worked", "kept", "no evidence", "worse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of the strip: what it is, its text, its interval and how it moved.

    Attributes:
        label: what it counts.
        value: as text, or "n too small".
        interval: the 95 % interval as text, or empty.
        change: against the range before, or empty.
    """

    label: str
    value: str
    interval: str = ""
    change: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentVerdict:
    """The first line that is read: one environment in words.

    Attributes:
        environment: which.
        status: for the glyph.
        sentence: what to do there.
        figures: the strip.
    """

    environment: str
    status: Status
    sentence: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of the policy, with what to paste.

    Attributes:
        recommendation: its row.
        from_text: the setting in force, in words.
        to_text: the setting to go to, in words.
        effect: what it is expected to do.
        why_not_more: why it does not go further.
        snippet: TOML for the policy file.
        rollback: how to take it back.
    """

    recommendation: Recommendation
    from_text: str
    to_text: str
    effect: str
    why_not_more: str
    snippet: str
    rollback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Before and after the latest change of one route's policy.

    Attributes:
        environment: where.
        service: where.
        route: where.
        before_version: policy version before.
        after_version: policy version after.
        before: violations, handshakes.
        after: violations, handshakes.
        before_text: share and interval.
        after_text: share and interval.
        effect: what the exact test says; "kept" where nothing is shown but that the objective is kept.
        p_value: of Fisher's exact test, adjusted over all that was asked at once; ``None`` where a side is not known.
        rationale: in sentences.
    """

    environment: str
    service: str
    route: str
    before_version: str
    after_version: str
    before: tuple[int, int]
    after: tuple[int, int]
    before_text: str
    after_text: str
    effect: Effect
    p_value: float | None
    rationale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceShown:
    """Alerts that nobody was told of for a while; times are ISO 8601, UTC, to the minute."""

    what: str
    reason: str
    by: str
    since: str
    until: str
    is_lifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCount:
    """How often one alert fired in the range, and for how long on average.

    Attributes:
        name: such as ``HandshakeStuck``.
        rule: such as ``AF-05``.
        severity: critical, warning or info.
        environment: where; empty for all.
        fired: episodes.
        firing: of these, that are not over.
        mean_s: from firing to resolved, of those that are over; ``None`` where none is.
    """

    name: str
    rule: str
    severity: str
    environment: str
    fired: int
    firing: int
    mean_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The states of one real handshake.

    Attributes:
        connection: its id, hex.
        states: those that were left, in order.
        triggers: what ended each.
        durations_ms: how long each had lasted.
        signature: its events.
        events: the signature, spelled out.
    """

    connection: str
    states: tuple[str, ...]
    triggers: tuple[str, ...]
    durations_ms: tuple[float, ...]
    signature: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFound:
    """One race of the range.

    Attributes:
        name: in the catalogue.
        severity: warning, critical or fatal.
        title: in words.
        cause: one sentence or two.
        remedy: what to do.
        waiting: what a delay does to it, in words.
        connections: in how many handshakes.
        share: of all handshakes of the strata where it was found.
        routes: where, with counts, the most first.
        examples: connection ids.
        evidence: of the first example.
        timeline: of the first example, where it is stored.
    """

    name: str
    severity: str
    title: str
    cause: str
    remedy: str
    waiting: str
    connections: int
    share: float
    routes: tuple[tuple[str, int], ...]
    examples: tuple[str, ...]
    evidence: str
    timeline: Timeline | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Readiness times of one stratum as a histogram with logarithmic bins.

    Attributes:
        environment: where.
        service: where.
        route: where.
        edges_ms: bin edges, one more than counts.
        counts: handshakes a bin.
        n: all handshakes.
        n_missing: that never became ready.
        p50_ms: median of those that became ready.
        p99_ms: their 99th percentile.
        in_force_ms: the delay in force; 0 for none.
        needed_ms: the delay that would be needed: the bound, or the estimate where there is none.
        needed_is_bound: which of the two.
        verdict: of the recommendation.
    """

    environment: str
    service: str
    route: str
    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]
    n: int
    n_missing: int
    p50_ms: float
    p99_ms: float
    in_force_ms: float
    needed_ms: float | None
    needed_is_bound: bool
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of it, in reading order.

    Attributes:
        title: with the range.
        generated_at: ISO 8601, UTC.
        version: of AcceptFirst.
        window: since, until, week, provisional.
        verdicts: a line an environment.
        changes: at most five.
        changes_left_out: how many more there are.
        comparisons: what was changed, and whether it worked.
        patterns: the races, the most frequent first.
        distributions: readiness times.
        recommendations: every row.
        alerts: that fired, the most frequent first.
        silences: that were on, the latest first.
        value: what the handshakes meant for users, as ``acceptfirst_analysis.value`` documents it.
        quality: label and value.
        settings: what the recommendations aim at.
    """

    title: str
    generated_at: str
    version: str
    window: Mapping[str, Any]
    verdicts: tuple[EnvironmentVerdict, ...]
    changes: tuple[Change, ...]
    changes_left_out: int
    comparisons: tuple[Comparison, ...]
    patterns: tuple[PatternFound, ...]
    distributions: tuple[Distribution, ...]
    recommendations: tuple[Recommendation, ...]
    quality: tuple[tuple[str, str], ...]
    alerts: tuple[AlertCount, ...] = ()
    silences: tuple[SilenceShown, ...] = ()
    value: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
