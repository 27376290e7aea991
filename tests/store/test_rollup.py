"""The rollup says what the stored handshakes say, whatever came twice, late or in another order."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acceptfirst_store.database import Database
from acceptfirst_store.rollup import MINUTE_SECONDS, OVERLAP_SECONDS, recompute_minutes, refresh_rollup

MakeSpan = Callable[..., dict[str, Any]]

ROW = """
SELECT * EXCEPT (accept_ms, ready_ms, users, computed_at, version, is_deleted),
    finalizeAggregation(accept_ms)[1] AS accept_median_ms, finalizeAggregation(ready_ms)[1] AS ready_median_ms,
    finalizeAggregation(users) AS users
FROM acceptfirst.handshake_rollup_1m FINAL
WHERE route = {route:String}
ORDER BY ALL
"""


@pytest.fixture
def rolled_up(database: Database, route: str) -> Callable[[], list[dict[str, Any]]]:
    """Refresh the rollup, then read the rows of the test's route."""

    def read() -> list[dict[str, Any]]:
        refresh_rollup(database)
        return database.rows(ROW, {"route": route})

    return read


RolledUp = Callable[[], list[dict[str, Any]]]


Handshake = Callable[..., list[dict[str, Any]]]


def _violation(spans: list[dict[str, Any]], pattern: str) -> dict[str, Any]:
    attributes = {**spans[0]["SpanAttributes"], "acceptfirst.pattern.type": pattern}
    return {**spans[0], "SpanName": "websocket.violation", "SpanAttributes": attributes}


def test_rollup_is_empty_when_the_store_is_empty(database: Database, rolled_up: RolledUp) -> None:
    """A pass over nothing writes nothing."""
    assert rolled_up() == []


