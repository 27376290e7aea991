"""The boards: what is committed is what the generator makes, and every query answers rightly on a real store."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptfirst_store.database import Database

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
NAMES = sorted(path.stem for path in (FOLDER / "queries").glob("*.sql"))
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
RANGE = (NOW - dt.timedelta(hours=1), NOW)
INTERVAL_S = 60


def expanded(sql: str, environments: Sequence[str] = ("production", "staging")) -> str:
    """What the data source's plugin and Grafana's variables make of a query."""
    start, end = (f"toDateTime({int(moment.timestamp())})" for moment in RANGE)
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {start} AND \1 <= {end}", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", rf"toStartOfInterval(toDateTime(\1), INTERVAL {INTERVAL_S} second)", sql)
    sql = sql.replace("$__fromTime", start).replace("$__toTime", end)
    sql = sql.replace("${env:singlequote}", ",".join(f"'{name}'" for name in environments))
    return sql.replace("${older_than_s}", "30")


def handshake(age_s: float, environment: str = "production", **columns: Any) -> dict[str, Any]:
    """A row of `handshakes` that began some seconds ago, accepted after 100 ms and ready after 200 ms by default."""
    began = NOW - dt.timedelta(seconds=age_s)
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    accept_ms, ready_ms = columns.pop("accept_ms", 100), columns.pop("ready_ms", 200)
    row = {
        "connection_id": int(began.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10),
        "environment": environment,
        "service": "chat",
        "route": "/ws",
        "weight": 1.0,
        "pending_at": began,
        "connected_at": began + dt.timedelta(milliseconds=accept_ms) if accept_ms else epoch,
        "ready_at": began + dt.timedelta(milliseconds=ready_ms) if ready_ms else epoch,
        "ended_by": "",
        "patterns": [],
        "first_seen": began,
        "last_seen": began + dt.timedelta(seconds=1),
    }
    return {**row, **columns}


HANDSHAKES = [
    handshake(600),
    handshake(600, weight=2.0),
    handshake(600, patterns=["early_message_before_ready"]),
    handshake(300, weight=0.0, route="/late", patterns=["double_close", "send_after_close"]),  # not drawn
    handshake(300, accept_ms=0, ready_ms=0, ended_by="exception"),
    handshake(300, accept_ms=2000, ready_ms=0, ended_by="disconnect"),
    handshake(120, accept_ms=0, ready_ms=0),  # stuck
    handshake(120, "staging", route="/slow", accept_ms=300),
    handshake(7200, patterns=["double_accept"]),  # before the range, and too long ago to be stuck
    handshake(120, "testing", patterns=["double_accept"]),  # not chosen
]


@pytest.fixture(scope="module")
def filled(database: Database) -> Database:
    """The store with the handshakes above."""
    database.insert_rows("handshakes", HANDSHAKES)
    return database


def answer(database: Database, generator: types.ModuleType, name: str) -> list[dict[str, Any]]:
    """What a query answers."""
    return database.rows(expanded(generator.query(name)))


@pytest.mark.parametrize("name", NAMES)
def test_query_answers_on_an_empty_store(database: Database, generator: types.ModuleType, name: str) -> None:
    """No error and no NaN where there is nothing yet. Runs first: the store is filled by the tests below."""
    values = [value for row in answer(database, generator, name) for value in row.values()]
    assert not any(isinstance(value, float) and math.isnan(value) for value in values)


def test_query_with_no_environment_chosen_is_no_error(database: Database, generator: types.ModuleType) -> None:
    """Grafana leaves the list empty where the variable has no value yet."""
    rows = database.rows(expanded(generator.query("overview_success"), environments=()))
    assert rows == [{"success_percent": None}]


KNOWN = {
    "overview_environments": [{"environment": "production"}, {"environment": "staging"}, {"environment": "testing"}],
    "overview_handshakes_per_minute": [{"handshakes_per_minute": 8 / 60}],
    "overview_success": [{"success_percent": pytest.approx(100 * 4 / 7)}],
    "overview_violations": [{"violations": 3, "per_10000_handshakes": 10000 * 3 / 8}],
    "overview_accept_p95": [{"accept_p95_s": 2.0}],
    "overview_stuck": [{"stuck": 1.0}],
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_query_gives_the_known_answer(filled: Database, generator: types.ModuleType, name: str) -> None:
    """Worked out by hand from the rows above."""
    assert answer(filled, generator, name) == KNOWN[name]


def test_data_age_counts_from_the_latest_span(filled: Database, generator: types.ModuleType) -> None:
    """119 s before the tests began, and a little more by now."""
    assert answer(filled, generator, "overview_data_age")[0]["age_s"] >= 119


def test_outcomes_put_an_early_handshake_under_violated(filled: Database, generator: types.ModuleType) -> None:
    """Each handshake stands in one column, by its weight."""
    rows = answer(filled, generator, "overview_outcomes")
    sums = {name: sum(row[name] for row in rows) for name in rows[0] if name != "time"}
    assert sums == {
        "ready": 4.0, "violated": 1.0, "rejected": 0.0, "abandoned": 1.0, "failed": 1.0, "timed_out": 0.0, "open": 1.0
    }  # fmt: skip


def test_worst_routes_begin_with_violations_that_were_not_drawn(filled: Database, generator: types.ModuleType) -> None:
    """A rate that can't be known stands before those that can; then by rate."""
    rows = answer(filled, generator, "overview_worst_routes")
    told = [(row["environment"], row["route"], row["violations"], row["per_10000"]) for row in rows]
    assert told == [("production", "/late", 2, None), ("production", "/ws", 1, 10000 / 7), ("staging", "/slow", 0, 0.0)]


