"""What the live page says, before anybody decides how it looks. Times are aware UTC, lengths milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from acceptfirst.catalogue import Pattern
from acceptfirst_analysis.report.model import Figure, Timeline
from acceptfirst_analysis.tuning.recommendation import Recommendation

Mood = Literal["change", "fix", "fine", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a connection belongs."""

    environment: str
    service: str
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSeen:
    """One environment that has sent anything lately, and when its newest span ended."""

    name: str
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The first line and the four numbers under it."""

    mood: Mood
    sentence: str
    figures: tuple[Figure, ...]
    last_seen: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One handshake as a row of the swim-lanes.

    Attributes:
        connection: its id, hex.
        place: where.
        first_seen: start of its first span.
        outcome: of the glossary.
        states: those that were gone through, in order; where nothing ended it, the state that it is in now is the last.
        durations_ms: how long each lasted, or has lasted until now.
        first_message_ms: from the start to the first client message; ``None`` where none came.
        ready_ms: from the start to ready; ``None`` where it never was.
        close_code: 0 where nothing was closed.
        patterns: names of the races that it showed.
    """

    connection: str
    place: Place
    first_seen: datetime
    outcome: str
    states: tuple[str, ...]
    durations_ms: tuple[float, ...]
    first_message_ms: float | None
    ready_ms: float | None
    close_code: int
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHandshake:
    """One that nothing has ended yet."""

    connection: str
    place: Place
    first_seen: datetime
    age_ms: float
    is_accepted: bool
    is_stuck: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNow:
    """The oldest of them, and how many there are in all."""

    rows: tuple[OpenHandshake, ...] = ()
    count: int = 0
    stuck: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceCount:
    """How many connections showed a pattern; ``pattern`` is ``None`` where the catalogue here does not know it."""

    name: str
    pattern: Pattern | None
    recent: int
    total: int
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert that is pending or firing.

    Attributes:
        name: such as ``AF-05``.
        title: what it is about.
        severity: critical, warning or info.
        state: pending or firing.
        since: when it began.
        labels: environment, service, route, pattern, those that it has.
        summary: what it says now.
        runbook: where to read what to do; empty for none.
        silenced: why nobody is told of it; empty where somebody is.
    """

    name: str
    title: str
    severity: str
    state: str
    since: datetime | None
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    runbook: str = ""
    silenced: str = ""

    @property
    def is_loud(self) -> bool:
        """Whether it fires and nobody has silenced it."""
        return self.state == "firing" and not self.silenced


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """The alerts of one rule that are in one state, the oldest first."""

    name: str
    title: str
    severity: str
    state: str
    runbook: str
    rows: tuple[Alert, ...]

    @property
    def is_loud(self) -> bool:
        """Whether one of them fires and nobody has silenced it."""
        return any(row.is_loud for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfValue:
    """What the handshakes of one day meant for users.

    Attributes:
        handshakes: all of them, estimated from the weights.
        n: drawn by the sampling; shares and percentiles rest on them.
        n_ready: of these, reached READY.
        first_message_p50_ms: connect to the first message that the application was given; ``None`` where none came.
        first_message_p95_ms: the same for the slowest twentieth.
        messages_early: messages that were handled before the application was ready.
        connections_affected: connections that met a race, an exception or a timeout.
        users_affected: users behind them; ``None`` where no connection was identified.
        wait_s: user-seconds behind a gate.
        lost_s: user-seconds lost: waited for nothing, and ``lambda_ms`` for each affected connection.
    """

    handshakes: float
    n: int
    n_ready: int
    first_message_p50_ms: float | None
    first_message_p95_ms: float | None
    messages_early: int
    connections_affected: int
    users_affected: int | None
    wait_s: float
    lost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What the last change that was verified saved its users; negative where it cost."""

    environment: str
    version: str
    at: datetime
    saved_s: float
    violations_avoided: float
    is_shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A recommendation with when and from what it was made."""

    recommendation: Recommendation
    place: Place
    made_at: datetime
    status: str
    from_text: str
    to_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What is known of one side of a canary: sums of weights since it got its share."""

    is_canary: bool
    since: datetime
    handshakes: float
    ready: float
    bad: float
    ready_p95_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNow:
    """What holds in one environment, and what is being tried.

    Attributes:
        environment: which.
        version: in force.
        settings: in force, label and value.
        candidate: the version that is proposed or on a canary; empty for none.
        share: of the connections that have it.
        updated_at: of the last step.
        arms: both sides of a canary, its own first; empty where none runs.
        outlook: what the loop made of it when it last looked; empty where it has not.
        looked_at: when that was.
    """

    environment: str
    version: str
    settings: tuple[tuple[str, str], ...]
    candidate: str
    share: float
    updated_at: datetime
    arms: tuple[Arm, ...] = ()
    outlook: str = ""
    looked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStep:
    """Who did what to a policy, when and why."""

    environment: str
    happened_at: datetime
    action: str
    version: str
    share: float
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A race that one connection showed.

    Attributes:
        name: in the catalogue.
        pattern: ``None`` where the catalogue here does not know it.
        severity: as it was found.
        evidence: what was seen, in words; empty where nobody said.
        at: when.
        told_by: the process, the classifier, or both.
    """

    name: str
    pattern: Pattern | None
    severity: str
    evidence: str
    at: datetime | None
    told_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """All that is stored of one connection."""

    connection: str
    place: Place
    first_seen: datetime
    outcome: str
    signature: str
    events: tuple[str, ...]
    timeline: Timeline
    races: tuple[Race, ...]
    facts: tuple[tuple[str, str], ...]
    trace_ids: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternConnection:
    """One connection that showed a pattern."""

    connection: str
    place: Place
    first_seen: datetime
    outcome: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternSeen:
    """A pattern with the connections that showed it lately, and how many there were in all."""

    pattern: Pattern
    rows: tuple[PatternConnection, ...]
    connections: int