def test_rollup_counts_by_weight_and_takes_quantiles_of_drawn_rows(
    database: Database, rolled_up: RolledUp, handshake: Handshake, route: str, now_ns: int
) -> None:
    """Each column of the row says what the migration promises."""
    shared = {"readiness__mode": "event", "policy__version": "v1", "policy__arm": "canary", "messages__early": "3"}
    drawn = handshake(25, weight="2.5", user__hash="ada", **shared)
    slower = handshake(45, weight="2.5", user__hash="bob", **shared)
    kept = handshake(70, weight="0", user__hash="ada", **shared)
    early = "early_message_before_ready"
    database.insert_rows(
        "otel_traces",
        [*drawn, *slower, *kept, _violation(drawn, early), _violation(kept, early), _violation(kept, "double_close")],
    )
    [row] = rolled_up()
    began = dt.datetime.fromtimestamp(now_ns // 1_000_000_000, dt.UTC).replace(second=0)
    assert row == {
        "minute": began,
        "environment": "production",
        "service": "chat",
        "service_version": "7",
        "route": route,
        "readiness_mode": "event",
        "policy_version": "v1",
        "policy_arm": "canary",
        "handshakes": 5.0,
        "ready": 5.0,
        "ready_early": 2.5,
        "rejected": 0.0,
        "failed": 0.0,
        "abandoned": 0.0,
        "timed_out": 0.0,
        "open": 0.0,
        "n": 2,
        "connections": 3,
        "accept_median_ms": 10.0,
        "ready_median_ms": pytest.approx(35, abs=10),
        "messages_early": 15.0,
        "violations": {early: 2, "double_close": 1},
        "patterns": {},
        "users": 2,
    }


@pytest.mark.parametrize(
    ("left", "entered", "trigger", "outcome"),
    [
        ("CONNECTED", "ERROR", "timeout", "timed_out"),
        ("HANDSHAKE_PENDING", "ERROR", "exception", "failed"),
        ("HANDSHAKE_PENDING", "CLOSED", "denial", "rejected"),
        ("CONNECTED", "CLOSED", "disconnect", "abandoned"),
        ("HANDSHAKE_PENDING", "CONNECTED", "accept", "open"),
    ],
)
def test_rollup_counts_each_outcome_in_its_column(
    database: Database,
    rolled_up: RolledUp,
    handshake: Handshake,
    *,
    left: str,
    entered: str,
    trigger: str,
    outcome: str,
) -> None:
    """The outcomes are those of the handshake, and add up to all."""
    [span, *_] = handshake(weight="4")
    named = {"state.from": left, "state.to": entered, "transition.trigger": trigger}
    span["SpanAttributes"].update({f"acceptfirst.{key}": value for key, value in named.items()})
    database.insert_rows("otel_traces", [span])
    [row] = rolled_up()
    outcomes = ("ready", "rejected", "failed", "abandoned", "timed_out", "open")
    assert {name: row[name] for name in outcomes if row[name]} == {outcome: 4.0}
    assert row["handshakes"] == 4.0


def test_rollup_adds_nothing_when_spans_come_again_in_another_framing(
    database: Database, rolled_up: RolledUp, handshake: Handshake
) -> None:
    """A resend one span at a time, backwards, leaves the row as it was."""
    spans = [*handshake(25), *handshake(45)]
    database.insert_rows("otel_traces", spans)
    before = rolled_up()
    for span in reversed(spans):
        database.insert_rows("otel_traces", [span])
    assert rolled_up() == before


def test_rollup_is_the_same_when_it_is_computed_again(
    database: Database, rolled_up: RolledUp, handshake: Handshake, now_ns: int
) -> None:
    """One row a key, however often it is written."""
    database.insert_rows("otel_traces", handshake())
    before = rolled_up()
    recompute_minutes(database, [now_ns // 60_000_000_000 * 60])
    assert rolled_up() == before


def test_rollup_takes_a_late_span_into_its_connections_minute(
    database: Database, rolled_up: RolledUp, handshake: Handshake
) -> None:
    """A violation that is exported an hour later belongs to the minute in which the connection began."""
    spans = handshake(at_ms=-3_600_000)
    database.insert_rows("otel_traces", spans)
    [before] = rolled_up()
    late = _violation(spans, "double_close")
    late["Timestamp"] += dt.timedelta(hours=1)
    database.insert_rows("otel_traces", [late])
    [after] = rolled_up()
    assert after == {**before, "violations": {"double_close": 1}}


def test_rollup_moves_a_handshake_when_a_late_span_changes_its_dimensions(
    database: Database, rolled_up: RolledUp, handshake: Handshake
) -> None:
    """The key that nothing is left of is gone."""
    spans = handshake(policy__version="v1")
    database.insert_rows("otel_traces", spans[:2])
    assert [row["policy_version"] for row in rolled_up()] == ["v1"]
    late = spans[2]
    late["SpanAttributes"]["acceptfirst.policy.version"] = "v2"
    database.insert_rows("otel_traces", [late])
    assert [(row["policy_version"], row["connections"]) for row in rolled_up()] == [("v2", 1)]


def test_rollup_follows_the_classifier(database: Database, rolled_up: RolledUp, handshake: Handshake) -> None:
    """What was classified after the handshakes were rolled up is counted with the next pass."""
    spans = handshake()
    database.insert_rows("otel_traces", spans)
    rolled_up()
    connection_id = bytes.fromhex(spans[0]["SpanAttributes"]["acceptfirst.connection.id"])
    database.insert_rows(
        "race_condition_patterns",
        [
            {"connection_id": connection_id, "pattern_type": "double_close", "classifier_version": version}
            for version in (1, 2)
        ],
    )
    [row] = rolled_up()
    assert (row["patterns"], row["connections"]) == ({"double_close": 1}, 1)


def test_rollup_drops_a_key_when_a_marked_minute_has_lost_its_handshakes(
    database: Database, rolled_up: RolledUp, handshake: Handshake, now_ns: int, route: str
) -> None:
    """Rows that were deleted can't say so; a mark does."""
    database.insert_rows("otel_traces", handshake())
    assert len(rolled_up()) == 1
    database.run(
        "ALTER TABLE acceptfirst.handshakes DELETE WHERE route = {route:String} SETTINGS mutations_sync = 2",
        {"route": route},
    )
    minute = dt.datetime.fromtimestamp(now_ns // 60_000_000_000 * 60, dt.UTC)
    database.insert_rows("handshake_rollup_marks", [{"minute": minute}])
    assert rolled_up() == []


def test_rollup_keeps_minutes_apart(database: Database, rolled_up: RolledUp, handshake: Handshake) -> None:
    """Hours that nothing happened in lie between, and cost nothing."""
    spans = [span for hours in (0, 1, 5, 30) for span in handshake(at_ms=-3_600_000 * hours)]
    database.insert_rows("otel_traces", spans)
    rows = rolled_up()
    assert [row["connections"] for row in rows] == [1, 1, 1, 1]
    assert (rows[-1]["minute"] - rows[0]["minute"]) == dt.timedelta(hours=30)


def test_rollup_merges_quantiles_of_any_level(
    database: Database, rolled_up: RolledUp, handshake: Handshake, route: str
) -> None:
    """A board may ask for levels that the column's type does not name."""
    database.insert_rows("otel_traces", [span for at in range(10) for span in handshake(at + 20, at_ms=-60_000 * at)])
    assert len(rolled_up()) == 10
    [row] = database.rows(
        "SELECT quantilesTDigestWeightedMerge(0, 1)(ready_ms) AS extremes, uniqMerge(users) AS users "
        "FROM acceptfirst.handshake_rollup_1m FINAL WHERE route = {route:String}",
        {"route": route},
    )
    assert (row["extremes"], row["users"]) == ([20.0, 29.0], 0)


def test_pass_leaves_the_rest_to_the_next_when_it_is_stopped(
    database: Database, rolled_up: RolledUp, handshake: Handshake, route: str
) -> None:
    """What was not computed is computed by the next pass."""
    database.insert_rows("otel_traces", [span for hours in (0, 2) for span in handshake(at_ms=-3_600_000 * hours)])
    allowed = iter([True, False])
    stopped = refresh_rollup(database, lambda: next(allowed, False))
    assert stopped.minutes_left > 0
    assert len(database.rows(ROW, {"route": route})) < 2
    assert len(rolled_up()) == 2


@pytest.fixture
def set_back_clock(database: Database) -> Iterator[None]:
    """Let the store's clock seem to have been set back by an hour: the last pass lies in the future."""
    refresh_rollup(database)
    [row] = database.rows("SELECT max(revision) AS revision FROM acceptfirst.job_progress")
    future = dt.datetime.fromtimestamp(time.time() + 3600, dt.UTC).replace(microsecond=0)
    progress = {"job": "handshake_rollup_1m", "revision": row["revision"] + 1, "through": future, "detail": ""}
    database.insert_rows("job_progress", [progress])
    yield
    refresh_rollup(database)


@pytest.mark.usefixtures("set_back_clock")
def test_rollup_goes_on_when_the_stores_clock_was_set_back(
    database: Database, rolled_up: RolledUp, handshake: Handshake
) -> None:
    """Rows that were written before the last pass, by the clock, are still found; so are those after it."""
    database.insert_rows("otel_traces", handshake())
    assert [row["connections"] for row in rolled_up()] == [1]
    database.insert_rows("otel_traces", handshake())
    assert [row["connections"] for row in rolled_up()] == [2]


def test_pass_looks_back_further_than_an_insert_may_take(database: Database) -> None:
    """An insert shows its rows after it stamped them."""
    [row] = database.rows("SELECT value FROM system.settings WHERE name = 'max_execution_time'")
    assert int(row["value"]) < OVERLAP_SECONDS
    assert OVERLAP_SECONDS > MINUTE_SECONDS


def test_pass_takes_up_rows_from_before_the_rollup_once(
    database: Database, rolled_up: RolledUp, handshake: Handshake
) -> None:
    """Rows that are older than the column say 1970, and only a first pass looks back that far."""
    database.insert_rows("otel_traces", handshake())
    [row] = rolled_up()
    database.run("ALTER TABLE acceptfirst.handshakes UPDATE touched_at = 0 WHERE 1 SETTINGS mutations_sync = 2")
    emptied = ("handshake_rollup_1m", "handshake_rollup_marks", "job_progress", "race_condition_patterns")
    for table in emptied:
        database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    assert rolled_up() == [row]
    assert refresh_rollup(database).minutes == 0
