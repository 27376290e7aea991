"""Finds the migration files, compares them with what the store remembers, and applies what is missing."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import importlib.resources
import re

from acceptfirst_store.address import DATABASE
from acceptfirst_store.cluster import clustered
from acceptfirst_store.database import Database
from acceptfirst_store.errors import MigrationInvalid

MIGRATION_NAME = re.compile(r"(\d{4})_[a-z]+_[a-z0-9_]+")
TABLE = f"{DATABASE}.schema_migrations"

_CREATE_TABLE = f"""
CREATE TABLE IF NOT EXISTS {TABLE}
(
    id String,
    checksum String,
    status LowCardinality(String),
    updated_at DateTime64(9, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""

_READ_TABLE = f"SELECT id, checksum, status FROM {TABLE} FINAL"  # noqa: S608 - the table is a constant


class Status(enum.StrEnum):
    """How far a migration got in a store."""

    NOT_STARTED = "NOT_STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"


@dataclasses.dataclass(frozen=True)
class Migration:
    """One file: its name without `.sql`, and its text."""

    id: str
    text: str

    @property
    def why(self) -> str:
        """The comment that the file opens with: its date and its reason."""
        lines = self.text.splitlines()
        end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
        return " ".join(line.removeprefix("--").strip() for line in lines[:end])

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, in hex: an applied file that changes is found out by it."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements; each ends with a semicolon at a line's end, and comments stand on lines of their own."""
        code = "\n".join(line for line in self.text.splitlines() if not line.lstrip().startswith("--"))
        return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", code) if part.strip()]


def all_migrations() -> list[Migration]:
    """Return the migrations in the order in which they apply.

    Raises:
        MigrationInvalid: a number is missing or there twice, or a name is not `NNNN_verb_object`.
    """
    folder = importlib.resources.files("acceptfirst_store.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    for number, name in enumerate(names, start=1):
        found = MIGRATION_NAME.fullmatch(name.removesuffix(".sql"))
        if found is None or int(found.group(1)) != number:
            raise MigrationInvalid(f"expected a migration named {number:04}_verb_object.sql; got {name}")
    return [Migration(name.removesuffix(".sql"), folder.joinpath(name).read_text()) for name in names]


def migration_statuses(database: Database) -> dict[str, Status]:
    """Return how far each known migration got in this store; makes the memory table if there is none.

    Raises:
        MigrationInvalid: an applied file was edited, or the store knows a migration that we don't.
    """
    if not database.rows(f"EXISTS TABLE {TABLE}")[0]["result"]:
        _run(database, _CREATE_TABLE)
    remembered = {row["id"]: row for row in database.rows(_READ_TABLE)}
    migrations = {migration.id: migration for migration in all_migrations()}
    unknown = sorted(set(remembered) - set(migrations))
    if unknown:
        raise MigrationInvalid(
            f"the store has the migration {unknown[-1]}, which this version of acceptfirst does not know; upgrade it"
        )
    return {id_: _status(migrations[id_], remembered.get(id_)) for id_ in migrations}


def migrate(database: Database) -> list[str]:
    """Apply what is missing, in order.

    Returns:
        The ids that were applied by this call.

    Raises:
        MigrationInvalid: as `migration_statuses`.
        StoreError: a statement failed; the migration stays IN_PROGRESS and is run again by the next call.
    """
    statuses = migration_statuses(database)
    missing = [migration for migration in all_migrations() if statuses[migration.id] is not Status.COMPLETED]
    for migration in missing:
        _apply(database, migration)
    return [migration.id for migration in missing]


def _apply(database: Database, migration: Migration) -> None:
    _remember(database, migration, Status.IN_PROGRESS)
    for sql in migration.statements:
        _run(database, sql)
    _remember(database, migration, Status.COMPLETED)


def _run(database: Database, statement: str) -> None:
    cluster = database.address.cluster
    for sql in clustered(statement, cluster) if cluster else [statement]:
        database.run(sql)


def _remember(database: Database, migration: Migration, status: Status) -> None:
    # The store's own clock, so that two hosts that migrate one server can't overtake each other's rows.
    database.run(
        f"INSERT INTO {TABLE} SELECT {{id:String}}, {{checksum:String}}, {{status:String}}, now64(9) "
        "SETTINGS async_insert = 0",
        {"id": migration.id, "checksum": migration.checksum, "status": status.value},
    )


def _status(migration: Migration, row: dict[str, str] | None) -> Status:
    """Judge one migration; an edited file matters only once it was applied."""
    if row is None:
        return Status.NOT_STARTED
    status = Status(row["status"])
    if status is Status.COMPLETED and row["checksum"] != migration.checksum:
        raise MigrationInvalid(
            f"the migration {migration.id} was edited after it was applied: expected checksum {row['checksum']}, "
            f"got {migration.checksum}; put it back, and write a new migration"
        )
    return status
