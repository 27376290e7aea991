"""A check of a range answers for many looks in one pass; what each look alone answers says what is right."""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest

from acceptfirst_analysis.alerts.check import Found, check, look_back
from acceptfirst_analysis.alerts.evaluate import evaluate
from acceptfirst_analysis.alerts.rules import Rule, all_rules
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreUnreachable

RULES = [rule for rule in all_rules() if rule.no_data == "ok"]
[STUCK] = (rule for rule in RULES if rule.id == "AF-05")
HOUR, DAY = 3600, 86400
FINE_S, COARSE_S = 300, 14400


def plant_at_random(planter: Any, drawn: random.Random, step_s: int) -> None:
    """Eleven days of traffic with lulls, much of it just before a look, and trouble of every kind."""
    since_a_look_s = planter.now.timestamp() % step_s
    groups: list[tuple[int, str, dict[str, Any]]] = []
    for _ in range(120):
        where: dict[str, Any] = {
            "age_s": drawn.choice(
                [
                    drawn.uniform(0, 11 * DAY),
                    since_a_look_s + step_s * drawn.randint(0, 11) + drawn.uniform(0, 900),
                    since_a_look_s + DAY * drawn.randint(0, 8) + drawn.uniform(0, 2 * HOUR),
                ]
            ),
            "environment": drawn.choice(["production", "production", "staging"]),
            "route": drawn.choice(["/ws", "/chat"]),
            "weight": drawn.choice([1, 1, 10 / 3, 0]),
            "accept_ms": drawn.choice([5, 900, 1500, 4000]),
        }
        where |= drawn.choice([{}, {"mode": "blind", "delay_ms": drawn.choice([20, 25, 60])}])
        kind = drawn.choice(["ready", "ready", "early", "failed", "rejected", "open", "violation"])
        if kind == "violation":
            where |= {"pattern": drawn.choice(["double_accept", "send_after_close"])}
            where |= {"violation_age_s": max(0, where["age_s"] - drawn.uniform(0, HOUR))}
        groups.append((drawn.choice([1, 2, 3, 12, 60]), "ready" if kind == "violation" else kind, where))
    planter.plant_all(groups)


def plant_recommendations(database: Database, now: dt.datetime, drawn: random.Random) -> None:
    """Of each route several, of which the latest at a look is the one that counts."""
    rows = [
        {
            "recommendation_id": f"{number}",
            "created_at": at,
            "updated_at": at,
            "environment": drawn.choice(["production", "staging"]),
            "service": "chat",
            "route": drawn.choice(["/ws", "/chat"]),
            "verdict": drawn.choice(["delay", "delay", "delay", "gate", "code_fix"]),
            "delay_ms": drawn.choice([21.0, 24.0, 100.0]),
            "status": drawn.choice(["proposed", "applied", "rejected"]),
        }
        for number in range(12)
        for at in [now - dt.timedelta(seconds=drawn.uniform(0, drawn.choice([5 * HOUR, 11 * DAY])))]
    ]
    database.insert_rows("tuning_recommendations", rows)


