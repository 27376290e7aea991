"""Grafana's alert rules: made from the evaluator's, and their SQL finds what the evaluator finds."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptfirst_analysis.alerts.evaluate import evaluate
from acceptfirst_analysis.alerts.rules import DIMENSIONS, all_rules
from acceptfirst_analysis.dashboards.alerting import rule_uid
from acceptfirst_store.database import Database
from acceptfirst_store.rollup import refresh_rollup

ROOT = Path(__file__).resolve().parents[2]
FILE = yaml.safe_load((ROOT / "dashboards/provisioning/alerting/acceptfirst.yaml").read_text())
RULES = {rule["uid"]: rule for rule in FILE["groups"][0]["rules"]}
OURS = {rule_uid(rule, condition): (rule, condition) for rule in all_rules() for condition in rule.conditions}

each_rule = pytest.mark.parametrize("uid", RULES)


def sql_of(uid: str) -> str:
    """What a rule asks."""
    return str(RULES[uid]["data"][0]["model"]["rawSql"])


def test_every_rule_of_ours_is_provisioned() -> None:
    """Each condition is one of Grafana's rules, evaluated every minute."""
    assert set(RULES) == set(OURS)
    assert (FILE["groups"][0]["interval"], FILE["groups"][0]["folder"]) == ("1m", "AcceptFirst")


@each_rule
def test_rule_says_what_no_data_and_an_error_mean(uid: str) -> None:
    """Grafana's defaults would wake somebody for a time-out."""
    rule, _ = OURS[uid]
    assert RULES[uid]["noDataState"] == ("Alerting" if rule.id == "AF-07" else "OK")
    assert RULES[uid]["execErrState"] == "Error"


@each_rule
def test_rule_has_a_short_uid_and_a_runbook_that_is_there(uid: str) -> None:
    """At most 40 characters."""
    assert len(uid) <= 40
    assert (ROOT / RULES[uid]["annotations"]["runbook_url"]).exists()


@each_rule
def test_rule_leads_to_a_panel_that_is_there(uid: str) -> None:
    """From the alert to the board in one click."""
    board = ROOT / "dashboards/grafana" / f"{RULES[uid]['dashboardUid']}.json"
    assert f'"id": {RULES[uid]["panelId"]},' in board.read_text()
    assert RULES[uid]["annotations"]["__panelId__"] == str(RULES[uid]["panelId"])


@each_rule
def test_rule_has_no_dollar_where_grafana_would_expand_it(uid: str) -> None:
    """Titles and labels expand $NAME, annotations ${NAME}."""
    rule = RULES[uid]
    assert "$" not in rule["title"]
    assert not any("$" in value for value in rule["labels"].values())
    assert not any("${" in text for text in rule["annotations"].values())


@each_rule
def test_rule_uses_only_macros_of_the_backend(uid: str) -> None:
    """Dashboard variables and the frontend's macros do not exist in an alert."""
    assert set(re.findall(r"\$\w+", sql_of(uid))) <= {"$__fromTime", "$__toTime"}


@each_rule
def test_rule_compares_with_the_threshold_of_ours(uid: str) -> None:
    """Query, last value, threshold."""
    _, condition = OURS[uid]
    query, reduced, threshold = RULES[uid]["data"]
    assert (query["refId"], reduced["model"]["expression"], threshold["model"]["expression"]) == ("A", "A", "B")
    assert threshold["model"]["conditions"] == [{"evaluator": {"type": "gt", "params": [condition.threshold]}}]
    assert RULES[uid]["for"] == f"{condition.for_s}s"


@pytest.mark.parametrize("uid", [uid for uid in RULES if uid != "acceptfirst-af-07"])
def test_rule_answers_with_nothing_on_an_empty_store(
    database: Database, expanded: Callable[..., str], uid: str
) -> None:
    """Which means OK. These run before the store is filled."""
    assert database.rows(expanded(sql_of(uid))) == []


