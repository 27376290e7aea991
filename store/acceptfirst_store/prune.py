"""Erases connections from every table, and drops what is older than an age.

An erasure rewrites the parts that hold the rows, so that nothing of them is left in this store's files; a connection is
found again in the spans, in the narrow tables and in what was classified, and the rollup is computed anew without it.
By age only whole partitions go, which costs nothing; the rollup stays, and is never computed again for days whose
handshakes are gone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

from acceptfirst_store.database import Database
from acceptfirst_store.errors import RequestInvalid
from acceptfirst_store.rollup import frozen_before, recompute_minutes, remember_frozen_before
from acceptfirst_store.upkeep import upkeep_sql

IDS_PER_STATEMENT = 5000
_NARROW_TABLES = ("handshake_transitions", "race_condition_patterns", "handshakes")
_CONNECTION_ID = re.compile(r"[0-9a-fA-F]{32}")
_HERE = "SETTINGS mutations_sync = 2, max_execution_time = 0"


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What was erased, or would be.

    Attributes:
        connections: how many, of an erasure.
        rows: table → rows.
        dry_run: nothing was changed.
    """

    connections: int
    rows: dict[str, int]
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """The result with its schema version."""
        return {"schema_version": 1, **dataclasses.asdict(self)}


def erase(database: Database, *, connection_id: str = "", user_hash: str = "", dry_run: bool = False) -> Pruned:
    """Erase a connection, or all connections of a user.

    Args:
        database: open for writing.
        connection_id: 32 hex digits, as the API and the report show it; or
        user_hash: as `acceptfirst.identify` keeps it.
        dry_run: only count.

    Raises:
        RequestInvalid: neither or both are given, or the id is none.
        StoreError: the store can't be read or written; ask again, what is erased already is not looked for again.
    """
    if bool(connection_id) == bool(user_hash):
        raise RequestInvalid("expected a connection's id or a user's hash; give one of the two")
    if connection_id and not _CONNECTION_ID.fullmatch(connection_id):
        raise RequestInvalid(f"expected a connection's id of 32 hex digits; got {connection_id[:64]!r}")
    found = database.rows(
        upkeep_sql("erasure_ids"), {"connection_id": connection_id or "0" * 32, "user_hash": user_hash}
    )
    rows: dict[str, int] = {}
    for batch in _batches(found):
        for table, count in _erase_batch(database, batch, dry_run=dry_run).items():
            rows[table] = rows.get(table, 0) + count
    return Pruned(len(found), rows, dry_run)


def prune_before(database: Database, day: dt.date, *, dry_run: bool = False) -> Pruned:
    """Drop the partitions of raw data and of what was classified that lie before a day.

    Args:
        database: open for writing.
        day: the first day that is kept, in UTC.
        dry_run: only count.

    Raises:
        StoreError: the store can't be read or written.
    """
    rows: dict[str, int] = {}
    if not dry_run:
        # Before anything is dropped: a rollup computed in between would be computed from half a day.
        remember_frozen_before(database, day)
    for partition in database.rows(upkeep_sql("partitions_before"), {"day": day}):
        table = partition["name"].removesuffix("_local")
        rows[table] = rows.get(table, 0) + partition["row_count"]
        if not dry_run:
            target = database.alterable(table)
            database.run(f"ALTER TABLE {target} DROP PARTITION ID {{id:String}}", {"id": partition["partition_id"]})
    return Pruned(0, rows, dry_run)


def _batches(found: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for _, of_day in itertools.groupby(sorted(found, key=lambda row: row["day"]), key=lambda row: row["day"]):
        connections = list(of_day)
        for start in range(0, len(connections), IDS_PER_STATEMENT):
            yield connections[start : start + IDS_PER_STATEMENT]


def _erase_batch(database: Database, batch: Sequence[dict[str, Any]], *, dry_run: bool) -> dict[str, int]:
    """Erase connections whose ids are of one day; `handshakes` goes last, since by it the others are found."""
    ids = [row["id"] for row in batch]
    first_day, last_day = min(row["first_day"] for row in batch), max(row["last_day"] for row in batch)
    days = {"first_day": first_day, "last_day": last_day}
    rows = _erase_spans(database, ids, days, dry_run=dry_run)
    partition = batch[0]["day"]
    for table in _NARROW_TABLES:
        where = "connection_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))"
        rows[table] = _delete(database, table, [partition], where, {"ids": ids}, dry_run=dry_run)
    if not dry_run:
        kept_from = frozen_before(database)
        for minutes in _hours(row["minute_s"] for row in batch if row["minute_s"] >= kept_from):
            recompute_minutes(database, minutes)
    return rows


def _erase_spans(database: Database, ids: list[str], days: dict[str, dt.date], *, dry_run: bool) -> dict[str, int]:
    given = [row["given_id"] for row in database.rows(upkeep_sql("erasure_span_ids"), {"ids": ids, **days})]
    traces = [row["trace_id"] for row in database.rows(upkeep_sql("erasure_traces"), {"given_ids": given, **days})]
    partitions = [f"{day:%Y%m%d}" for day in _days(days["first_day"], days["last_day"])]
    where = "ScopeName = 'acceptfirst' AND has({given_ids:Array(String)}, SpanAttributes['acceptfirst.connection.id'])"
    spans = _delete(database, "otel_traces", partitions, where, {"given_ids": given}, dry_run=dry_run)
    # A trace may hold spans of others; only what nothing is left of is forgotten.
    orphaned = (
        "has({trace_ids:Array(String)}, TraceId) AND TraceId NOT IN "
        "(SELECT TraceId FROM acceptfirst.otel_traces WHERE has({trace_ids:Array(String)}, TraceId))"
    )
    lookups = _delete(database, "otel_traces_trace_id_ts", [""], orphaned, {"trace_ids": traces}, dry_run=dry_run)
    return {"otel_traces": spans, "otel_traces_trace_id_ts": lookups}


def _delete(
    database: Database, table: str, partitions: list[str], where: str, parameters: dict[str, Any], *, dry_run: bool
) -> int:
    """Delete rows, one partition after the other where they are known, and wait until the parts are rewritten."""
    counting = f"SELECT count() AS n FROM acceptfirst.{table} WHERE {where}"  # noqa: S608 - values are bound
    [row] = database.rows(counting, parameters)
    if row["n"] and not dry_run:
        for partition in partitions:
            within = f"IN PARTITION ID '{partition}' " if partition else ""
            statement = f"ALTER TABLE {database.alterable(table)} DELETE {within}WHERE {where} {_HERE}"
            database.run(statement, parameters)
    return int(row["n"])


def _days(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for offset in range((last - first).days + 1):
        yield first + dt.timedelta(days=offset)


def _hours(minutes: Any) -> Iterator[list[int]]:
    for _, of_hour in itertools.groupby(sorted(set(minutes)), key=lambda minute: minute // 3600):
        yield list(of_hour)
