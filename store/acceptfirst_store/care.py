"""What `acceptfirst db` does, as documents: the same on a store that is open here and behind a collector's API."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from acceptfirst_store.backfill import backfill
from acceptfirst_store.database import Database
from acceptfirst_store.errors import RequestInvalid
from acceptfirst_store.migrations import Status, all_migrations, migrate, migration_statuses
from acceptfirst_store.prune import erase, prune_before
from acceptfirst_store.retention import Retention, apply_retention
from acceptfirst_store.stats import table_stats

SCHEMA_VERSION = 1
_AGE = re.compile(r"(\d{1,5})d")


def migrate_document(
    database: Database, *, dry_run: bool = False, with_backfill: bool = False, retention: str = ""
) -> dict[str, Any]:
    """Bring the schema up to date.

    Args:
        database: open for writing.
        dry_run: only say what would be done.
        with_backfill: then take up spans from before the views.
        retention: then declare how long data are kept, see `Retention.parse`; empty leaves that as it is.

    Returns:
        `applied` (or `pending`, in a dry run): id and why of each; `backfill`: days and spans, or None; `retention`:
        group → days.

    Raises:
        StoreError: it can't be done; what is done stays done, and the next call goes on there.
    """
    wanted = Retention.parse(retention) if retention else None
    if dry_run:
        statuses = migration_statuses(database)
        missing = [id_ for id_, status in statuses.items() if status is not Status.COMPLETED]
    else:
        missing = migrate(database)
    # Without its tables there is nothing yet to be taken up.
    is_ready = not (dry_run and missing)
    taken = backfill(database, dry_run=dry_run) if with_backfill and is_ready else None
    if wanted is not None and not dry_run:
        apply_retention(database, wanted)
    whys = {migration.id: migration.why for migration in all_migrations()}
    return {
        "schema_version": SCHEMA_VERSION,
        "dry_run": dry_run,
        "pending" if dry_run else "applied": [{"id": id_, "why": whys[id_]} for id_ in missing],
        "backfill": {"days": taken.days, "spans": taken.spans} if taken else None,
        "retention_days": wanted.days if wanted else None,
    }


def stats_document(database: Database) -> dict[str, Any]:
    """What each table takes; see `TableStats`.

    Raises:
        StoreError: the store can't be read.
    """
    tables = [table.to_json() for table in table_stats(database)]
    return {"schema_version": SCHEMA_VERSION, "store": str(database.address), "tables": tables}


def prune_document(
    database: Database, *, connection: str = "", user: str = "", older_than: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Erase a connection or a user, or drop what is older than an age; one of the three.

    Args:
        database: open for writing.
        connection: its id.
        user: the hash of a user.
        older_than: an age in days, such as `90d`: whole days in UTC are dropped, the rollup stays.
        dry_run: only count.

    Raises:
        RequestInvalid: none or several are given, or one can't be understood.
        StoreError: the store can't be read or written.
    """
    if sum(map(bool, (connection, user, older_than))) != 1:
        raise RequestInvalid("expected one of a connection's id, a user's hash and an age; got none or several")
    if not older_than:
        return erase(database, connection_id=connection, user_hash=user, dry_run=dry_run).to_json()
    found = _AGE.fullmatch(older_than)
    if found is None or int(found.group(1)) < 1:
        raise RequestInvalid(f"expected an age of whole days such as 90d; got {older_than[:64]!r}")
    [row] = database.rows("SELECT toDate(now('UTC')) AS today")
    first_kept: dt.date = row["today"] - dt.timedelta(days=int(found.group(1)))
    return {**prune_before(database, first_kept, dry_run=dry_run).to_json(), "first_day_kept": first_kept.isoformat()}
