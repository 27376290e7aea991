"""What killed processes left in a store goes when it is opened; what lives stays."""

from __future__ import annotations

from pathlib import Path

from acceptfirst_store.abandoned import AGE_SECONDS
from acceptfirst_store.database import open_database
from acceptfirst_store.migrations import migrate
from acceptfirst_store.upkeep import upkeep_sql

LEFT = ["classifying_0123456789abcdef0123456789abcdef", "simulated_0123456789abcdef0123456789abcdef"]


def test_tables_of_killed_runs_are_dropped_when_an_embedded_store_is_opened(tmp_path: Path) -> None:
    """Nobody else can have it open; everything else stays."""
    dsn = f"chdb://{tmp_path}/db"
    names = "SELECT name FROM system.tables WHERE database = 'acceptfirst' ORDER BY name"
    with open_database(dsn) as database:
        migrate(database)
        for name in [*LEFT, "classifying_mine"]:
            database.run(f"CREATE TABLE acceptfirst.{name} (n UInt8) ENGINE = Memory")
        before = {str(row["name"]) for row in database.rows(names)}
    with open_database(dsn) as database:
        after = {str(row["name"]) for row in database.rows(names)}
    assert before - after == set(LEFT)
    assert after >= {"handshakes", "classifying_mine"}


def test_tables_of_others_stay_when_a_server_is_opened(tmp_path: Path) -> None:
    """There somebody may be at work: only what is a day old goes."""
    with open_database(f"chdb://{tmp_path}/db") as database:
        database.run(f"CREATE TABLE acceptfirst.{LEFT[0]} (n UInt8) ENGINE = Memory")
        sql = upkeep_sql("abandoned_tables")
        young = database.rows(sql, {"age_s": AGE_SECONDS})
        assert (young, [row["name"] for row in database.rows(sql, {"age_s": 0})]) == ([], LEFT[:1])
