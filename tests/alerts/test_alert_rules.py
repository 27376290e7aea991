"""The rules: each fires on the incident that it is for, and on nothing less; all stand on an empty store."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_analysis.alerts.evaluate import Evaluation, Sample, evaluate
from acceptfirst_analysis.alerts.labels import LABEL_LENGTH_MAX, fingerprint_of, safe_label
from acceptfirst_analysis.alerts.rules import Rule, all_rules, rules_without
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreUnreachable
from acceptfirst_store.statements import statement

ROOT = Path(__file__).resolve().parents[2]
RULES = {rule.id: rule for rule in all_rules()}
HOUR, DAY = 3600, 86400

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def found(database: Database, rule_id: str, at: dt.datetime) -> list[Sample]:
    """What one rule finds."""
    evaluation = evaluate(database, [RULES[rule_id]], at)
    assert evaluation.errors == {}
    return list(evaluation.samples)


def fired(database: Database, rule_id: str, at: dt.datetime) -> list[tuple[str, ...]]:
    """Window, environment, route and pattern of what holds."""
    names = ("window", "environment", "route", "pattern")
    return [tuple(s.labels.get(name, "") for name in names) for s in found(database, rule_id, at) if s.holds]


def test_there_are_eight_rules_in_order() -> None:
    """Their ids never change meaning: people have silences and runbooks for them."""
    assert list(RULES) == [f"AF-0{number}" for number in range(1, 9)]


@each_rule
def test_rule_asks_a_statement_that_says_what_it_is_for(rule: Rule) -> None:
    """The statement's comment names the rule."""
    assert f"{rule.id}" in statement(rule.statement).split("\nWITH")[0].split("\nSELECT")[0]


