"""A database that the official exporter made first, in either of its shapes, becomes one of ours and loses nothing."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acceptfirst_store import backfill as backfilling
from acceptfirst_store.backfill import backfill
from acceptfirst_store.care import migrate_document
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.errors import MigrationInvalid, StoreUnreachable
from acceptfirst_store.migrations import Migration, migrate
from acceptfirst_store.rollup import refresh_rollup

SHAPES = sorted((pathlib.Path(__file__).parent / "exporter").glob("*.sql"))
Handshake = Callable[..., list[dict[str, Any]]]

#: The statement that the exporter sends, in both shapes; it lists no ALIAS columns.
EXPORTER_COLUMNS = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId", "Links.TraceState",
    "Links.Attributes",
)  # fmt: skip

COUNTS = """
SELECT
    (SELECT count() FROM acceptfirst.handshakes FINAL WHERE route = {route:String}) AS handshakes,
    (SELECT count() FROM acceptfirst.handshake_transitions FINAL WHERE route = {route:String}) AS transitions,
    (SELECT sum(connections) FROM acceptfirst.handshake_rollup_1m FINAL WHERE route = {route:String}) AS rolled_up
"""


@pytest.fixture(params=SHAPES, ids=lambda path: path.stem, scope="module")
def exporters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a store in which an exporter made its tables, and nobody else any."""
    with open_database(f"chdb://{tmp_path_factory.mktemp('exporter')}/db") as database:
        for sql in Migration("exporter", request.param.read_text()).statements:
            database.run(sql)
        yield database


def _export(database: Database, spans: list[dict[str, Any]]) -> None:
    """Insert as the exporter does: every column, by name."""
    empty: dict[str, Any] = {"ParentSpanId": "", "TraceState": "", "ScopeVersion": "1", "StatusMessage": ""}
    nested: dict[str, Any] = {column: [] for column in EXPORTER_COLUMNS if "." in column}
    rows = [{**empty, **nested, **span} for span in spans]
    database.insert_rows("otel_traces", [{column: row[column] for column in EXPORTER_COLUMNS} for row in rows])


def _counts(database: Database, route: str) -> tuple[int, int, int]:
    refresh_rollup(database)
    [row] = database.rows(COUNTS, {"route": route})
    return row["handshakes"], row["transitions"], row["rolled_up"]


def test_exporters_spans_fill_our_tables_from_before_and_after(
    exporters: Database, handshake: Handshake, route: str
) -> None:
    """What was there is taken up by the backfill, what comes is seen by the views."""
    _export(exporters, [*handshake(), *handshake(at_ms=-86_400_000)])
    migrate(exporters)
    assert _counts(exporters, route) == (0, 0, 0)
    _export(exporters, handshake())
    assert _counts(exporters, route) == (1, 4, 1)
    assert backfill(exporters).spans >= 12
    assert _counts(exporters, route) == (3, 12, 3)


def test_exporters_table_drops_a_batch_that_comes_twice(exporters: Database, handshake: Handshake, route: str) -> None:
    """The table keeps its shape and gets our settings."""
    migrate(exporters)
    spans = handshake()
    for _ in range(2):
        _export(exporters, spans)
    sql = "SELECT count() AS n FROM acceptfirst.otel_traces WHERE SpanAttributes['http.route'] = {route:String}"
    assert exporters.rows(sql, {"route": route}) == [{"n": len(spans)}]


def test_backfill_goes_on_with_the_day_at_which_it_was_interrupted(
    exporters: Database, handshake: Handshake, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that are finished are not read again, the others are."""
    migrate(exporters)
    backfill(exporters)
    exporters.run("TRUNCATE TABLE acceptfirst.job_progress")
    days = (5, 4, 3)
    _export(exporters, [span for day in days for span in handshake(at_ms=-86_400_000 * day)])
    insert_sql = backfilling._insert_sql
    asked: list[str] = []

    def fail_on_the_second_day(database: Database, view: str, table: str) -> str:
        asked.append(table)
        if len(asked) > len(backfilling.VIEWS):
            raise StoreUnreachable("planted outage")
        return insert_sql(database, view, table)

    with monkeypatch.context() as patch:
        patch.setattr(backfilling, "_insert_sql", fail_on_the_second_day)
        with pytest.raises(StoreUnreachable):
            backfill(exporters)
    left = backfill(exporters, dry_run=True).days
    assert backfill(exporters).days == left
    assert backfill(exporters, dry_run=True).days < left
    assert _counts(exporters, route) == (3, 12, 3)


def test_backfill_counts_once_when_it_runs_again(exporters: Database, handshake: Handshake, route: str) -> None:
    """The day under way is taken up by each run, and the tables replace what they know."""
    migrate(exporters)
    _export(exporters, handshake())
    for _ in range(2):
        backfill(exporters)
    assert _counts(exporters, route) == (1, 4, 1)


def test_backfill_refuses_when_a_view_is_not_ours(exporters: Database) -> None:
    """It would insert who knows what."""
    migrate(exporters)
    with pytest.raises(MigrationInvalid, match="expected the view nobody_mv to read"):
        backfilling._insert_sql(exporters, "nobody_mv", "handshakes")


def test_dry_run_says_what_is_to_be_taken_up_and_takes_nothing(
    exporters: Database, handshake: Handshake, route: str
) -> None:
    """What is pending is counted, and stays pending."""
    migrate(exporters)
    exporters.run("DROP VIEW IF EXISTS acceptfirst.handshakes_mv")
    _export(exporters, handshake())
    exporters.run("DELETE FROM acceptfirst.schema_migrations WHERE id LIKE '%handshakes%'")
    assert migrate_document(exporters, dry_run=True, with_backfill=True)["backfill"] is None
    assert len(migrate_document(exporters)["applied"]) > 0
    planned = migrate_document(exporters, dry_run=True, with_backfill=True)
    assert planned["backfill"]["spans"] >= 4
    assert _counts(exporters, route)[0] == 0
    assert migrate_document(exporters, with_backfill=True)["backfill"] == planned["backfill"]
    assert _counts(exporters, route)[0] == 1