# -- the same as the evaluator -----------------------------------------------------------------------------------------


def row(now: dt.datetime, number: int, age_s: float, ended_by: str, **columns: Any) -> dict[str, Any]:
    """A connection as a row of `handshakes`; accepted after 1.5 s and ready, unless something ended it."""
    began = now - dt.timedelta(seconds=age_s) + dt.timedelta(milliseconds=number)
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    is_ready = ended_by == "ready"
    values = {
        "connection_id": int(began.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10),
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "readiness_mode": "blind",
        "delay_applied_ms": 25.0,
        "weight": 1.0,
        "pending_at": began,
        "connected_at": began + dt.timedelta(milliseconds=1500) if is_ready else epoch,
        "ready_at": began + dt.timedelta(milliseconds=1600) if is_ready else epoch,
        "ended_by": "" if is_ready else ended_by,
        "first_seen": began,
        "last_seen": began + dt.timedelta(seconds=2),
    }
    return {**values, **columns}


@pytest.fixture(scope="module")
def incident(database: Database, now: dt.datetime) -> Database:
    """Everything that a rule is for, at once."""
    rows = [row(now, i, 240, "ready") for i in range(80)]
    rows += [row(now, i, 200, "exception") for i in range(30)]
    rows += [row(now, i, 180, "denial") for i in range(40)]
    rows += [row(now, i, 160, "") for i in range(5)]
    rows += [row(now, i, 86400 + 300, "ready") for i in range(60)]
    database.insert_rows("handshakes", rows)
    spans = [
        {
            "Timestamp": now - dt.timedelta(seconds=100),
            "TraceId": os.urandom(16).hex(),
            "SpanName": "websocket.violation",
            "ServiceName": "chat",
            "ScopeName": "acceptfirst",
            "SpanAttributes": {
                "acceptfirst.connection.id": os.urandom(16).hex(),
                "acceptfirst.environment": "production",
                "acceptfirst.pattern.type": "double_accept",
                "http.route": "/ws",
            },
        }
        for _ in range(4)
    ]
    database.insert_rows("otel_traces", spans)
    recommended = {"recommendation_id": "a", "updated_at": now - dt.timedelta(hours=1), "delay_ms": 100.0}
    place = {"environment": "production", "service": "chat", "route": "/ws", "verdict": "delay", "status": "proposed"}
    database.insert_rows("tuning_recommendations", [{**recommended, **place}])
    refresh_rollup(database)
    return database


@each_rule
def test_rule_of_grafana_finds_what_the_evaluator_finds(
    incident: Database, expanded: Callable[..., str], now: dt.datetime, uid: str
) -> None:
    """The same labels and the same value, from the same moment."""
    rule, condition = OURS[uid]
    evaluation = evaluate(incident, [rule], now)
    ours = {
        (tuple(sample.labels.get(name, "") for name in DIMENSIONS), sample.value)
        for sample in evaluation.samples
        if sample.condition is condition and sample.is_judged
    }
    found = incident.rows(expanded(sql_of(uid)))
    assert {(tuple(row[name] for name in DIMENSIONS), row["value"]) for row in found} == ours
    assert ours


@pytest.mark.parametrize("uid", [uid for uid in RULES if uid != "acceptfirst-af-07"])
def test_rule_holds_on_the_incident(incident: Database, expanded: Callable[..., str], uid: str) -> None:
    """The comparison above would be worth little on values that never fire."""
    _, condition = OURS[uid]
    assert max(found["value"] for found in incident.rows(expanded(sql_of(uid)))) > condition.threshold


@each_rule
def test_rule_answers_with_one_number_and_texts(incident: Database, expanded: Callable[..., str], uid: str) -> None:
    """Grafana takes texts for labels, and can't tell two numbers apart."""
    types = incident.result(expanded(sql_of(uid))).types
    assert [name for name, kind in types.items() if "Float" in kind or "Int" in kind] == ["value"]
    assert all("String" in kind for name, kind in types.items() if name != "value")
