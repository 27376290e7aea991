"""Rows with the types of their columns, and their way through JSON and back.

A statement run here and the same statement run through a collector's HTTP API must give the same Python values, or
the analysis would work in one and not in the other: so the types travel with the rows.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class StatementResult:
    """Rows, and for each column its ClickHouse type."""

    types: dict[str, str]
    rows: list[dict[str, Any]]


def result_from(query_result: Any) -> StatementResult:
    """Take over a clickhouse-connect query result."""
    names = query_result.column_names
    types = dict(zip(names, (kind.name for kind in query_result.column_types), strict=True))
    return StatementResult(types, [dict(zip(names, row, strict=True)) for row in query_result.result_rows])


def to_json(value: Any) -> Any:
    """Turn a stored value into what JSON can hold: bytes as hex, times as ISO 8601, NaN and infinity as null."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(value: Any, kind: str) -> Any:
    """Undo `to_json` for a column of the ClickHouse type `kind`; nested values stay as JSON gave them."""
    if value is None:
        return math.nan if kind.startswith("Float") else None
    bare = kind.removeprefix("Nullable(").removeprefix("LowCardinality(")
    if bare.startswith("DateTime"):
        return dt.datetime.fromisoformat(value)
    if bare.startswith("Date"):
        return dt.date.fromisoformat(value)
    if bare.startswith("FixedString"):
        return bytes.fromhex(value)
    return value
