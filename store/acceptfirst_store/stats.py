"""What the store takes on the disk, table by table."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from acceptfirst_store.database import Database
from acceptfirst_store.upkeep import upkeep_sql


@dataclasses.dataclass(frozen=True)
class TableStats:
    """One table.

    Attributes:
        name: without the database.
        rows: as they lie there: rows that will replace one another when they are merged count each.
        bytes_on_disk: compressed, with marks and indexes.
        parts: files that make it up; many mean that merging is behind.
        oldest: of the data, in UTC; None where there are none or they have no time.
        newest: likewise.
        ttl: when whole parts are dropped, as declared; empty for never.
    """

    name: str
    rows: int
    bytes_on_disk: int
    parts: int
    oldest: dt.datetime | None
    newest: dt.datetime | None
    ttl: str

    @property
    def bytes_per_row(self) -> float | None:
        """Bytes on the disk a row; None where there is no row."""
        return self.bytes_on_disk / self.rows if self.rows else None

    def to_json(self) -> dict[str, Any]:
        """The table as JSON holds it; times in ISO 8601, UTC."""
        values = dataclasses.asdict(self)
        times = {key: values[key].isoformat() if values[key] else None for key in ("oldest", "newest")}
        return {**values, **times, "bytes_per_row": self.bytes_per_row}


def table_stats(database: Database) -> list[TableStats]:
    """Ask the store; the largest table comes first.

    Raises:
        StoreError: it can't be read, or `system.tables` and `system.parts` may not be.
    """
    ages = {row["name"]: row for row in database.rows(upkeep_sql("table_ages"))}
    return [
        TableStats(
            name=row["name"],
            rows=row["row_count"],
            bytes_on_disk=row["bytes_on_disk"],
            parts=row["parts"],
            oldest=ages.get(row["name"], {}).get("oldest"),
            newest=ages.get(row["name"], {}).get("newest"),
            ttl=row["ttl"],
        )
        for row in database.rows(upkeep_sql("table_stats"))
    ]
