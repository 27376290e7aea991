"""`python -m acceptfirst_cli.doctor.trial`: opens the store whose DSN comes on standard input, says how it is as JSON.

Without a DSN it only asks the embedded engine for its version, in memory.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import chdb  # before any other native library: two that bring their own C++ runtime can upset each other otherwise

from acceptfirst_store.database import open_database
from acceptfirst_store.errors import StoreError
from acceptfirst_store.migrations import Status, migration_statuses

RIGHTS = ("SELECT", "INSERT", "CREATE TABLE", "CREATE VIEW", "ALTER TABLE")


def examine(dsn: str) -> dict[str, Any]:
    """Say the version, what the user may not do, and which migrations are missing; or the error."""
    if not dsn:
        answer: Any = chdb.query("SELECT version()", "TSV")  # type: ignore[no-untyped-call]  # chdb publishes no types
        return {"version": answer.bytes().decode().strip()}
    try:
        with open_database(dsn) as database:
            return {
                "version": database.rows("SELECT version() AS version")[0]["version"],
                "missing_rights": [right for right in RIGHTS if not database.may(right)],
                "pending": [
                    name for name, status in migration_statuses(database).items() if status is not Status.COMPLETED
                ],
            }
    except StoreError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    json.dump(examine(sys.stdin.read().strip()), sys.stdout)
