"""Who is told of what, when: grouped, once, again after long, never what is silenced."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from acceptfirst_analysis.alerts.episode import Episode, told
from acceptfirst_analysis.alerts.labels import fingerprint_of
from acceptfirst_analysis.alerts.notify.plan import Delivery, deliveries
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver, Silence

START = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
CHAT = Receiver(name="chat", kind="webhook", url="http://127.0.0.1/")
PAGER = Receiver(name="pager", kind="alertmanager", url="http://127.0.0.1/")


def alert(rule: str = "AF-04", environment: str = "production", route: str = "/ws", **values: Any) -> Episode:
    """A firing alert."""
    severity = values.pop("severity", "warning")
    labels = {
        "alertname": f"Name{rule}",
        "rule": rule,
        "severity": severity,
        "environment": environment,
        "route": route,
    }
    firing = Episode(
        fingerprint=fingerprint_of(labels),
        labels=labels,
        state="firing",
        value=2.0,
        threshold=1.0,
        n=100,
        summary="slow",
        description="slow",
        active_since=START - dt.timedelta(minutes=10),
        last_active_at=START,
        fired_at=START,
        updated_at=START,
    )
    return dataclasses.replace(firing, **values)


def over(episode: Episode, minutes: float = 1) -> Episode:
    """The same, ended."""
    ended = START + dt.timedelta(minutes=minutes)
    return dataclasses.replace(episode, state="resolved", resolved_at=ended, updated_at=ended)


def planned(*episodes: Episode, minutes: float = 0, **settings: Any) -> list[Delivery]:
    """What is due some minutes after the start."""
    told_of = {"receivers": (CHAT,), **settings}
    return deliveries(episodes, AlertSettings(**told_of), START + dt.timedelta(minutes=minutes))


def test_pending_alert_is_nobodys_business() -> None:
    """Nor one that ended before it fired."""
    pending = alert(state="pending", fired_at=None)
    assert planned(pending, over(pending)) == []


def test_alert_is_told_once() -> None:
    """Not again with the next look."""
    first = alert()
    assert [d.episodes for d in planned(first)] == [(first,)]
    assert planned(told(first, "chat", START), minutes=1) == []


def test_alert_that_was_not_taken_is_told_again() -> None:
    """A receiver that was down hears of it with the next round."""
    assert len(planned(alert(), minutes=1)) == 1


def test_alert_that_goes_on_is_repeated_after_long() -> None:
    """So that nobody forgets."""
    known = told(alert(), "chat", START)
    assert planned(known, minutes=59, repeat_s=3600) == []
    assert len(planned(known, minutes=60, repeat_s=3600)) == 1


def test_end_is_told_once_to_who_heard_of_the_beginning() -> None:
    """And not to who did not."""
    known = over(told(alert(), "chat", START))
    [delivery] = planned(known, minutes=1)
    assert (delivery.is_firing, delivery.episodes) == (False, (known,))
    assert planned(told(known, "chat", START), minutes=2) == []
    assert planned(over(alert()), minutes=1) == []


def test_alerts_of_one_name_and_environment_are_one_message() -> None:
    """Two hundred routes of one outage are one call."""
    routes = [alert(route=f"/{number}") for number in range(5)]
    groups = planned(*routes, alert(environment="staging"), alert("AF-05"))
    assert sorted(len(delivery.episodes) for delivery in groups) == [1, 1, 5]


def test_message_of_a_group_holds_what_is_still_firing() -> None:
    """News of one route comes with the state of the others, those that fire first."""
    old, new = told(alert(route="/a"), "chat", START), alert(route="/b", active_since=START)
    ended = over(told(alert(route="/c"), "chat", START))
    [delivery] = planned(ended, new, old)
    assert [episode.labels["route"] for episode in delivery.episodes] == ["/a", "/b", "/c"]


def test_receiver_hears_of_its_severities_only() -> None:
    """A pager is for what is critical."""
    pager = dataclasses.replace(CHAT, severities=("critical",))
    assert planned(alert(), receivers=(pager,)) == []
    assert len(planned(alert(severity="critical"), receivers=(pager,))) == 1


def silence(**values: Any) -> Silence:
    """One of an hour."""
    return Silence(**{"until": START + dt.timedelta(hours=1), "reason": "load test", **values})


def test_silenced_alert_is_told_to_nobody_until_the_silence_is_over() -> None:
    """Neither to an Alertmanager."""
    settings: dict[str, Any] = {"receivers": (CHAT, PAGER), "silences": (silence(rule="AF-04", route="/ws"),)}
    assert planned(alert(), **settings) == []
    assert len(planned(alert(), minutes=60, **settings)) == 2


def test_silence_of_something_else_changes_nothing() -> None:
    """Every label that it names must fit."""
    assert len(planned(alert(), silences=(silence(rule="AF-04", route="/other"),))) == 1


def test_end_of_a_silenced_alert_is_told_to_who_heard_of_its_beginning() -> None:
    """Nobody is left with an alert that never ends."""
    known = over(told(alert(), "chat", START))
    assert len(planned(known, minutes=1, silences=(silence(rule="AF-04"),))) == 1


def test_alertmanager_is_given_everything_every_time() -> None:
    """It groups and repeats by itself, and takes what it does not hear of any more for over."""
    known = told(alert(), "pager", START)
    assert [len(d.episodes) for d in planned(known, alert("AF-05"), minutes=1, receivers=(PAGER,))] == [2]


def test_alertmanager_hears_of_an_end_for_a_quarter_of_an_hour() -> None:
    """Its cluster may have been busy."""
    known = told(over(told(alert(), "pager", START)), "pager", START)
    assert len(planned(known, minutes=15, receivers=(PAGER,))) == 1
    assert planned(known, minutes=16, receivers=(PAGER,)) == []