@each_rule
def test_rule_has_a_runbook_with_the_four_parts(rule: Rule) -> None:
    """What it means, what to look at, what to do, when to be quiet: at three in the morning nobody searches."""
    text = (ROOT / "docs" / "runbooks" / rule.runbook).read_text()
    assert text.startswith(f"# {rule.id} {rule.name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "Look at", "Do", "False alarm"]


@each_rule
def test_rule_has_labels_that_hold_no_value(rule: Rule) -> None:
    """A label that changes makes a new alert each time; its conditions are told apart."""
    assert "{value}" not in rule.name
    assert len({condition.window for condition in rule.conditions}) == len(rule.conditions)


def test_empty_store_makes_only_the_rule_about_its_emptiness_hold(database: Database, now: dt.datetime) -> None:
    """And no statement fails."""
    evaluation = evaluate(database, all_rules(), now)
    assert ([sample.rule.id for sample in evaluation.holding], evaluation.errors) == (["AF-07"], {})


def test_statement_that_fails_leaves_the_other_rules_standing(now: dt.datetime) -> None:
    """The error is told beside what the others found."""

    class Broken:
        def statement_rows(self, name: str, _: Any = None) -> list[dict[str, Any]]:
            if name == "alert_budget_burn":
                raise StoreUnreachable("too slow")
            return []

    evaluation: Evaluation = evaluate(Broken(), all_rules(), now)
    assert evaluation.errors == {"AF-01": "too slow", "AF-02": "too slow"}
    assert [sample.rule.id for sample in evaluation.holding] == ["AF-07"]


# -- each rule, with an incident and with something less ---------------------------------------------------------------


def test_fast_burn_holds_in_both_windows_of_an_outage(planter: Any, database: Database, now: dt.datetime) -> None:
    """2 % of failures is 20 times the objective: more than 14.4 and than 6."""
    for age_s in (60, 1200):
        planter.plant(98, age_s=age_s)
        planter.plant(2, "failed", age_s=age_s)
    planter.plant(100, environment="staging")
    planter.settle()
    assert fired(database, "AF-01", now) == [("1h", "production", "/ws", ""), ("6h", "production", "/ws", "")]


def test_burn_value_is_the_rate_in_units_of_the_objective(planter: Any, database: Database, now: dt.datetime) -> None:
    """Of the window that burns less: 4 of 200 in the long one, 4 of 100 in the short one."""
    planter.plant(96)
    planter.plant(4, "early")
    planter.plant(100, age_s=1200)
    planter.settle()
    assert found(database, "AF-01", now)[0].value == pytest.approx(4 / 200 / 0.001)


def test_fast_burn_does_not_hold_once_the_outage_is_over(planter: Any, database: Database, now: dt.datetime) -> None:
    """The short window says so, while the long one still burns."""
    planter.plant(50, "failed", age_s=3000)
    planter.plant(100, age_s=60)
    planter.settle()
    assert fired(database, "AF-01", now) == []


def test_fast_burn_does_not_hold_once_nobody_connects(planter: Any, database: Database, now: dt.datetime) -> None:
    """A short window without a handshake says nothing of an outage that goes on."""
    planter.plant(60, "failed", age_s=3000)
    planter.settle()
    assert fired(database, "AF-01", now) == []


def test_burn_does_not_hold_on_few_handshakes(planter: Any, database: Database, now: dt.datetime) -> None:
    """Below 50, or with fewer than three failures, a rate is an anecdote."""
    planter.plant(46)
    planter.plant(3, "failed")
    planter.plant(98, route="/two")
    planter.plant(2, "failed", route="/two")
    planter.settle()
    assert fired(database, "AF-01", now) == []


def test_refused_and_open_handshakes_do_not_burn_the_budget(planter: Any, database: Database, now: dt.datetime) -> None:
    """A wrong token is not our fault, and what is open may become ready."""
    planter.plant(60, "rejected")
    planter.plant(60, "open")
    planter.settle()
    assert fired(database, "AF-01", now) == []


def test_slow_burn_holds_where_the_fast_one_does_not(planter: Any, database: Database, now: dt.datetime) -> None:
    """4 in 1,000, for a day."""
    for age_s in (600, 5 * HOUR, 20 * HOUR):
        planter.plant(996, age_s=age_s)
        planter.plant(4, "failed", age_s=age_s)
    planter.settle()
    assert fired(database, "AF-01", now) == []
    assert [window for window, *_ in fired(database, "AF-02", now)] == ["1d", "3d"]


def test_order_violations_hold_from_the_third_connection(planter: Any, database: Database, now: dt.datetime) -> None:
    """In ten minutes, in production, per pattern; also of connections that were not drawn."""
    planter.plant(3, pattern="send_after_close", weight=0)
    planter.plant(2, pattern="double_accept")
    planter.plant(9, pattern="double_accept", environment="staging")
    planter.plant(9, pattern="double_close", age_s=900)
    assert fired(database, "AF-03", now) == [("", "production", "/ws", "send_after_close")]


def test_order_violation_counts_when_it_happens(planter: Any, database: Database, now: dt.datetime) -> None:
    """Not when its connection began: many a race is in the goodbye."""
    planter.plant(3, pattern="send_after_close", age_s=7200, violation_age_s=30)
    assert fired(database, "AF-03", now) == [("", "production", "/ws", "send_after_close")]


def test_order_violation_sent_twice_counts_once(planter: Any, database: Database, now: dt.datetime) -> None:
    """Spans that came again in another framing are the same connections."""
    planter.plant(2, pattern="double_accept")
    database.run("INSERT INTO acceptfirst.otel_traces SELECT * FROM acceptfirst.otel_traces")
    assert fired(database, "AF-03", now) == []


def test_accept_latency_holds_above_a_second(planter: Any, database: Database, now: dt.datetime) -> None:
    """The 99th percentile, per route."""
    planter.plant(100, accept_ms=1500, route="/slow")
    planter.plant(100, accept_ms=900, route="/fast")
    planter.plant(49, accept_ms=5000, route="/few")
    planter.settle()
    assert fired(database, "AF-04", now) == [("", "production", "/slow", "")]


def test_stuck_handshakes_hold_between_half_a_minute_and_an_hour(
    planter: Any, database: Database, now: dt.datetime
) -> None:
    """A younger one may still be ended, an older one belongs to a process that is gone."""
    planter.plant(2, "open", age_s=120)
    planter.plant(1, "open", age_s=10, route="/young")
    planter.plant(1, "open", age_s=4000, route="/old")
    planter.plant(1, age_s=120, route="/fine")
    samples = found(database, "AF-05", now)
    assert [(sample.labels["route"], sample.value, sample.holds) for sample in samples] == [("/ws", 2.0, True)]


def test_reject_surge_holds_against_the_same_hour_of_other_days(
    planter: Any, database: Database, now: dt.datetime
) -> None:
    """5 % usually, 40 % now; another hour's share does not matter."""
    planter.plant(60)
    planter.plant(40, "rejected")
    for day in (1, 3):
        planter.plant(95, age_s=day * DAY + 600)
        planter.plant(5, "rejected", age_s=day * DAY + 600)
        planter.plant(200, "rejected", age_s=day * DAY + 4 * HOUR)
    planter.settle()
    [sample] = found(database, "AF-06", now)
    assert (sample.n, sample.holds) == (100, True)
    assert sample.value == pytest.approx(0.4 / 0.05)


def test_reject_surge_says_nothing_without_a_baseline(planter: Any, database: Database, now: dt.datetime) -> None:
    """A route of today has no usual share."""
    planter.plant(60)
    planter.plant(40, "rejected")
    planter.settle()
    assert found(database, "AF-06", now) == []


def test_ingest_is_stale_after_five_minutes(planter: Any, database: Database, now: dt.datetime) -> None:
    """Counted from the end of the latest span."""
    planter.plant(1, age_s=200)
    assert fired(database, "AF-07", now) == []
    assert fired(database, "AF-07", now + dt.timedelta(seconds=101)) == [("", "", "", "")]


def test_ingest_is_not_fresh_by_a_span_from_the_future(planter: Any, database: Database, now: dt.datetime) -> None:
    """One clock that is wrong would hide that nothing comes any more."""
    planter.plant(1, age_s=900)
    planter.plant(1, age_s=-7200)
    assert fired(database, "AF-07", now) == [("", "", "", "")]


def recommendation(now: dt.datetime, **columns: Any) -> dict[str, Any]:
    """A row of tuning_recommendations: 100 ms for the chat's route."""
    row = {
        "recommendation_id": "a",
        "created_at": now - dt.timedelta(hours=1),
        "updated_at": now - dt.timedelta(hours=1),
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "verdict": "delay",
        "delay_ms": 100.0,
        "status": "proposed",
    }
    return {**row, **columns}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, [("", "production", "/ws", "")]),
        ({"delay_ms": 28.0}, []),
        ({"status": "rejected"}, []),
        ({"verdict": "gate"}, []),
        ({"route": "/other"}, []),
    ],
    ids=["off", "near", "rejected", "no delay", "elsewhere"],
)
def test_tuning_drift_holds_when_the_delay_is_off(
    planter: Any, database: Database, now: dt.datetime, columns: dict[str, Any], expected: list[Any]
) -> None:
    """25 ms are applied: by three quarters off 100, by a tenth off 28."""
    planter.plant(5, mode="blind", delay_ms=25)
    database.insert_rows("tuning_recommendations", [recommendation(now, **columns)])
    assert fired(database, "AF-08", now) == expected


