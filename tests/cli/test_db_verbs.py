"""`acceptfirst db` on a store that nobody holds, and through a collector that holds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture(params=["--store", "--url"])
def source(request: pytest.FixtureRequest, store: str) -> tuple[str, str]:
    """Give the same history in both ways: a store, and a serve that holds one."""
    if request.param == "--store":
        return "--store", store
    return "--url", request.getfixturevalue("serve_url")


def _json(ended: Any) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    document: dict[str, Any] = json.loads(ended.out)
    assert document["schema_version"] == 1
    return document


def test_stats_say_what_each_table_takes(acceptfirst: Run, source: tuple[str, str]) -> None:
    """The same table, wherever it is asked."""
    tables = {table["name"]: table for table in _json(acceptfirst("db", "stats", *source, "--json"))["tables"]}
    assert tables["handshakes"]["rows"] == 230
    assert tables["handshakes"]["oldest"].startswith("2026-11-16")
    shown = acceptfirst("db", "stats", *source)
    assert shown.code == 0
    assert "handshake_rollup_1m" in shown.out


def test_migrate_has_nothing_to_do_when_everything_is_applied(acceptfirst: Run, source: tuple[str, str]) -> None:
    """Any verb has migrated before; a backfill finds no spans."""
    document = _json(acceptfirst("db", "migrate", *source, "--backfill", "--json"))
    assert (document["applied"], document["backfill"]) == ([], {"days": 0, "spans": 0})


def test_prune_says_what_it_would_erase(acceptfirst: Run, source: tuple[str, str]) -> None:
    """A dry run counts the rows of a user that nobody is."""
    document = _json(acceptfirst("db", "prune", *source, "--user", "nobody", "--dry-run", "--json"))
    assert (document["connections"], document["dry_run"]) == (0, True)


@pytest.mark.parametrize(
    "options",
    [(), ("--user", "a", "--older-than", "3d"), ("--older-than", "soon"), ("--connection", "short")],
)
def test_prune_is_a_usage_error_when_it_can_not_know_what_to_erase(
    acceptfirst: Run, source: tuple[str, str], options: tuple[str, ...]
) -> None:
    """2, one line, nothing erased."""
    ended = acceptfirst("db", "prune", *source, *options)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "expected" in ended.err


def test_migrate_says_what_it_would_do_then_makes_a_store_and_keeps_its_data_as_long_as_asked(
    acceptfirst: Run, tmp_path: Path
) -> None:
    """A dry run names every migration and its why; afterwards the tables say when they are dropped."""
    store = ("--store", f"chdb://{tmp_path}/new/db")
    pending = _json(acceptfirst("db", "migrate", *store, "--dry-run", "--json"))["pending"]
    assert [step["id"][:4] for step in pending[:2]] == ["0001", "0002"]
    assert "WHY" in pending[0]["why"]
    applied = _json(acceptfirst("db", "migrate", *store, "--retention", "spans=14d", "--json"))
    assert [step["id"] for step in applied["applied"]] == [step["id"] for step in pending]
    tables = {table["name"]: table for table in _json(acceptfirst("db", "stats", *store, "--json"))["tables"]}
    assert "toIntervalDay(15)" in tables["otel_traces"]["ttl"]
    assert tables["handshakes"]["ttl"] == ""


def test_migrate_is_a_usage_error_when_the_retention_makes_no_sense(acceptfirst: Run, source: tuple[str, str]) -> None:
    """It says what it expected."""
    ended = acceptfirst("db", "migrate", *source, "--retention", "a while")
    assert ended.code == 2
    assert "expected a retention like 30d" in ended.err
