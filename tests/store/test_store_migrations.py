"""Every migration keeps the rules, and all of them together make the schema that the contract names."""

from __future__ import annotations

import dataclasses
import re

import pytest

from acceptfirst_store.database import Database
from acceptfirst_store.errors import MigrationInvalid
from acceptfirst_store.migrations import Migration, Status, all_migrations, migrate, migration_statuses, runner

MIGRATIONS = all_migrations()
each_migration = pytest.mark.parametrize("migration", MIGRATIONS, ids=[migration.id for migration in MIGRATIONS])

TABLES = {
    "handshake_transitions": {
        "connection_id", "sequence", "environment", "service", "service_version", "route", "from_state", "to_state",
        "started_at", "duration_ns", "ended_at", "trigger", "attempt", "readiness_mode", "delay_applied_ms",
        "policy_version", "policy_arm", "weight", "trace_id",
    },
    "handshakes": {
        "connection_id", "environment", "service", "service_version", "route", "attempt", "readiness_mode", "gate",
        "policy_version", "policy_arm", "weight", "delay_applied_ms", "pending_at", "connected_at", "ready_at",
        "connected_ns", "ready_ns", "first_message_ns", "ended_by", "outcome", "ranked_signature", "signature",
        "patterns", "close_code", "close_initiator", "messages_received", "messages_sent", "messages_early", "phases",
        "error_type", "error_kind", "dwell_ms", "idle_ms", "unread_ms", "user_hash", "first_seen", "last_seen",
        "touched_at",
    },
    "handshake_rollup_1m": {
        "minute", "environment", "service", "service_version", "route", "readiness_mode", "policy_version",
        "policy_arm", "handshakes", "ready", "ready_early", "rejected", "failed", "abandoned", "timed_out", "open",
        "n", "connections",
        "accept_ms", "ready_ms", "messages_early", "violations", "patterns", "users", "computed_at", "version",
        "is_deleted",
    },
    "handshake_rollup_marks": {"marked_at", "minute"},
    "job_progress": {"job", "revision", "through", "detail"},
    "otel_traces": {
        "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
        "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
        "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId", "Links.TraceState",
        "Links.Attributes",
    },
    "otel_traces_trace_id_ts": {"TraceId", "Start", "End"},
    "policies": {"environment", "revision", "updated_at", "in_force", "candidate", "share"},
    "policy_events": {
        "environment", "revision", "happened_at", "action", "version", "share", "actor", "reason", "evidence",
        "in_force", "candidate", "origin_revision", "undo_revision",
    },
    "race_condition_patterns": {
        "connection_id", "pattern_type", "sequence", "severity", "environment", "service", "route", "detected_at",
        "evidence", "delay_helps", "classifier_version", "touched_at",
    },
    "schema_migrations": {"id", "checksum", "status", "updated_at"},
}  # fmt: skip


@each_migration
def test_migration_says_why_and_when(migration: Migration) -> None:
    """Each file opens with its date and its reason."""
    assert re.match(r"20\d\d-\d\d-\d\d\. WHY: \w.{40,}", migration.why)


@each_migration
def test_migration_is_idempotent_in_every_statement(migration: Migration) -> None:
    """Each statement can be run again after an interruption."""
    again = ("IF NOT EXISTS", "MODIFY QUERY", "MODIFY COLUMN", "MATERIALIZE COLUMN", "MODIFY SETTING")
    assert migration.statements
    assert all(any(form in sql for form in again) for sql in migration.statements)


@each_migration
def test_migration_names_the_database_of_what_it_makes(migration: Migration) -> None:
    """No statement depends on a handle's current database."""
    made = re.findall(r"(?:CREATE (?:TABLE|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE) (\S+)", migration.text)
    assert made
    assert all(name.startswith("acceptfirst.") for name in made)


def test_migration_numbers_have_no_gap() -> None:
    """The ids count up from one."""
    assert [int(migration.id[:4]) for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_migrate_does_nothing_when_everything_is_applied(database: Database) -> None:
    """A second call applies nothing."""
    assert migrate(database) == []


def test_migrate_remembers_every_migration_as_completed(database: Database) -> None:
    """The store knows what it has."""
    assert set(migration_statuses(database).values()) == {Status.COMPLETED}


@pytest.mark.parametrize(("table", "columns"), TABLES.items(), ids=TABLES)
def test_migrate_makes_the_columns_of_the_contract(database: Database, table: str, columns: set[str]) -> None:
    """The live schema is the one that others rely on."""
    rows = database.rows(
        "SELECT name FROM system.columns WHERE database = 'acceptfirst' AND table = {table:String}", {"table": table}
    )
    assert {row["name"] for row in rows} == columns


@pytest.mark.parametrize("table", ["otel_traces", "handshake_transitions", "handshakes"])
def test_migrate_makes_tables_that_sync_and_drop_twins(database: Database, table: str) -> None:
    """What left the log must be on the disk, and a repeated batch must add nothing."""
    [row] = database.rows(
        "SELECT engine_full FROM system.tables WHERE database = 'acceptfirst' AND name = {table:String}",
        {"table": table},
    )
    assert "non_replicated_deduplication_window = 10000" in row["engine_full"]
    assert "fsync_after_insert = 1, fsync_part_directory = 1" in row["engine_full"]


def test_migrate_refuses_when_an_applied_file_was_edited(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An applied migration is history."""
    edited = [dataclasses.replace(MIGRATIONS[0], text=MIGRATIONS[0].text + "\n"), *MIGRATIONS[1:]]
    monkeypatch.setattr(runner, "all_migrations", lambda: edited)
    with pytest.raises(MigrationInvalid, match=r"0001_create_otel_traces was edited .* write a new migration"):
        migrate(database)


def test_migrate_refuses_when_the_store_is_newer(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old program must not write into a schema that it doesn't know."""
    monkeypatch.setattr(runner, "all_migrations", lambda: MIGRATIONS[:-1])
    with pytest.raises(MigrationInvalid, match="does not know; upgrade it"):
        migrate(database)


def test_migrate_runs_a_migration_again_when_it_was_interrupted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IN_PROGRESS is what a crash leaves behind; the next start finishes it."""
    added = Migration(
        "0099_create_probe", "-- why\nCREATE TABLE IF NOT EXISTS acceptfirst.probe (x UInt8) ENGINE = Null;"
    )
    runner._remember(database, added, Status.IN_PROGRESS)
    monkeypatch.setattr(runner, "all_migrations", lambda: [*MIGRATIONS, added])
    assert migrate(database) == ["0099_create_probe"]
    database.run("DROP TABLE acceptfirst.probe")
    database.run("ALTER TABLE acceptfirst.schema_migrations DELETE WHERE id = '0099_create_probe'", None)
