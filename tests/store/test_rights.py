"""The users that are shipped get what each needs; a writer on a migrated store asks for nothing more."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import Migration, migrate
from acceptfirst_store.rollup import refresh_rollup

STATEMENTS = Migration(
    "users", importlib.resources.files("acceptfirst_store").joinpath("rights/users.sql").read_text()
).statements


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda sql: sql[:40])
def test_each_statement_can_be_parsed(database: Database, statement: str) -> None:
    """The embedded engine has no users, but the grammar and the names of the rights are the server's."""
    assert database.rows(f"EXPLAIN AST {statement}")


def _granted(role: str) -> str:
    return " ".join(sql for sql in STATEMENTS if sql.startswith("GRANT") and sql.endswith(f"TO {role}"))


def test_reader_may_only_select() -> None:
    """Nothing else is granted, and the bounds have limits of their own."""
    assert set(re.findall(r"GRANT (\w+)", _granted("acceptfirst_reads"))) == {"SELECT"}
    [profile] = [sql for sql in STATEMENTS if "PROFILE IF NOT EXISTS" in sql]
    assert "readonly = 2" in profile
    assert profile.count(" MIN 1 MAX ") == 2


def test_writer_may_neither_make_nor_drop() -> None:
    """It inserts, and deletes where the classifier changes its mind."""
    granted = set(re.findall(r"GRANT ([\w ,]+?)(?: ON| TO)", _granted("acceptfirst_writes")))
    assert granted == {"acceptfirst_reads", "INSERT", "ALTER DELETE"}


def test_nobody_may_drop_a_table_or_manage_users() -> None:
    """Not even the migrator: no migration drops one."""
    granted = " ".join(sql for sql in STATEMENTS if sql.startswith("GRANT"))
    assert not re.search(r"DROP TABLE|DROP DATABASE|ACCESS MANAGEMENT|ALL\b|TRUNCATE|SYSTEM\b(?!\.)", granted)


def test_writer_asks_for_no_more_than_its_rights_when_the_store_is_migrated(
    database: Database, make_span: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening, migrating what is migrated, inserting and keeping the rollup are reads and inserts."""
    asked: list[str] = []
    run = Database.run

    def note(self: Database, sql: str, parameters: Any = None) -> None:
        asked.append(re.sub(r"--.*\n", "", sql).split()[0])
        run(self, sql, parameters)

    monkeypatch.setattr(Database, "run", note)
    database.close()
    with open_database(database.address) as opened:
        assert migrate(opened) == []
        opened.insert_rows("otel_traces", [make_span("websocket.transition", {})])
        refresh_rollup(opened)
    assert set(asked) == {"INSERT"}
