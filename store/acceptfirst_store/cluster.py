"""Turns the migrations' statements into those of a cluster: Replicated tables, with Distributed ones over them.

A migration is written once, for one server. For a cluster each table becomes `<name>_local` on every node, replicated
within its shard, and `<name>` spreads over them; readers and writers name the latter and notice nothing. Everything of
one connection lies on one shard, by the hash of its id, so that FINAL there is FINAL everywhere. Views read what
arrives at their own node and write to what spreads.

A statement that none of the rules below knows is an error, never passed on as it is.
"""

from __future__ import annotations

import re

from acceptfirst_store.errors import MigrationInvalid

PATH = "/clickhouse/tables/{shard}/acceptfirst"

#: What decides which shard a row lies on; a table that is not named lies on the first one, whole.
SHARDING = {
    "otel_traces": "cityHash64(TraceId)",
    "otel_traces_trace_id_ts": "cityHash64(TraceId)",
    "handshake_transitions": "cityHash64(connection_id)",
    "handshakes": "cityHash64(connection_id)",
    "race_condition_patterns": "cityHash64(connection_id)",
    "handshake_rollup_1m": "cityHash64(minute)",
}

_DATABASE = re.compile(r"\s*CREATE DATABASE IF NOT EXISTS (\w+)(.*)", re.DOTALL)
_TABLE = re.compile(r"\s*CREATE TABLE IF NOT EXISTS acceptfirst\.(\w+)\s*(\(.*\))\s*ENGINE = (.*)", re.DOTALL)
_VIEW = re.compile(
    r"\s*CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst\.(\w+)\s+TO acceptfirst\.(\w+)\s+AS\s+(.*)", re.DOTALL
)
_ALTER = re.compile(r"\s*ALTER TABLE acceptfirst\.(\w+)\s+(.*)", re.DOTALL)
_ENGINE = re.compile(r"(\w*)MergeTree(?:\(([^)]*)\))?(.*)", re.DOTALL)
_READ = re.compile(r"\bFROM acceptfirst\.(\w+)")
#: Tables that hold nothing and pass everything on: no replica of them is needed.
_PASSING = frozenset({"otlp_requests", "otlp_plain_requests"})


def clustered(statement: str, cluster: str) -> list[str]:
    """Rewrite one statement of a migration.

    Args:
        statement: as `Migration.statements` gives it.
        cluster: its name, as in `system.clusters`; letters, digits, `_`, `-` and `.`.

    Returns:
        One or more statements, to be run in this order.

    Raises:
        MigrationInvalid: the statement is of a kind that is not known here.
    """
    on = f"ON CLUSTER '{cluster}'"
    if found := _DATABASE.fullmatch(statement):
        return [f"CREATE DATABASE IF NOT EXISTS {found[1]} {on}{found[2]}"]
    if found := _TABLE.fullmatch(statement):
        return _tables(found[1], found[2], found[3], on, cluster)
    if found := _VIEW.fullmatch(statement):
        query = _READ.sub(lambda read: f"FROM {local(read[1])}", found[3])
        return [
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS acceptfirst.{found[1]} {on} TO acceptfirst.{found[2]}\nAS {query}"
        ]
    if found := _ALTER.fullmatch(statement):
        return _altered(found[1], found[2], on)
    raise MigrationInvalid(f"expected a statement that can be run in a cluster; got {statement[:80]!r}")


def local(table: str) -> str:
    """Name the table that holds the rows of a node."""
    return f"acceptfirst.{table}" if table in _PASSING else f"acceptfirst.{table}_local"


def _tables(name: str, columns: str, engine: str, on: str, cluster: str) -> list[str]:
    if name in _PASSING:
        return [f"CREATE TABLE IF NOT EXISTS acceptfirst.{name} {on}\n{columns}\nENGINE = {engine}"]
    found = _ENGINE.fullmatch(engine)
    if found is None:
        raise MigrationInvalid(f"expected a table of the MergeTree family; {name} has the engine {engine[:40]!r}")
    kind, arguments, rest = found[1], found[2], found[3]
    rest = rest.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    where = f"'{PATH}/{name}', '{{replica}}'" + (f", {arguments}" if arguments else "")
    sharding = SHARDING.get(name, "0")
    rows = (
        f"CREATE TABLE IF NOT EXISTS {local(name)} {on}\n{columns}\nENGINE = Replicated{kind}MergeTree({where}){rest}"
    )
    engine = f"Distributed('{cluster}', 'acceptfirst', '{name}_local', {sharding})"
    return [rows, f"CREATE TABLE IF NOT EXISTS acceptfirst.{name} {on} AS {local(name)}\nENGINE = {engine}"]


def _altered(name: str, change: str, on: str) -> list[str]:
    if change.startswith("MODIFY QUERY"):
        query = _READ.sub(lambda read: f"FROM {local(read[1])}", change)
        return [f"ALTER TABLE acceptfirst.{name} {on} {query}"]
    of_replicas = change.replace("non_replicated_deduplication_window", "replicated_deduplication_window")
    statements = [f"ALTER TABLE {local(name)} {on} {of_replicas}"]
    if change.startswith(("ADD COLUMN", "MODIFY COLUMN", "DROP COLUMN")):
        # An insert fills in the defaults of what it names, which is the table that spreads.
        statements.append(f"ALTER TABLE acceptfirst.{name} {on} {change}")
    return statements
