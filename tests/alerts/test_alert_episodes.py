"""From pending to firing to resolved: each edge, and what a restart, an outage or an error may not change."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from acceptfirst_analysis.alerts.episode import Episode, advance, told
from acceptfirst_analysis.alerts.evaluate import Evaluation, Sample
from acceptfirst_analysis.alerts.labels import labels_of
from acceptfirst_analysis.alerts.memory import episode_from, known_episodes, remember, row_of
from acceptfirst_analysis.alerts.rules import all_rules
from acceptfirst_store.database import Database

START = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
RULES = {rule.id: rule for rule in all_rules()}
LATENCY = RULES["AF-04"]  # for 600 s, kept for 300 s


def sample(value: float = 2.0, route: str = "/ws", rule: Any = LATENCY) -> Sample:
    """What the rule about latency found, above its threshold by default."""
    condition = rule.conditions[0]
    labels = labels_of(rule, condition, {"environment": "production", "service": "chat", "route": route})
    holds = value > condition.threshold
    return Sample(rule=rule, condition=condition, labels=labels, value=value, n=100, holds=holds)


def after(known: list[Episode], seconds: float, *samples: Sample, errors: tuple[str, ...] = ()) -> list[Episode]:
    """The episodes after an evaluation some seconds after the start."""
    at = START + dt.timedelta(seconds=seconds)
    return advance(known, Evaluation(at, samples, dict.fromkeys(errors, "broken")), RULES.values())


def states(episodes: list[Episode]) -> list[str]:
    """Their states."""
    return [episode.state for episode in episodes]


def test_condition_that_holds_is_pending_first() -> None:
    """Nobody is told of a moment."""
    assert states(after([], 0, sample())) == ["pending"]


def test_condition_that_does_not_hold_is_nothing() -> None:
    """A value below the threshold makes no episode."""
    assert after([], 0, sample(0.5)) == []


def test_alert_fires_when_it_held_for_long_enough() -> None:
    """At the end of `for`, not before."""
    pending = after([], 0, sample())
    assert states(after(pending, 599, sample())) == ["pending"]
    assert states(after(pending, 600, sample())) == ["firing"]


def test_rule_without_for_fires_at_once() -> None:
    """Three violations are three violations."""
    assert states(after([], 0, sample(3.0, rule=RULES["AF-03"]))) == ["firing"]


def test_pending_alert_that_stops_never_fired() -> None:
    """It is over, and nobody was to be told."""
    [episode] = after(after([], 0, sample()), 60)
    assert (episode.state, episode.fired_at) == ("resolved", None)


def test_firing_alert_is_kept_while_it_only_pauses() -> None:
    """A value that dances about the threshold is one alert and not ten."""
    firing = after(after([], 0, sample()), 600, sample())
    assert states(after(firing, 660)) == ["firing"]
    assert states(after(after(firing, 660), 720, sample())) == ["firing"]


def test_firing_alert_is_over_when_it_stayed_away() -> None:
    """After `keep_firing_s`, with the time of its end."""
    firing = after(after([], 0, sample()), 600, sample())
    [episode] = after(firing, 900)
    assert (episode.state, episode.resolved_at) == ("resolved", START + dt.timedelta(seconds=900))


def test_alert_that_comes_back_is_another_one() -> None:
    """With its own beginning."""
    over = after(after(after([], 0, sample()), 600, sample()), 900)
    [again] = after(over, 1000, sample())
    assert (again.state, again.active_since) == ("pending", START + dt.timedelta(seconds=1000))


def test_error_of_a_rule_leaves_its_alerts_as_they_are() -> None:
    """Not knowing is not being well."""
    firing = after(after([], 0, sample()), 600, sample())
    assert after(firing, 5000, errors=("AF-04",)) == firing


def test_alert_of_a_disabled_rule_is_over() -> None:
    """Nothing would ever end it otherwise."""
    firing = after(after([], 0, sample()), 600, sample())
    assert states(advance(firing, Evaluation(START, (), {}), [])) == ["resolved"]


def test_pending_alert_begins_anew_when_nobody_looked_for_long() -> None:
    """Nobody knows whether it held in between."""
    ended, begun = after(after([], 0, sample()), 4000, sample())
    assert (ended.state, ended.fired_at, begun.state) == ("resolved", None, "pending")
    assert begun.active_since == START + dt.timedelta(seconds=4000)


def test_each_label_set_is_an_alert_of_its_own() -> None:
    """Two routes, two alerts."""
    both = after([], 0, sample(route="/a"), sample(route="/b"))
    assert states(after(both, 600, sample(route="/a"))) == ["firing", "resolved"]


def test_value_follows_the_latest_look() -> None:
    """And stands in the summary, never in the labels."""
    [episode] = after(after([], 0, sample(2.0)), 60, sample(7.25))
    assert (episode.value, "7.25 s" in episode.summary) == (7.25, True)
    assert not any("7.25" in value for value in episode.labels.values())


def test_writing_is_later_than_the_one_before_even_when_the_clock_was_set_back() -> None:
    """Or the older row would win."""
    [first] = after([], 0, sample())
    [second] = after([first], -100, sample())
    assert second.updated_at > first.updated_at
    assert told(second, "chat", START).updated_at > second.updated_at


# -- memory ------------------------------------------------------------------------------------------------------------


def firing_episode() -> Episode:
    """A firing alert that one receiver was told of."""
    [episode] = after(after([], 0, sample()), 600, sample())
    return told(episode, "chat", START + dt.timedelta(seconds=601))


def test_episode_comes_back_from_the_store_as_it_was(database: Database) -> None:
    """With its times, its labels and who was told."""
    episode = firing_episode()
    remember(database, [episode])
    assert known_episodes(database, START + dt.timedelta(minutes=20)) == [episode]


def test_store_keeps_the_latest_writing_of_an_episode(database: Database) -> None:
    """One row an episode."""
    episode = firing_episode()
    later = told(episode, "pager", START + dt.timedelta(seconds=700))
    remember(database, [episode])
    remember(database, [later])
    assert known_episodes(database, START + dt.timedelta(minutes=20)) == [later]


@pytest.mark.parametrize(
    ("minutes", "fired", "is_known"), [(59, True, True), (61, True, False), (1, False, False)], ids=str
)
def test_evaluator_forgets_what_has_been_over_for_an_hour(
    database: Database, minutes: int, fired: bool, is_known: bool
) -> None:
    """And at once what never fired."""
    episode = dataclasses.replace(firing_episode(), state="resolved", resolved_at=START)
    remember(database, [episode if fired else dataclasses.replace(episode, fired_at=None)])
    assert (len(known_episodes(database, START + dt.timedelta(minutes=minutes))) == 1) is is_known


def test_row_and_episode_are_the_same_without_a_store() -> None:
    """No label and no time is lost on the way."""
    episode = firing_episode()
    assert episode_from(row_of(episode)) == episode
