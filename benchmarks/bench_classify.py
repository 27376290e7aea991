"""How fast stored handshakes are classified, writing included, and how much of that is this machine's own time.

    python benchmarks/bench_classify.py --connections 1000000 --copies 10 --write docs/benchmarks-analysis.md

Simulated connections, one in a hundred with a fault, are written once and copied to as many days inside the store, so
that the store is the size of a real one. Wall time depends on who else works on the machine; processor time less so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import chdb  # noqa: F401 - before any other native library: see serve

from acceptfirst.catalogue import load_catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.simulate import Plan, simulate, write_rows
from acceptfirst_analysis.window import window_between
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

MONDAY: Final = datetime(2026, 6, 1, tzinfo=UTC)
DAY: Final = timedelta(days=1)
BEGIN, END = "<!-- bench_classify: begin -->", "<!-- bench_classify: end -->"

MOVED: Final = ("connection_id", "first_seen", "last_seen", "pending_at", "connected_at", "ready_at")
LATER = """
    toFixedString(concat(substring(reverse(reinterpretAsString(
        reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))) + 86400000 * {days:UInt32}
        + bitShiftLeft(toUInt64(1), 56))), 3), substring(connection_id, 7)), 16),
    first_seen + INTERVAL {days:UInt32} DAY, last_seen + INTERVAL {days:UInt32} DAY,
    if(toUnixTimestamp64Nano(pending_at) = 0, pending_at, pending_at + INTERVAL {days:UInt32} DAY),
    if(toUnixTimestamp64Nano(connected_at) = 0, connected_at, connected_at + INTERVAL {days:UInt32} DAY),
    if(toUnixTimestamp64Nano(ready_at) = 0, ready_at, ready_at + INTERVAL {days:UInt32} DAY)"""
"""The columns of ``MOVED``, so many days later."""


@dataclass(frozen=True)
class Taken:
    """What a run took."""

    what: str
    connections: int
    wall_s: float
    cpu_s: float

    def row(self) -> str:
        """A line of the table."""
        cores = os.cpu_count() or 1
        return (
            f"| {self.what} | {self.connections:,} | {self.wall_s:.2f} | {self.cpu_s:.2f} | "
            f"{self.connections / self.wall_s:,.0f} | {self.connections / self.cpu_s * min(cores, 2):,.0f} |"
        )


def measured(what: str, run: Callable[[], int]) -> Taken:
    """Run once, and say what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    connections = run()
    return Taken(what, connections, time.perf_counter() - wall, time.process_time() - cpu)


def fill(database: Database, connections: int, copies: int, share: float) -> None:
    """Write one simulated day, and copy it to others."""
    plan = Plan(
        connections=connections, since=MONDAY, until=MONDAY + DAY, faults=share, impatient=0.02, users=connections // 10
    )
    write_rows(database, plan, simulate(plan))
    described = database.rows("DESCRIBE TABLE acceptfirst.handshakes")
    columns = [row["name"] for row in described if row["default_type"] != "ALIAS"]
    kept = ", ".join(name for name in columns if name not in (*MOVED, "touched_at"))
    for days in range(1, copies):
        database.run(
            f"INSERT INTO acceptfirst.handshakes ({kept}, {', '.join(MOVED)}) SELECT {kept}, {LATER} "  # noqa: S608 - columns of the table itself
            "FROM acceptfirst.handshakes WHERE first_seen < {until:String}",
            {"days": days, "until": (MONDAY + DAY).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")},
        )


def run(connections: int, copies: int) -> list[Taken]:
    """Classify clean and faulty traffic, from nothing and again."""
    catalogue = load_catalogue()
    taken = []
    for name, share in (("one in a hundred has a fault", 0.01), ("nothing is wrong", 0.0)):
        with tempfile.TemporaryDirectory() as folder, open_database(f"chdb://{folder}/db") as database:
            migrate(database)
            fill(database, connections, copies, share)
            database.run("OPTIMIZE TABLE acceptfirst.handshakes FINAL")
            window = window_between(MONDAY - DAY, MONDAY + (copies + 1) * DAY, now=datetime.now(UTC))

            def classified(store: Database = database) -> int:
                return classify(store, catalogue, window).connections  # noqa: B023 - called in the same turn

            taken.append(measured(f"{name}, the first time", classified))
            taken.append(measured(f"{name}, again", classified))
    return taken


def table(taken: list[Taken]) -> str:
    """The table, as Markdown."""
    head = "| | connections | wall, s | processor, s | a second, as it was | a second of two cores of its own |\n"
    return head + "|---|---:|---:|---:|---:|---:|\n" + "\n".join(one.row() for one in taken)


def write(path: Path, text: str) -> None:
    """Put the table between its marks."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Read the arguments, measure, print or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = table(run(arguments.connections, arguments.copies))
    print(text)
    if arguments.write:
        write(arguments.write, text)


if __name__ == "__main__":
    main()
