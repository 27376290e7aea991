"""Whole rounds on a real store with real receivers: fires, fires once, stays over restarts, ends."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.round import Round, run_round
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver, Silence
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreUnreachable


@pytest.fixture
def hook(web_receiver: Callable[[], Any]) -> Any:
    """A webhook that keeps what it is sent."""
    return web_receiver()


def settings_for(*urls: str, **values: Any) -> AlertSettings:
    """Webhooks on the loopback are told."""
    receivers = tuple(Receiver(name=f"hook{i}", kind="webhook", url=url) for i, url in enumerate(urls))
    values = {"receivers": receivers, "allowed_hosts": ("127.0.0.1",), "disabled": ("AF-07",), **values}
    return AlertSettings(**values)


def rounds(database: Database, settings: AlertSettings, at: dt.datetime, *minutes: float) -> list[Round]:
    """Rounds at some minutes from an instant."""
    return [run_round(database, settings, at + dt.timedelta(minutes=minute)) for minute in minutes]


def test_round_without_an_incident_tells_nobody(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """A healthy minute."""
    planter.plant(100)
    planter.settle()
    [done] = rounds(database, settings_for(hook.url), now, 0)
    assert (done.episodes, hook.bodies) == ((), [])


def test_alert_fires_once_over_many_rounds(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """Every round reads its memory from the store: each is a restart."""
    planter.plant(4, pattern="double_accept")
    rounds(database, settings_for(hook.url), now, 0, 1, 2, 3)
    assert [body["status"] for body in hook.bodies] == ["firing"]


def test_alert_that_must_last_is_pending_before_it_fires(
    planter: Any, database: Database, hook: Any, now: dt.datetime
) -> None:
    """Two minutes for the fast burn; nobody is told in the first."""
    planter.plant(100, "failed")
    planter.settle()
    done = rounds(database, settings_for(hook.url), now, 0, 1, 2)
    hourly = [e.state for each in done for e in each.episodes if (e.rule_id, e.labels["window"]) == ("AF-01", "1h")]
    assert hourly == ["pending", "pending", "firing"]
    assert [body["groupLabels"]["alertname"] for body in hook.bodies] == ["HandshakeBudgetBurnFast"]


def test_end_is_told_once(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """Ten minutes after the violations left the window."""
    past = now - dt.timedelta(minutes=60)
    planter.plant(4, pattern="double_accept", age_s=3660)
    rounds(database, settings_for(hook.url), past, 0, 5, 11, 15, 22, 23, 24)
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"]


def test_receiver_that_was_down_is_told_when_it_is_back(
    planter: Any, database: Database, hook: Any, web_receiver: Callable[[], Any], now: dt.datetime
) -> None:
    """The other one is not told twice meanwhile."""
    down = web_receiver()
    down.status = 503
    settings = settings_for(hook.url, down.url)
    planter.plant(4, pattern="double_accept")
    rounds(database, settings, now, 0)
    down.status = 200
    rounds(database, settings, now, 1, 2)
    assert (len(hook.bodies), [body["status"] for body in down.bodies]) == (1, ["firing", "firing"])


def test_silence_that_ends_lets_the_alert_out(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """Once."""
    silence = Silence(rule="AF-03", until=now + dt.timedelta(minutes=2), reason="known")
    planter.plant(4, pattern="double_accept")
    rounds(database, settings_for(hook.url, silences=(silence,)), now, 0, 1)
    assert hook.bodies == []
    rounds(database, settings_for(hook.url, silences=(silence,)), now, 2, 3)
    assert len(hook.bodies) == 1


def test_nobody_is_told_when_the_memory_can_not_be_written(
    planter: Any, database: Database, hook: Any, now: dt.datetime
) -> None:
    """Or everybody would be told again by each round."""

    class Forgetful:
        statement_rows = database.statement_rows

        def insert_rows(self, *_: Any) -> None:
            raise StoreUnreachable("the disk is full")

    planter.plant(4, pattern="double_accept")
    with pytest.raises(StoreUnreachable):
        run_round(Forgetful(), settings_for(hook.url), now)
    assert hook.bodies == []


def test_round_says_what_it_did(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """In JSON, for the job's answer."""
    planter.plant(4, pattern="double_accept")
    settings = settings_for(hook.url)
    [done] = rounds(database, settings, now, 0)
    answer = done.to_json(settings)
    assert (answer["schema_version"], answer["counts"]) == (1, {"pending": 0, "firing": 1, "resolved": 0})
    assert answer["deliveries"] == [{"receiver": "hook0", "alerts": 1, "error": None}]
    assert (answer["alerts"][0]["pattern"], answer["alerts"][0]["value"]) == ("double_accept", 4.0)


def test_store_has_one_row_an_episode(planter: Any, database: Database, hook: Any, now: dt.datetime) -> None:
    """However often it was written."""
    planter.plant(4, pattern="double_accept")
    done = rounds(database, settings_for(hook.url), now, 0, 1, 2)
    episode: Episode = done[0].episodes[0]
    rows = database.rows("SELECT fingerprint, state FROM acceptfirst.alert_states FINAL")
    assert rows == [{"fingerprint": episode.fingerprint, "state": "firing"}]