def looked_at_one_by_one(
    database: Database, since: dt.datetime, until: dt.datetime, step_s: int, rules: Sequence[Rule] = RULES
) -> dict[tuple[tuple[str, str], ...], tuple[Any, ...]]:
    """Labels of what held at any look → the worst value, its n, the first and the last look."""
    held: dict[tuple[tuple[str, str], ...], tuple[Any, ...]] = {}
    at = dt.datetime.fromtimestamp((int(since.timestamp()) // step_s + 1) * step_s, dt.UTC)
    while at < until:
        evaluation = evaluate(database, rules, at)
        assert evaluation.errors == {}
        for sample in evaluation.holding:
            key = tuple(sorted(sample.labels.items()))
            value, n, first_at, _ = held.get(key, (float("-inf"), 0, at, at))
            worst = (sample.value, sample.n) if (sample.value or 0) > value * (1 + 1e-12) else (value, n)
            held[key] = (*worst, first_at, at)
        at += dt.timedelta(seconds=step_s)
    return held


def as_one_by_one(findings: tuple[Found, ...]) -> dict[tuple[tuple[str, str], ...], tuple[Any, ...]]:
    """The same of what one pass found; sums of fractions differ in the last digit by the order of adding up."""
    return {
        tuple(sorted(found.sample.labels.items())): (
            pytest.approx(found.sample.value, rel=1e-9),
            found.sample.n,
            found.first_at,
            found.last_at,
        )
        for found in findings
    }


@pytest.mark.parametrize(
    ("seed", "looks"), [(1, (FINE_S, HOUR)), (2, (FINE_S, HOUR)), (1, (COARSE_S, 2 * DAY)), (2, (COARSE_S, 2 * DAY))]
)
def test_range_is_answered_as_look_by_look(
    planter: Any, database: Database, now: dt.datetime, seed: int, looks: tuple[int, int]
) -> None:
    """Every rule, drawn traffic: the same labels, worst values, and first and last looks."""
    step_s, span_s = looks
    drawn = random.Random(seed)  # noqa: S311 - traffic for a test, not a secret
    plant_at_random(planter, drawn, step_s)
    plant_recommendations(database, now, drawn)
    planter.settle()
    since, until = now - dt.timedelta(seconds=span_s), now
    passed = look_back(database, RULES, since, until, step_s=step_s)
    assert passed.errors == {}
    expected = looked_at_one_by_one(database, since, until, step_s)
    assert expected == as_one_by_one(passed.findings)
    assert len({dict(labels)["rule"] for labels in expected}) > 2  # or nothing was compared


def test_range_sees_the_ids_that_each_look_sees(database: Database, now: dt.datetime) -> None:
    """An id some minutes older than its spans, one older than that, and one that was hashed under its day."""
    begun = now - dt.timedelta(minutes=70)
    midnight = begun.replace(hour=0, minute=0, second=0)
    ids = {"/near": begun - dt.timedelta(minutes=9), "/far": begun - dt.timedelta(minutes=40), "/hashed": midnight}
    rows = [
        {
            "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10),
            "environment": "production",
            "route": route,
            "weight": 1.0,
            "first_seen": begun,
            "last_seen": begun,
        }
        for route, at in ids.items()
    ]
    database.insert_rows("handshakes", rows)
    since = now - dt.timedelta(hours=2)
    passed = look_back(database, [STUCK], since, now, step_s=FINE_S)
    expected = looked_at_one_by_one(database, since, now, FINE_S, rules=[STUCK])
    assert expected == as_one_by_one(passed.findings)
    looked = {dict(labels)["route"]: last - first for labels, (*_, first, last) in expected.items()}
    assert looked["/near"] == looked["/hashed"] == max(looked.values())
    assert looked["/far"] < looked["/near"]


def test_range_finds_what_happened_when_nobody_connected(planter: Any, database: Database, now: dt.datetime) -> None:
    """A violation counts when it happens, hours after its connection began; and nobody came since."""
    planter.plant(3, pattern="send_after_close", age_s=7 * HOUR, violation_age_s=2 * HOUR)
    planter.settle()
    found = check(database, RULES, since=now - dt.timedelta(hours=5), until=now)
    assert [each.sample.rule.id for each in found.findings] == ["AF-03"]
    assert found.findings[0].last_at - found.findings[0].first_at == dt.timedelta(minutes=5)


def test_range_holds_until_the_last_look_at_which_it_did(planter: Any, database: Database, now: dt.datetime) -> None:
    """A window goes on holding an outage after the last connection."""
    planter.plant(60, "failed", age_s=4 * HOUR)
    planter.settle()
    found = check(database, RULES, since=now - dt.timedelta(hours=12), until=now)
    lasted = {each.sample.labels["window"]: each.last_at - each.first_at for each in found.findings}
    assert dt.timedelta(minutes=25) <= lasted["6h"] <= dt.timedelta(minutes=30)  # its short window is half an hour
    assert found.findings[-1].last_at == now


def test_range_may_be_as_long_as_time(planter: Any, database: Database, now: dt.datetime) -> None:
    """What it costs depends on what is stored; nobody has to cut years into weeks."""
    planter.plant(60, "failed", age_s=10 * HOUR)
    planter.settle()
    beginning, end = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2199, 12, 31, tzinfo=dt.UTC)
    found = check(database, RULES, since=beginning, until=end)
    assert (found.errors, {each.sample.rule.id for each in found.findings}) == ({}, {"AF-01", "AF-02"})


def test_range_is_narrowed_to_an_environment(planter: Any, database: Database, now: dt.datetime) -> None:
    """Whoever asks about staging is not told of production."""
    planter.plant(60, "failed", age_s=HOUR)
    planter.plant(60, "failed", age_s=HOUR, environment="staging")
    planter.settle()
    found = check(database, RULES, since=now - dt.timedelta(hours=2), until=now, environment="staging")
    assert {each.sample.labels["environment"] for each in found.findings} == {"staging"}


def test_range_is_told_of_with_what_could_be_asked(now: dt.datetime) -> None:
    """A statement that fails leaves the other rules standing."""

    class Broken:
        def statement_rows(self, name: str, _: Any = None) -> list[dict[str, Any]]:
            if name == "alert_budget_burn_range":
                raise StoreUnreachable("too slow")
            return [{"connections": 7}] if name == "alert_connections" else []

    found = check(Broken(), RULES, since=now - dt.timedelta(hours=2), until=now)
    assert (found.handshakes, found.errors) == (7, {"AF-01": "too slow", "AF-02": "too slow"})


def test_weights_beyond_reason_do_not_stop_a_check(planter: Any, database: Database, now: dt.datetime) -> None:
    """They come from outside; a whole unit that overflows would say anything."""
    planter.plant(30, "failed", age_s=HOUR, weight=1e300)
    planter.plant(60, "failed", age_s=HOUR, weight=-1e300, route="/other")
    planter.settle()
    assert check(database, RULES, since=now - dt.timedelta(hours=2), until=now).errors == {}
