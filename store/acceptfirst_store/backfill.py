"""Takes up spans that were in `otel_traces` before the views were: those that another collector wrote.

Day by day, with the very query that the view has in this store. The tables replace or aggregate, so a day that is taken
up twice counts once; how far it got is remembered, so that an interruption costs a day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt

from acceptfirst_store.database import Database
from acceptfirst_store.errors import MigrationInvalid
from acceptfirst_store.upkeep import upkeep_sql

JOB = "backfill"
VIEWS = {
    "otel_traces_trace_id_ts_mv": "otel_traces_trace_id_ts",
    "handshake_transitions_mv": "handshake_transitions",
    "handshakes_mv": "handshakes",
}
SECONDS_PER_DAY = 86_400


@dataclasses.dataclass(frozen=True)
class Backfilled:
    """What a run took up: days, and spans of ours in them."""

    days: int
    spans: int


def backfill(database: Database, *, dry_run: bool = False) -> Backfilled:
    """Run the views over all days of `otel_traces` that no earlier run has finished.

    The day under way is never called finished. Spans that come in meanwhile are seen by the views themselves.

    Args:
        database: open for writing, migrated.
        dry_run: only count.

    Raises:
        MigrationInvalid: a view of this store is not one of ours.
        StoreError: the store can't be read or written; the next run goes on with the same day.
    """
    [progress] = database.rows(upkeep_sql("backfill_progress"))
    done_days, spans = 0, 0
    revision = int(progress["revision"])
    for row in database.rows(upkeep_sql("backfill_days"), {"through_s": int(progress["through_s"])}):
        day: dt.date = row["day"]
        done_days, spans = done_days + 1, spans + int(row["spans"])
        if dry_run:
            continue
        for view, table in VIEWS.items():
            database.run(_insert_sql(database, view, table), {"day": day})
        midnight = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        through_s = int(midnight.timestamp()) + SECONDS_PER_DAY
        if through_s <= int(progress["now_s"]):
            revision += 1
            parameters = {"job": JOB, "revision": revision, "through_s": through_s}
            database.run(upkeep_sql("save_progress"), parameters)
    return Backfilled(done_days, spans)


def _insert_sql(database: Database, view: str, table: str) -> str:
    """The view's own query over one day, with the columns that it names."""
    [row] = database.rows(
        "SELECT as_select FROM system.tables WHERE database = 'acceptfirst' AND name = {view:String}", {"view": view}
    ) or [{"as_select": ""}]
    source = database.source("otel_traces")
    query = str(row["as_select"])
    if query.count(f"FROM {source}") != 1:
        raise MigrationInvalid(
            f"expected the view {view} to read {source} once; it does not: drop it and run `acceptfirst db migrate`"
        )
    # The outer query of a formatted view ends with WHERE and perhaps GROUP BY; the day is put into what it reads.
    narrowed = query.replace(f"FROM {source}", f"FROM (SELECT * FROM {source} WHERE toDate(Timestamp) = {{day:Date}})")  # noqa: S608 - the store's own text
    columns = ", ".join(f"`{column['name']}`" for column in database.rows(f"DESCRIBE TABLE ({query})"))
    return f"INSERT INTO acceptfirst.{table} ({columns}) {narrowed} SETTINGS max_execution_time = 0"
