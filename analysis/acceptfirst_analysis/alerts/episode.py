"""How an alert goes from pending to firing to resolved; no clock, no store, no network.

Design constraints:

- everything that a decision needs is in the episode, so that a restart changes nothing;
- an episode ends once: what comes back afterwards is a new one, with its own beginning;
- a rule that could not be asked leaves its alerts as they are;
- nobody knows what happened while nobody looked: a pending alert that was not looked at for long begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from acceptfirst_analysis.alerts.evaluate import Evaluation, Sample
from acceptfirst_analysis.alerts.rules import Rule

State = Literal["pending", "firing", "resolved"]

OUTAGE_MAX: Final = timedelta(hours=1)
"""A pending alert survives this long without being looked at (Prometheus' default of the same question)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One alert, from the first time its condition held until it is over.

    Attributes:
        fingerprint: of the labels.
        labels: which alert it is.
        state: one that was over before it fired is resolved with ``fired_at`` unset, and nobody is told.
        value: the latest that was above the threshold; ``None`` for no data.
        threshold: of the condition.
        n: handshakes that the value was measured on.
        summary: one line.
        description: what it means.
        active_since: when the condition began to hold.
        last_active_at: when it held last.
        fired_at: when somebody was to be told.
        resolved_at: when it was over.
        updated_at: when this was written; later than the writing before.
        told_firing: receiver → when it last took the news that it fires.
        told_resolved: receiver → when it took the news that it is over.
    """

    fingerprint: str
    labels: Mapping[str, str]
    state: State
    value: float | None
    threshold: float
    n: int
    summary: str
    description: str
    active_since: datetime
    last_active_at: datetime
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    updated_at: datetime
    told_firing: Mapping[str, datetime] = field(default_factory=dict)
    told_resolved: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def rule_id(self) -> str:
        """Of the rule that it is an alert of."""
        return self.labels["rule"]

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state == "resolved"


def advance(known: Iterable[Episode], evaluation: Evaluation, rules: Iterable[Rule]) -> list[Episode]:
    """Every episode that is not over or has just ended, as it is after an evaluation.

    Args:
        known: the episodes that were not over before; others are left alone.
        evaluation: what the rules found.
        rules: those that were asked; an episode of any other rule (one switched off) is over.
    """
    at = evaluation.at
    holding = {sample.fingerprint: sample for sample in evaluation.holding}
    by_id = {rule.id: rule for rule in rules}
    after: list[Episode] = []
    for episode in known:
        if episode.is_over:
            continue
        sample = None if _is_forgotten(episode, at) else holding.pop(episode.fingerprint, None)
        after.append(_next(episode, sample, at, by_id.get(episode.rule_id), evaluation.errors))
    return after + [_begun(sample, at) for sample in holding.values()]


def _is_forgotten(episode: Episode, at: datetime) -> bool:
    return episode.state == "pending" and at - episode.updated_at > OUTAGE_MAX


def _next(episode: Episode, sample: Sample | None, at: datetime, rule: Rule | None, errors: Collection[str]) -> Episode:
    if sample is not None:
        return _held(episode, sample, at)
    if rule is None:
        return _ended(episode, at)
    if rule.id in errors:
        return episode
    is_kept = episode.state == "firing" and at - episode.last_active_at < timedelta(seconds=rule.keep_firing_s)
    return episode if is_kept else _ended(episode, at)


def _begun(sample: Sample, at: datetime) -> Episode:
    episode = Episode(
        fingerprint=sample.fingerprint,
        labels=sample.labels,
        state="pending",
        value=sample.value,
        threshold=sample.condition.threshold,
        n=sample.n,
        summary=sample.sentence(sample.rule.summary),
        description=sample.sentence(sample.rule.description),
        active_since=at,
        last_active_at=at,
        updated_at=at,
    )
    return _held(episode, sample, at)


def _held(episode: Episode, sample: Sample, at: datetime) -> Episode:
    fires = episode.state == "firing" or at - episode.active_since >= timedelta(seconds=sample.condition.for_s)
    return dataclasses.replace(
        episode,
        state="firing" if fires else "pending",
        value=sample.value,
        threshold=sample.condition.threshold,
        n=sample.n,
        summary=sample.sentence(sample.rule.summary),
        description=sample.sentence(sample.rule.description),
        last_active_at=at,
        fired_at=(episode.fired_at or at) if fires else None,
        updated_at=_later(episode, at),
    )


def _ended(episode: Episode, at: datetime) -> Episode:
    return dataclasses.replace(episode, state="resolved", resolved_at=at, updated_at=_later(episode, at))


def _later(episode: Episode, at: datetime) -> datetime:
    """A clock that was set back must not let an older row win."""
    return max(at, episode.updated_at + timedelta(milliseconds=1))


def told(episode: Episode, receiver: str, at: datetime) -> Episode:
    """The episode after a receiver took the news of its present state."""
    updated_at = _later(episode, at)
    if episode.is_over:
        resolved = {**episode.told_resolved, receiver: at}
        return dataclasses.replace(episode, told_resolved=resolved, updated_at=updated_at)
    firing = {**episode.told_firing, receiver: at}
    return dataclasses.replace(episode, told_firing=firing, updated_at=updated_at)
