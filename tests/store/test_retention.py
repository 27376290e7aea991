"""How long data are kept is declared once, and whole parts are dropped by it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst_store.care import migrate_document, stats_document
from acceptfirst_store.database import Database
from acceptfirst_store.errors import RequestInvalid
from acceptfirst_store.retention import GROUPS, Retention, apply_retention
from acceptfirst_store.rollup import frozen_before

TABLES = [table for tables in GROUPS.values() for table in tables]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("30d", {"spans": 30, "handshakes": 30}),
        ("forever", {"spans": 0, "handshakes": 0}),
        ("spans=14d, rollup=400d", {"spans": 14, "rollup": 400}),
        ("handshakes=forever", {"handshakes": 0}),
    ],
)
def test_retention_is_read_from_what_a_person_writes(text: str, days: dict[str, int]) -> None:
    """Days for raw data, or days by group."""
    assert Retention.parse(text).days == days


@pytest.mark.parametrize(
    "text", ["", "30", "0d", "99999d", "spans=", "logs=3d", "spans=1d,spans=2d", "1d; DROP TABLE x"]
)
def test_retention_refuses_what_it_can_not_understand(text: str) -> None:
    """It says what it expected."""
    with pytest.raises(RequestInvalid, match="expected a retention like 30d"):
        Retention.parse(text)


def test_retention_drops_whole_parts_and_only_those(
    database: Database, make_span: Callable[..., dict[str, Any]], route: str
) -> None:
    """What is older than the days goes with its part; what is younger stays."""
    apply_retention(database, Retention.parse("spans=5d,handshakes=5d,rollup=5d"))
    day_ms = 86_400_000
    for days in (1, 9):
        span = make_span("websocket.handshake", {"http.route": route}, start_ms=-days * day_ms, end_ms=-days * day_ms)
        database.insert_rows("otel_traces", [span])
    database.run("OPTIMIZE TABLE acceptfirst.otel_traces FINAL")
    sql = "SELECT count() AS n FROM acceptfirst.otel_traces WHERE SpanAttributes['http.route'] = {route:String}"
    assert database.rows(sql, {"route": route}) == [{"n": 1}]


@pytest.mark.parametrize("table", TABLES)
def test_retention_is_shown_and_removed_again(database: Database, table: str) -> None:
    """`db stats` says what was declared; `forever` takes it back."""

    def ttl() -> str:
        return next(str(row["ttl"]) for row in stats_document(database)["tables"] if row["name"] == table)

    migrate_document(database, retention="spans=20d,handshakes=20d,rollup=20d")
    assert "toIntervalDay(21)" in ttl()
    migrate_document(database, retention="spans=forever,handshakes=forever,rollup=forever")
    assert ttl() == ""


def test_rollup_is_frozen_where_handshakes_are_about_to_expire(database: Database) -> None:
    """A minute of a day of which half is gone would be computed from the other half."""
    assert frozen_before(database) == 0
    apply_retention(database, Retention.parse("handshakes=10d"))
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert frozen_before(database) == int((today - dt.timedelta(days=10)).timestamp())
    apply_retention(database, Retention.parse("handshakes=forever"))


def test_stats_say_what_each_table_takes(database: Database, make_span: Callable[..., dict[str, Any]]) -> None:
    """Rows, bytes, parts, and from when to when the data are."""
    database.insert_rows("otel_traces", [make_span("websocket.handshake", {})])
    tables = {table["name"]: table for table in stats_document(database)["tables"]}
    traces = tables["otel_traces"]
    assert traces["rows"] >= 1
    assert traces["bytes_per_row"] == traces["bytes_on_disk"] / traces["rows"]
    assert traces["parts"] >= 1
    assert dt.datetime.fromisoformat(traces["oldest"]) <= dt.datetime.fromisoformat(traces["newest"])
    assert tables["policies"]["bytes_per_row"] is None


def test_stats_leave_no_table_out_that_stores_anything(database: Database) -> None:
    """A new table is in it by itself."""
    stored = database.rows(
        "SELECT name FROM system.tables WHERE database = 'acceptfirst' AND engine NOT IN ('Null', 'MaterializedView')"
    )
    assert {row["name"] for row in stored} == {table["name"] for table in stats_document(database)["tables"]}
