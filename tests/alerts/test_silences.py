"""Silences that people set while the collector runs: nobody is told, it is known who did it, and it can be undone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from acceptfirst_analysis.alerts.round import run_round
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver
from acceptfirst_analysis.alerts.silences import SilenceError, kept_silences, lift_silence, set_silence, with_kept
from acceptfirst_store.database import Database

ASKED = {"rule": "AF-03", "for": "2h", "reason": "load test", "by": "alice"}


@pytest.fixture
def hook(web_receiver: Any) -> Any:
    """Somebody who is told."""
    return web_receiver()


def rounds(database: Database, url: str, at: dt.datetime, *minutes: float) -> None:
    """Rounds at some minutes from an instant, each with what is silenced then."""
    receiver = Receiver(name="hook", kind="webhook", url=url)
    settings = AlertSettings(receivers=(receiver,), allowed_hosts=("127.0.0.1",))
    for minute in minutes:
        now = at + dt.timedelta(minutes=minute)
        run_round(database, with_kept(settings, database, now), now)


def test_nobody_is_told_while_an_alert_is_silenced(
    planter: Any, database: Database, hook: Any, now: dt.datetime
) -> None:
    """And somebody is as soon as the silence is over, once."""
    planter.plant(4, pattern="double_accept")
    set_silence(database, {**ASKED, "for": "2m"}, now)
    rounds(database, hook.url, now, 0, 1)
    assert hook.bodies == []
    rounds(database, hook.url, now, 2, 3)
    assert len(hook.bodies) == 1


def test_somebody_is_told_when_a_silence_is_lifted(
    planter: Any, database: Database, hook: Any, now: dt.datetime
) -> None:
    """Before its time."""
    planter.plant(4, pattern="double_accept")
    kept = set_silence(database, ASKED, now)
    rounds(database, hook.url, now, 0)
    lift_silence(database, kept.id, {"by": "bob", "reason": "over"}, now + dt.timedelta(seconds=30))
    rounds(database, hook.url, now, 1)
    assert len(hook.bodies) == 1


def test_silence_of_something_else_silences_nothing(
    planter: Any, database: Database, hook: Any, now: dt.datetime
) -> None:
    """Every label that it has must fit."""
    planter.plant(4, pattern="double_accept")
    set_silence(database, {**ASKED, "environment": "staging"}, now)
    rounds(database, hook.url, now, 0)
    assert len(hook.bodies) == 1


def test_store_knows_who_silenced_what_and_who_ended_it(database: Database, now: dt.datetime) -> None:
    """Two rows that nobody changes."""
    kept = set_silence(database, {**ASKED, "route": "/ws/<b>"}, now)
    later = now + dt.timedelta(minutes=5)
    lift_silence(database, kept.id, {"by": "bob", "reason": "test is over"}, later)
    [known] = kept_silences(database, since=now)
    assert (known.by, known.silence.reason, known.silence.route) == ("alice", "load test", "/ws/<b>")
    assert (known.lifted_by, known.lift_reason, known.ended_at) == ("bob", "test is over", known.lifted_at)
    assert known.silence.until - known.set_at == dt.timedelta(hours=2)
    steps = database.rows("SELECT step FROM acceptfirst.alert_silences ORDER BY happened_at")
    assert [row["step"] for row in steps] == ["set", "lift"]


def test_silence_of_the_past_is_told_of_that_time_only(database: Database, now: dt.datetime) -> None:
    """The report of a week shows what was silent in it."""
    set_silence(database, {**ASKED, "for": "1d"}, now - dt.timedelta(days=10))
    week = {"since": now - dt.timedelta(days=12), "until": now - dt.timedelta(days=5)}
    assert len(kept_silences(database, **week)) == 1
    assert kept_silences(database, since=now) == ()
    assert kept_silences(database, since=week["since"] - dt.timedelta(days=9), until=week["since"]) == ()


def test_reason_beside_an_alert_says_who_and_until_when(database: Database, now: dt.datetime) -> None:
    """So that whoever sees it knows whom to ask."""
    set_silence(database, ASKED, now)
    labels = {"rule": "AF-03", "environment": "production"}
    said = with_kept(AlertSettings(), database, now).silenced_by(labels, now)
    assert said == f"load test (alice, until {now + dt.timedelta(hours=2):%Y-%m-%d %H:%M} UTC)"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rule": ""}, "expected at least one of rule, environment"),
        ({"rule": "AF-99"}, "expected rule to be one of AF-01"),
        ({"reason": " "}, "expected reason"),
        ({"by": ""}, "expected by"),
        ({"for": ""}, "expected either for"),
        ({"until": "2026-12-01T00:00:00Z"}, "expected either for"),
        ({"for": "soon"}, "such as 30m, 2h or 7d, but got 'soon'"),
        ({"for": "90d"}, "within the next 30 days"),
        ({"for": "", "until": "yesterday"}, "expected until to be such as"),
        ({"for": "", "until": "2020-01-01"}, "within the next 30 days"),
        ({"for": "", "until": "0001-01-01T00:00:00+23:59"}, "expected"),
        ({"route": "x" * 400}, "at most 300 characters"),
        ({"route": 3}, "expected route to be a text"),
        ({"colour": "red"}, "but got colour"),
    ],
    ids=str,
)
def test_silence_is_refused_when_it_would_hide_too_much(
    database: Database, now: dt.datetime, changed: dict[str, Any], told: str
) -> None:
    """What was expected, what came; nothing is kept."""
    with pytest.raises(SilenceError, match=told):
        set_silence(database, {**ASKED, **changed}, now)
    assert kept_silences(database, since=now) == ()


@pytest.mark.parametrize("id_", ["", "0" * 12, "'; DROP", "\ud800"])
def test_lifting_what_is_not_silenced_names_what_is(database: Database, now: dt.datetime, id_: str) -> None:
    """Their ids."""
    kept = set_silence(database, ASKED, now)
    with pytest.raises(SilenceError, match=kept.id):
        lift_silence(database, id_, {"by": "bob"}, now)
