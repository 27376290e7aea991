"""What handshakes meant for users: counted by hand, and nothing claimed that is not known."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.value import BusinessValue, business_value
from acceptfirst_analysis.window import Window, window_between
from acceptfirst_store.database import Database


def valued(handshakes: Any, window: Window) -> BusinessValue:
    """What the store says, at 2 s a violation."""
    handshakes.write()
    return business_value(handshakes.database, window, settings=Settings(lambda_ms=2000.0))


def test_week_counts_what_users_met(handshakes: Any, window: Window) -> None:
    """Ten connections: two abandoned, three with early messages, of two known users and one unknown."""
    for i in range(5):
        handshakes.add(ready_ms=40.0, first_message_ns=int((10 + i) * 1e6), gate="hold", user_hash="ann")
    for user in ("ann", "bob", ""):
        handshakes.add(ready_ms=40.0, messages_early=2, first_message_ns=int(50e6), gate="hold", user_hash=user)
    for _ in range(2):
        handshakes.add("CAD", None)
    (week,) = valued(handshakes, window).weeks
    assert (week.environment, week.week, week.handshakes) == ("production", "2026-W47", 10.0)
    assert (week.reached_ready.events, week.reached_ready.n) == (8, 10)
    assert (week.messages_early, week.connections_affected, week.users_affected) == (6, 3, 2)
    assert week.identified_share == pytest.approx(2 / 3)
    assert (week.first_message_p50_ms, week.first_message_p95_ms) == (14.0, 50.0)
    assert (week.wait_s, week.wasted_s, week.lost_s) == (0.32, 0.0, 6.0)


def test_time_that_was_waited_for_nothing_is_lost(handshakes: Any, window: Window) -> None:
    """A blind delay of 100 ms where the application was ready after 30; each counts for ten."""
    for _ in range(10):
        handshakes.add(
            ready_ms=100.0,
            readiness_mode="blind",
            gate="hold",
            delay_applied_ms=100.0,
            phases={"ready": 30.0},
            weight=10.0,
        )
    (week,) = valued(handshakes, window).weeks
    assert (week.wait_s, week.wasted_s, week.lost_s) == (10.0, 7.0, 7.0)


def test_undrawn_violations_count_once_and_no_handshake(handshakes: Any, window: Window) -> None:
    """Each is exported; none is in a share."""
    handshakes.add(weight=4.0)
    handshakes.add(weight=0.0, messages_early=1, patterns=["early_message_before_ready"])
    for row in handshakes.rows:
        row.setdefault("patterns", [])
    (week,) = valued(handshakes, window).weeks
    assert (week.handshakes, week.reached_ready.n, week.connections_affected, week.messages_early) == (4.0, 1, 1, 1)


def test_users_are_unknown_when_nobody_was_identified(handshakes: Any, window: Window) -> None:
    """Not none: nobody knows."""
    handshakes.add(messages_early=1)
    (week,) = valued(handshakes, window).weeks
    assert (week.users_affected, week.identified_share) == (None, 0.0)


def test_message_that_waited_in_auto_mode_is_not_early(handshakes: Any, window: Window) -> None:
    """Readiness is the first receive there; nothing can come before it."""
    handshakes.add(readiness_mode="auto", messages_early=3)
    (week,) = valued(handshakes, window).weeks
    assert (week.messages_early, week.connections_affected) == (0, 0)


def test_weeks_and_environments_are_apart(handshakes: Any, window: Window) -> None:
    """In order."""
    handshakes.add()
    handshakes.add(environment="staging")
    handshakes.add(first_seen=window.since - timedelta(days=3))
    wide = window_between(window.since - timedelta(days=7), window.until, now=window.until)
    found = [(row.environment, row.week) for row in valued(handshakes, wide).weeks]
    assert found == [("production", "2026-W46"), ("production", "2026-W47"), ("staging", "2026-W47")]


def test_saving_is_the_difference_of_the_rates_times_the_connections(handshakes: Any, window: Window) -> None:
    """30 of 100 late behind 25 ms, none of 200 behind a gate of 40: 60 avoided at 2 s each, less 3 s of waiting."""
    for i in range(100):
        late = {"phases": {"ready": 90.0 if i < 30 else 5.0}}
        handshakes.add(ready_ms=25.0, readiness_mode="blind", gate="hold", delay_applied_ms=25.0, **late)
    for _ in range(200):
        handshakes.add(ready_ms=40.0, gate="hold", policy_version="new")
    (saving,) = valued(handshakes, window).savings
    assert (saving.connections, saving.violations_avoided, saving.is_shown) == (200, 60.0, True)
    assert (saving.wait_saved_s, saving.saved_s) == (-3.0, 117.0)


def test_document_is_json_and_empty_when_nothing_is_stored(database: Database, window: Window) -> None:
    """No weeks, no savings."""
    document = business_value(database, window).to_document()
    assert (document["weeks"], document["savings"]) == ([], [])
    assert json.loads(json.dumps(document, allow_nan=False)) == document
