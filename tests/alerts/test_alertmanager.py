"""Against Debian's Alertmanager: it takes our alerts, knows when they are over, and silence is silence."""

from __future__ import annotations

import datetime as dt
from typing import Any

from acceptfirst_analysis.alerts.round import Round, run_round
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver, Silence
from acceptfirst_store.database import Database


def settings_for(url: str, **values: Any) -> AlertSettings:
    """An Alertmanager on the loopback is told; the rule about stale data would only disturb."""
    receiver = Receiver(name="pager", kind="alertmanager", url=url)
    values = {"receivers": (receiver,), "allowed_hosts": ("127.0.0.1",), "disabled": ("AF-07",), **values}
    return AlertSettings(**values)


def rounds(database: Database, settings: AlertSettings, now: dt.datetime, *minutes: float) -> list[Round]:
    """Rounds at some minutes from now."""
    return [run_round(database, settings, now + dt.timedelta(minutes=minute)) for minute in minutes]


def test_alertmanager_receives_an_alert_with_its_labels(
    planter: Any, database: Database, alertmanager: Any, now: dt.datetime
) -> None:
    """Labels are its identity, annotations hold what changes."""
    planter.plant(4, pattern="double_accept", route="/ws/<script>")
    [done] = rounds(database, settings_for(alertmanager.url), now, 0)
    assert [outcome.error for outcome in done.outcomes] == [""]
    [alert] = alertmanager.alerts()
    assert alert["labels"] == {
        "alertname": "OrderViolationInProd",
        "rule": "AF-03",
        "severity": "warning",
        "environment": "production",
        "service": "chat",
        "route": "/ws/<script>",
        "pattern": "double_accept",
    }
    assert (alert["annotations"]["value"], alert["status"]["state"]) == ("4", "active")


def test_alertmanager_has_one_alert_after_many_rounds(
    planter: Any, database: Database, alertmanager: Any, now: dt.datetime
) -> None:
    """Sent every time, it stays the same one with the same beginning."""
    planter.plant(4, pattern="double_accept")
    rounds(database, settings_for(alertmanager.url), now, 0)
    [first] = alertmanager.alerts()
    rounds(database, settings_for(alertmanager.url), now, 0.25, 0.5)
    [later] = alertmanager.alerts()
    assert (later["startsAt"], later["fingerprint"]) == (first["startsAt"], first["fingerprint"])


def test_alertmanager_hears_of_the_end(planter: Any, database: Database, alertmanager: Any, now: dt.datetime) -> None:
    """A resolved alert is no active one. Switching the rule off ends its alert at once, so nobody has to wait."""
    planter.plant(4, pattern="double_accept")
    rounds(database, settings_for(alertmanager.url), now, 0)
    assert len(alertmanager.alerts()) == 1
    [last] = rounds(database, settings_for(alertmanager.url, disabled=("AF-03", "AF-07")), now, 0.25)
    assert [episode.state for episode in last.episodes] == ["resolved"]
    assert alertmanager.alerts() == []


def test_alertmanager_is_not_told_of_what_is_silenced(
    planter: Any, database: Database, alertmanager: Any, now: dt.datetime
) -> None:
    """It is remembered all the same."""
    planter.plant(4, pattern="double_accept")
    silence = Silence(rule="AF-03", until=now + dt.timedelta(hours=1), reason="known")
    [done] = rounds(database, settings_for(alertmanager.url, silences=(silence,)), now, 0)
    assert ([episode.state for episode in done.episodes], done.outcomes) == (["firing"], ())
    assert alertmanager.alerts() == []