def test_environment_narrows_every_rule(planter: Any, database: Database, now: dt.datetime) -> None:
    """What is asked about staging is answered about staging."""
    planter.plant(60, "failed")
    planter.plant(3, pattern="double_accept")
    planter.plant(2, "open", age_s=120)
    planter.settle()
    evaluation = evaluate(database, all_rules(), now, environment="staging")
    assert [sample.rule.id for sample in evaluation.holding] == ["AF-07"]


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/ws/чат", "/ws/чат"),
        ("/a\u202egnp.exe", "/a\ufffdgnp.exe"),
        ("/a\n\x1b[31m", "/a\ufffd\ufffd[31m"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_label_keeps_letters_and_nothing_that_moves_them(text: str, shown: str) -> None:
    """What is to be escaped is escaped where it is shown; what turns a line round is gone."""
    assert safe_label(text) == shown


def test_label_of_a_megabyte_is_cut_and_stays_its_own() -> None:
    """Two long routes that begin alike are two alerts."""
    first, second = safe_label("/x" * 500_000), safe_label("/x" * 500_000 + "y")
    assert (len(first), len(second)) == (LABEL_LENGTH_MAX, LABEL_LENGTH_MAX)
    assert first != second


def test_hostile_route_becomes_a_label_that_can_be_shown(planter: Any, database: Database, now: dt.datetime) -> None:
    """From the span to the alert."""
    route = "/\u202e<img src=x onerror=alert(1)>" + "A" * 1_000_000
    planter.plant(3, pattern="double_accept", route=route)
    [sample] = [sample for sample in found(database, "AF-03", now) if sample.holds]
    assert len(sample.labels["route"]) == LABEL_LENGTH_MAX
    assert sample.sentence(sample.rule.summary).isprintable()


def test_route_with_braces_is_no_template(planter: Any, database: Database, now: dt.datetime) -> None:
    """It stands in the summary as it came."""
    planter.plant(3, pattern="double_accept", route="/ws/{room}/{value.__class__}")
    [sample] = [sample for sample in found(database, "AF-03", now) if sample.holds]
    assert "/ws/{room}/{value.__class__}" in sample.sentence(sample.rule.summary)


def test_fingerprint_does_not_depend_on_the_order_of_labels() -> None:
    """It is the identity across restarts."""
    assert fingerprint_of({"a": "1", "b": "2"}) == fingerprint_of({"b": "2", "a": "1"})


def test_rule_that_is_unknown_can_not_be_disabled() -> None:
    """A slip of the pen would leave it on."""
    with pytest.raises(ValueError, match="AF-99"):
        rules_without(("AF-99",))