def test_worst_routes_name_the_pattern(filled: Database, generator: types.ModuleType) -> None:
    """Empty where there is none."""
    rows = answer(filled, generator, "overview_worst_routes")
    assert [row["top_pattern"] for row in rows][1:] == ["early_message_before_ready", ""]


def test_committed_boards_equal_what_is_generated(generator: types.ModuleType) -> None:
    """`make dashboards` changes nothing."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "grafana").iterdir()}
    assert committed == generator.boards()


def test_every_panel_has_a_unit_and_says_what_to_do(generator: types.ModuleType) -> None:
    """A number without a unit, or without a next step, helps nobody at night."""
    panels = generator.overview()["panels"]
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    assert all(re.search(r"What to do: .+\.$", panel["description"]) for panel in panels)


def test_panels_have_ids_of_their_own_and_do_not_overlap(generator: types.ModuleType) -> None:
    """Alerts and links refer to a panel by its id."""
    panels = generator.overview()["panels"]
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert (len({panel["id"] for panel in panels}), len(set(cells))) == (len(panels), len(cells))


def test_every_query_is_used_by_a_board(generator: types.ModuleType) -> None:
    """And opens with a comment that says its columns."""
    text = "".join(json.dumps(json.loads(board), ensure_ascii=False) for board in generator.boards().values())
    for name in NAMES:
        assert json.dumps(generator.query(name), ensure_ascii=False)[1:-1] in text
        assert "\n-- Columns:" in (FOLDER / "queries" / f"{name}.sql").read_text()


def test_boards_use_only_macros_that_the_tests_expand(generator: types.ModuleType) -> None:
    """A macro that nobody tried is an error at night."""
    for name in NAMES:
        assert "$" not in expanded(generator.query(name))


def test_provisioned_data_source_is_of_the_kind_that_the_boards_ask(generator: types.ModuleType) -> None:
    """One plugin, in both files."""
    source = yaml.safe_load((FOLDER / "provisioning/datasources/acceptfirst.yaml").read_text())["datasources"][0]
    assert source["type"] == generator.PLUGIN
