"""Drops what killed processes left in a store: tables that live no longer than one run, but outlive a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from acceptfirst_store.address import DATABASE
from acceptfirst_store.upkeep import upkeep_sql

if TYPE_CHECKING:
    from acceptfirst_store.database import Database  # it calls this when it has opened a store

AGE_SECONDS: Final = 86_400
"""On a server, where nobody knows who else is at work: no run takes a day."""


def drop_abandoned(database: Database) -> list[str]:
    """Drop them.

    Call it when a store has just been opened: an embedded one then belongs to this process alone, so nobody who is
    alive uses any of them.

    Args:
        database: open; one that may not drop tables is left as it is.

    Returns:
        The names of the tables.

    Raises:
        StoreError: when the store can't be read or written.
    """
    age_s = 0 if database.address.path is not None else AGE_SECONDS
    names = [str(row["name"]) for row in database.rows(upkeep_sql("abandoned_tables"), {"age_s": age_s})]
    if names and not database.may("DROP TABLE"):
        return []
    for name in names:
        database.run(f"DROP TABLE IF EXISTS {DATABASE}.{name} SYNC")
    return names
