"""In a cluster the same migrations make replicated tables with distributed ones over them, in SQL that parses."""

from __future__ import annotations

import re

import pytest

from acceptfirst_store.address import StoreAddress
from acceptfirst_store.cluster import SHARDING, clustered
from acceptfirst_store.database import Database
from acceptfirst_store.errors import AddressInvalid, MigrationInvalid
from acceptfirst_store.migrations import all_migrations

CLUSTER = "main-1"
STATEMENTS = [
    (f"{migration.id}-{position}", statement)
    for migration in all_migrations()
    for position, statement in enumerate(migration.statements)
]
CLUSTERED = [sql for _, statement in STATEMENTS for sql in clustered(statement, CLUSTER)]
STORED = re.compile(r"CREATE TABLE IF NOT EXISTS acceptfirst\.(\w+)_local ON CLUSTER 'main-1'")


@pytest.mark.parametrize("statement", [sql for _, sql in STATEMENTS], ids=[name for name, _ in STATEMENTS])
def test_each_statement_of_a_cluster_can_be_parsed(database: Database, statement: str) -> None:
    """There is no cluster here, but the grammar is the same."""
    for sql in clustered(statement, CLUSTER):
        assert database.rows(f"EXPLAIN AST {sql}")


def test_each_statement_runs_on_the_whole_cluster() -> None:
    """A node that missed one would be a shard of its own."""
    assert [sql for sql in CLUSTERED if f"ON CLUSTER '{CLUSTER}'" not in sql] == []


def test_each_table_that_stores_is_replicated_and_spread() -> None:
    """Under the name that everybody uses lies a Distributed table, under `_local` a Replicated one."""
    stored = {found[1]: sql for sql in CLUSTERED if (found := STORED.match(sql))}
    assert {"otel_traces", "handshakes", "handshake_rollup_1m", "policy_events"} <= set(stored)
    for name, sql in stored.items():
        assert re.search(rf"ENGINE = Replicated\w*MergeTree\('/clickhouse/tables/{{shard}}/acceptfirst/{name}', ", sql)
        spread = f"Distributed('{CLUSTER}', 'acceptfirst', '{name}_local', {SHARDING.get(name, '0')})"
        assert [other for other in CLUSTERED if other.endswith(f"ENGINE = {spread}")] != []


def test_replicated_tables_keep_what_their_engines_were_told() -> None:
    """The version by which rows replace one another, and the window of tokens under its other name."""
    [rollup] = [sql for sql in CLUSTERED if STORED.match(sql) and "acceptfirst.handshake_rollup_1m_local" in sql]
    assert "'{replica}', version, is_deleted)" in rollup
    [traces] = [sql for sql in CLUSTERED if STORED.match(sql) and "acceptfirst.otel_traces_local" in sql]
    assert " replicated_deduplication_window = 10000" in traces
    assert not [sql for sql in CLUSTERED if "non_replicated" in sql]


def test_everything_of_a_connection_lies_on_one_shard() -> None:
    """Otherwise FINAL would leave one row a shard."""
    of_connections = ["handshake_transitions", "handshakes", "race_condition_patterns"]
    assert {SHARDING[name] for name in of_connections} == {"cityHash64(connection_id)"}


def test_views_read_their_own_node_and_write_to_all() -> None:
    """A view over what spreads would see each row on the node that it was sent to, not on the one that keeps it."""
    views = [sql for sql in CLUSTERED if "CREATE MATERIALIZED VIEW" in sql or "MODIFY QUERY" in sql]
    assert views
    for sql in views:
        assert set(re.findall(r"FROM acceptfirst\.(\w+)", sql)) <= {
            "otel_traces_local",
            "otlp_requests",
            "otlp_plain_requests",
            "policy_events_local",
        }
        assert not re.search(r"TO acceptfirst\.\w+_local", sql)


def test_columns_and_their_defaults_are_changed_in_both_tables_and_indexes_in_one() -> None:
    """An insert fills in the defaults of the table that it names; only what stores has indexes and parts."""
    for change in ("ADD COLUMN IF NOT EXISTS y UInt8 DEFAULT 1", "MODIFY COLUMN y DEFAULT now()"):
        assert clustered(f"ALTER TABLE acceptfirst.x {change}", "c") == [
            f"ALTER TABLE acceptfirst.x_local ON CLUSTER 'c' {change}",
            f"ALTER TABLE acceptfirst.x ON CLUSTER 'c' {change}",
        ]
    for change in ("ADD INDEX IF NOT EXISTS i y TYPE minmax", "MATERIALIZE COLUMN y"):
        assert len(clustered(f"ALTER TABLE acceptfirst.x {change}", "c")) == 1


@pytest.mark.parametrize("statement", ["DROP TABLE acceptfirst.x", "CREATE TABLE acceptfirst.x (a UInt8) ENGINE = Log"])
def test_a_statement_that_is_not_known_is_refused(statement: str) -> None:
    """Run as it is, it would change one node of many."""
    with pytest.raises(MigrationInvalid, match="expected a statement that can be run in a cluster"):
        clustered(statement, "c")


def test_an_engine_that_can_not_be_replicated_is_refused() -> None:
    """It names the table and the engine."""
    with pytest.raises(MigrationInvalid, match="expected a table of the MergeTree family; x has the engine 'Log'"):
        clustered("CREATE TABLE IF NOT EXISTS acceptfirst.x (a UInt8) ENGINE = Log", "c")


def test_address_takes_the_cluster_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server has one, an embedded store none."""
    monkeypatch.setenv("ACCEPTFIRST_CLUSTER", CLUSTER)
    assert StoreAddress.parse("clickhouse://host").cluster == CLUSTER
    assert StoreAddress.parse("chdb:///data/db").cluster == ""


def test_address_refuses_a_cluster_that_could_break_out_of_its_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name goes where no parameter can stand."""
    monkeypatch.setenv("ACCEPTFIRST_CLUSTER", "x' SYNC; DROP")
    with pytest.raises(AddressInvalid, match="expected a cluster's name in ACCEPTFIRST_CLUSTER"):
        StoreAddress.parse("clickhouse://host")
