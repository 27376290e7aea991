"""Which receiver is to be told of which alerts now; no clock, no network.

A message holds all alerts of its group that fire, and those that ended since the last one. It is due when one of them
is news to the receiver, or when the last message is old enough to be repeated. A receiver that took no news (it was
down) is told by the next round. One that is over before a receiver ever heard of it is not mentioned.

An Alertmanager does all that by itself, and wants every alert again and again: it is given everything, every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver

RESOLVED_RESENT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver.

    Attributes:
        receiver: to whom.
        group: labels that its alerts share, as pairs; empty for an Alertmanager.
        episodes: the alerts, those that fire first.
    """

    receiver: Receiver
    group: tuple[tuple[str, str], ...]
    episodes: tuple[Episode, ...]

    @property
    def is_firing(self) -> bool:
        """Whether at least one of the alerts is not over."""
        return any(not episode.is_over for episode in self.episodes)


def deliveries(episodes: Iterable[Episode], settings: AlertSettings, at: datetime) -> list[Delivery]:
    """The messages that are due.

    Args:
        episodes: all that are known; pending ones are nobody's business.
        settings: receivers, silences, groups.
        at: now.
    """
    public = [e for e in episodes if e.fired_at is not None and (e.is_over or not settings.silenced_by(e.labels, at))]
    planned: list[Delivery] = []
    for receiver in settings.receivers:
        mine = [episode for episode in public if episode.labels["severity"] in receiver.severities]
        if receiver.kind == "alertmanager":
            planned += _everything(receiver, mine, at)
        else:
            planned += _news(receiver, mine, settings, at)
    return planned


def _everything(receiver: Receiver, mine: Sequence[Episode], at: datetime) -> list[Delivery]:
    wanted = [e for e in mine if not e.is_over or (_heard(e, receiver) and at - _ended_at(e) < RESOLVED_RESENT)]
    return [Delivery(receiver, (), _firing_first(wanted))] if wanted else []


def _news(receiver: Receiver, mine: Sequence[Episode], settings: AlertSettings, at: datetime) -> list[Delivery]:
    def group_of(episode: Episode) -> tuple[tuple[str, str], ...]:
        return tuple((name, episode.labels.get(name, "")) for name in settings.group_by)

    planned: list[Delivery] = []
    for group, members in groupby(sorted(mine, key=group_of), key=group_of):
        untold = [e for e in members if not e.is_over or (_heard(e, receiver) and receiver.name not in e.told_resolved)]
        if any(_is_due(episode, receiver, settings.repeat_s, at) for episode in untold):
            planned.append(Delivery(receiver, group, _firing_first(untold)))
    return planned


def _is_due(episode: Episode, receiver: Receiver, repeat_s: float, at: datetime) -> bool:
    if episode.is_over:
        return True
    told_at = episode.told_firing.get(receiver.name)
    return told_at is None or at - told_at >= timedelta(seconds=repeat_s)


def _heard(episode: Episode, receiver: Receiver) -> bool:
    return receiver.name in episode.told_firing


def _ended_at(episode: Episode) -> datetime:
    return episode.resolved_at or episode.last_active_at


def _firing_first(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    return tuple(sorted(episodes, key=lambda e: (e.is_over, e.active_since, e.fingerprint)))
