"""How often the classifier accuses the innocent: simulated handshakes of which the truth is known.

    python benchmarks/bench_clean.py --seeds 40 --write docs/benchmarks-analysis.md

Each seed is two days of four environments in another mode each, with three deploys that changed nothing, cold starts,
drift, clients that leave before anything is ready, and half of the seeds sampled. Clean is what the simulator labels
with no race; wrong is a pattern that the classifier names and the label does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import chdb  # noqa: F401 - before any other native library: see serve

from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.simulate import Plan, place, simulate, write_rows
from acceptfirst_analysis.simulate.plan import Deploy
from acceptfirst_analysis.simulate.score import truth_of
from acceptfirst_analysis.window import window_between
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

MONDAY: Final = datetime(2026, 6, 1, tzinfo=UTC)
DAYS: Final = timedelta(days=2)
BEGIN, END = "<!-- bench_clean: begin -->", "<!-- bench_clean: end -->"
TABLES: Final = ("handshakes", "handshake_transitions", "race_condition_patterns")
FOUND: Final = (
    "SELECT lower(hex(connection_id)) AS id, pattern_type, severity FROM acceptfirst.race_condition_patterns FINAL"
)
SEVERE: Final = frozenset({"critical", "fatal"})
ENVIRONMENTS: Final = ("testing", "development", "staging", "production")
MODES: Final = ("auto", "event", "polled", "blind")


@dataclass
class Count:
    """What was asked and what was said.

    Attributes:
        clean: connections that no race happened to.
        severe: of them, those that were called critical or fatal.
        wrong: wrong findings by pattern, also on connections that another race happened to.
        deploys: deploys, by environment, that changed nothing.
        right: findings that the label has too.
    """

    clean: int = 0
    severe: int = 0
    deploys: int = 0
    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)


def plan_of(seed: int, connections: int) -> Plan:
    """A plan in which nothing is broken: what races there are come from time alone."""
    deploys = tuple(Deploy(version=f"1.{n}", at=MONDAY + timedelta(hours=11 * n)) for n in (1, 2, 3))
    sample_rate = (1.0, 0.5)[seed % 2]
    places = tuple(
        place(name, mode=MODES[(seed + number) % len(MODES)], sample_rate=sample_rate)
        for number, name in enumerate(ENVIRONMENTS)
    )
    return Plan(
        connections=connections,
        since=MONDAY,
        until=MONDAY + DAYS,
        seed=seed,
        places=places,
        faults=0.0,
        episodes=0,
        impatient=0.1,
        leave_ms=200.0,
        cold_starts=seed % 3,
        drift=(-0.05, 0.0, 0.1)[seed % 3],
        deploys=deploys,
        users=connections // 20,
    )


def ask(database: Database, catalogue: Catalogue, plan: Plan, count: Count) -> None:
    """Classify one plan, and count."""
    for table in TABLES:
        database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    write_rows(database, plan, simulate(plan))
    now = MONDAY + 4 * DAYS
    classify(database, catalogue, window_between(MONDAY - DAYS, MONDAY + 2 * DAYS, now=now))
    truth = truth_of(simulate(plan))
    clean = {connection for connection, names in truth.items() if not names}
    rows = database.rows(FOUND)
    said = {(row["id"], row["pattern_type"]): row["severity"] for row in rows}
    wrong = {key: severity for key, severity in said.items() if key[1] not in truth.get(key[0], ())}
    count.clean += len(clean)
    count.severe += len({key[0] for key, severity in wrong.items() if severity in SEVERE and key[0] in clean})
    count.deploys += len(plan.deploys) * len(plan.places)
    count.right += len(said) - len(wrong)
    count.wrong.update(key[1] for key in wrong)


def table(count: Count, seeds: int) -> str:
    """The figures, as Markdown."""
    wrong = ", ".join(f"{name} {n}" for name, n in count.wrong.most_common()) or "none"
    rows = [
        ("seeds", f"{seeds}"),
        ("clean connections", f"{count.clean:,}"),
        ("of them called critical or fatal", f"{count.severe:,}"),
        ("deploys that changed nothing (by environment)", f"{count.deploys:,}"),
        ("wrong findings of any pattern and severity", wrong),
        ("right findings (races that time alone made)", f"{count.right:,}"),
    ]
    return "| | |\n|---|---:|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def write(path: Path, text: str) -> None:
    """Put the table between its marks."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Read the arguments, count, print or write; gives the exit code: 1 where anybody was wrongly called critical."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    count, catalogue = Count(), load_catalogue()
    with tempfile.TemporaryDirectory() as folder, open_database(f"chdb://{folder}/db") as database:
        migrate(database)
        for seed in range(1, arguments.seeds + 1):
            ask(database, catalogue, plan_of(seed, arguments.connections), count)
    text = table(count, arguments.seeds)
    print(text)
    if arguments.write:
        write(arguments.write, text)
    return 1 if count.severe else 0


if __name__ == "__main__":
    sys.exit(main())
