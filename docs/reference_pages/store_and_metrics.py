"""The tables, as migrations make them in an embedded store, and the collector's metrics, as it exposes them."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from acceptfirst_store.database import Database
from acceptfirst_store.migrations.runner import all_migrations
from reference_pages.markdown import code, page, table

DAY_OF_ID: Final = "toDate(toUInt16(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 86400000)))"
COLUMNS: Final = (
    "select table, name, type, default_kind from system.columns where database = 'acceptfirst' order by table, position"
)
TABLES: Final = (
    "select name, engine, sorting_key, partition_key from system.tables "
    "where database = 'acceptfirst' and engine != 'MaterializedView' order by name"
)


def tables_page(database: Database) -> str:
    """Every table with its columns, and the comments of the migrations that made it.

    Args:
        database: migrated.
    """
    columns: dict[str, list[tuple[str, str, str]]] = {}
    for row in database.rows(COLUMNS):
        kind = "computed" if row["default_kind"] == "ALIAS" else ""
        columns.setdefault(row["table"], []).append((f"`{row['name']}`", f"`{row['type']}`", kind))
    sections = [
        "# Tables",
        (
            "Of the database `acceptfirst`, as the migrations make them. What they are for, how to keep and prune "
            "them, and the users that may read or write, are in [store.md](../store.md). What stands above a list of "
            "columns is the comment of the migrations that made or changed it."
        ),
    ]
    for row in database.rows(TABLES):
        sections += [f"## `{row['name']}`", _facts(row), *_comments(row["name"])]
        sections.append(table(("column", "type", ""), columns[row["name"]]))
    return page("store/acceptfirst_store/migrations", *sections)


def _facts(row: dict[str, Any]) -> str:
    facts = [f"Engine `{row['engine']}`"]
    facts += [f"sorted by `{row['sorting_key']}`"] if row["sorting_key"] else []
    partition = "the day in `connection_id`" if row["partition_key"] == DAY_OF_ID else f"`{row['partition_key']}`"
    facts += [f"partitioned by {partition}"] if row["partition_key"] else []
    final = [" Read it with `FINAL`."] if re.match("Replacing|Aggregating", row["engine"]) else []
    return ", ".join(facts) + "." + "".join(final)


def _comments(name: str) -> list[str]:
    """The opening comments of the migrations that create or alter a table, as they were written."""
    makes = re.compile(rf"(?:CREATE TABLE IF NOT EXISTS|ALTER TABLE) acceptfirst\.{name}\b")
    found = []
    for migration in all_migrations():
        if makes.search(migration.text):
            lines = migration.text.splitlines()
            end = next(i for i, line in enumerate(lines) if not line.startswith("--"))
            text = "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines[:end])
            found.append(code(re.sub(r"^\d{4}-\d\d-\d\d\. WHY: ", "", text), "text"))
    return found


def metrics_page(app: FastAPI) -> str:
    """What `GET /metrics` exposes, but for the process's own.

    Args:
        app: a collector's application; it is asked in this process, without its life beginning.
    """
    exposed = asyncio.run(_asked(app, "/metrics"))
    rows = [
        (f"`{_shown(family)}`", family.type, _labels(family), family.documentation)
        for family in text_string_to_metric_families(exposed)
        if family.name.startswith("acceptfirst_") and not family.name.endswith("_created")
    ]
    return page(
        "the collector's metrics",
        "# Metrics of the collector",
        "What `GET /metrics` gives in Prometheus' text format, beside the process's own (`process_…`). How to scrape "
        "it, what each one means, and what is worth an alert, is in [operations.md](../operations.md#metrics). A "
        "series whose value nobody knows yet is left out, as are some of `--forward-otlp` without it. The library's "
        "metrics are in [telemetry.md](../telemetry.md#metrics).",
        table(("metric", "kind", "labels", ""), sorted(rows)),
    )


async def _asked(app: FastAPI, path: str) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        return (await client.get(path)).text


def _shown(family: Any) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def _labels(family: Any) -> str:
    seen: dict[str, set[str]] = {}
    for sample in family.samples:
        for name, value in sample.labels.items():
            if name != "le":
                seen.setdefault(name, set()).add(value)
    return "; ".join(
        f"`{name}`" if name in {"version", "python"} else f"`{name}`: {', '.join(sorted(values))}"
        for name, values in sorted(seen.items())
    )
