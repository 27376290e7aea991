"""One round of alerting: ask the rules, remember what changed, tell who is to be told, remember who took it.

A process that is killed between the sending and the second remembering sends again when it is back: a receiver may hear
something twice, never not at all.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from acceptfirst_analysis.alerts.episode import Episode, advance, told
from acceptfirst_analysis.alerts.evaluate import Evaluation, evaluate
from acceptfirst_analysis.alerts.memory import known_episodes, remember
from acceptfirst_analysis.alerts.notify.plan import deliveries
from acceptfirst_analysis.alerts.notify.send import Outcome, send_all
from acceptfirst_analysis.alerts.settings import AlertSettings

SCHEMA_VERSION: Final = 1

logger = logging.getLogger(__name__)


class AlertStore(Protocol):
    """What a round needs of a store: an open ``Database`` is one."""

    def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement ``name`` and return its rows."""
        ...

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the keys of the first."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """What a round did.

    Attributes:
        evaluation: what the rules found.
        episodes: every alert that is not over, or ended in this round.
        outcomes: the messages that were due, and how they went.
    """

    evaluation: Evaluation
    episodes: tuple[Episode, ...]
    outcomes: tuple[Outcome, ...]

    def to_json(self, settings: AlertSettings) -> dict[str, Any]:
        """The answer of the job."""
        at = self.evaluation.at
        states = Counter(episode.state for episode in self.episodes)
        return {
            "schema_version": SCHEMA_VERSION,
            "evaluated_at": at.isoformat(),
            "counts": {state: states[state] for state in ("pending", "firing", "resolved")},
            "alerts": [alert_json(episode, settings, at) for episode in self.episodes if episode.state != "resolved"],
            "deliveries": [
                {"receiver": o.delivery.receiver.name, "alerts": len(o.delivery.episodes), "error": o.error or None}
                for o in self.outcomes
            ],
            "errors": dict(self.evaluation.errors),
        }


def alert_json(episode: Episode, settings: AlertSettings, at: datetime) -> dict[str, Any]:
    """An alert as the API and ``--json`` show it."""
    return {
        "fingerprint": episode.fingerprint,
        "state": episode.state,
        **{name: episode.labels.get(name, "") for name in ("rule", "alertname", "severity", "window")},
        **{name: episode.labels.get(name, "") for name in ("environment", "service", "route", "pattern")},
        "value": episode.value,
        "threshold": episode.threshold,
        "n": episode.n,
        "summary": episode.summary,
        "description": episode.description,
        "runbook": f"{settings.runbook_base.rstrip('/')}/{episode.rule_id}.md",
        "active_since": episode.active_since.isoformat(),
        "fired_at": episode.fired_at.isoformat() if episode.fired_at else None,
        "resolved_at": episode.resolved_at.isoformat() if episode.resolved_at else None,
        "silenced": settings.silenced_by(episode.labels, at) or None,
        "told": sorted(episode.told_resolved if episode.is_over else episode.told_firing),
    }


def run_round(store: AlertStore, settings: AlertSettings, at: datetime) -> Round:
    """Run one round. One at a time on a store: two would tell everything twice.

    Args:
        store: open; its rollup should be up to date.
        settings: rules, receivers, silences.
        at: now, aware.

    Raises:
        StoreError: when what is known can't be read or written; then nobody was told anything.
    """
    known = known_episodes(store, at)
    evaluation = evaluate(store, settings.rules, at)
    for rule_id, error in evaluation.errors.items():
        logger.warning("the alert rule %s could not be asked: %s", rule_id, error)
    current = advance(known, evaluation, settings.rules)
    remember(store, _changed(known, current))
    ended = [episode for episode in known if episode.is_over]
    outcomes = send_all(deliveries([*current, *ended], settings, at), settings, at)
    _remember_told(store, outcomes, at)
    return Round(evaluation, tuple(current), tuple(outcomes))


def _changed(known: Iterable[Episode], current: Iterable[Episode]) -> list[Episode]:
    before = {(episode.fingerprint, episode.active_since): episode for episode in known}
    return [episode for episode in current if before.get((episode.fingerprint, episode.active_since)) != episode]


def _remember_told(store: AlertStore, outcomes: Iterable[Outcome], at: datetime) -> None:
    after: dict[tuple[str, datetime], Episode] = {}
    for outcome in outcomes:
        receiver = outcome.delivery.receiver.name
        if not outcome.is_taken:
            logger.warning("the receiver %s did not take its alerts: %s", receiver, outcome.error)
            continue
        for episode in outcome.delivery.episodes:
            key = (episode.fingerprint, episode.active_since)
            after[key] = told(after.get(key, episode), receiver, at)
    remember(store, after.values())
