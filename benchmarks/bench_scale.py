"""What is asked of a store of a hundred million transitions, and what it costs: boards, identities, lists, analysis.

    python benchmarks/bench_scale.py --connections 25000000 --weeks 4 --folder DIR --write docs/benchmarks-scale.md

The store is made in DIR (`scale_store`; 10 GB, a quarter of an hour and more) and stays there: a second run measures it
again, and whoever wants the room back deletes it. Each question is asked a few times and the median counts, on a
machine whose load is told. It ends with 1 where a panel takes more than a second, or an identity more than 50 ms.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from bench_dashboards import REPEATS, questions
from endurance_hostile import serving
from measured_page import machine, write_between
from scale_store import HOUR, Building, Hours, milliseconds

from acceptfirst.catalogue import load_catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.tuning.recommend import recommend
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.window import window_between
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate
from acceptfirst_store.rollup import refresh_rollup

PANEL_MS_MAX: Final = 1000.0
IDENTITY_MS_MAX: Final = 50.0
HOURS_PER_WEEK: Final = 168

#: The page of one connection asks all of these.
BY_CONNECTION: Final = ("handshake_by_id", "transitions_by_id", "occurrences_by_id")

Rows = list[tuple[str, ...]]


def build(folder: Path, connections: int, weeks: int) -> None:
    """Make the store and write down what it took."""
    (folder / "data").mkdir(parents=True)
    with open_database(f"chdb://{folder}/data/db") as database:
        migrate(database)
        until = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        building = Building(database, Hours(until, weeks * HOURS_PER_WEEK, connections))
        building.build(weeks * HOURS_PER_WEEK)
    built = {"steps": building.steps, "rollup": building.rollup, "until": until.isoformat()}
    (folder / "built.json").write_text(json.dumps({**built, "hours": building.hours.hours}))


def built_rows(built: dict[str, Any]) -> Rows:
    """What building took: the steps of a kind together."""
    kinds = dict.fromkeys(step[0] for step in built["steps"])
    steps = {kind: [step for step in built["steps"] if step[0] == kind] for kind in kinds}
    return [(kind, f"{some[-1][1]:,}", f"{sum(step[2] for step in some):,.0f} s") for kind, some in steps.items()]


def stored_rows(database: Database) -> Rows:
    """How large the tables are."""
    rows = database.rows(
        "SELECT table, sum(rows) AS n, sum(bytes_on_disk) AS bytes, count() AS parts FROM system.parts "
        "WHERE active AND database = 'acceptfirst' GROUP BY table HAVING n > 100000 ORDER BY n DESC"
    )
    return [
        (
            row["table"],
            f"{row['n']:,}",
            f"{row['bytes'] / row['n']:.1f} B",
            f"{row['bytes'] / 1e9:.2f} GB",
            f"{row['parts']}",
        )
        for row in rows
    ]


def panel_rows(database: Database, hours: Hours) -> tuple[Rows, float]:
    """Milliseconds of each panel and rule, over the range that its board opens with and over all that is stored."""
    until = hours.until
    usual = {name: (sql, parameters) for name, sql, parameters in questions(until)}
    rows: Rows = []
    worst = 0.0
    for name, (sql, parameters) in usual.items():
        taken = [milliseconds(lambda: database.statement_rows(sql, parameters), REPEATS)]  # noqa: B023 - called in the same turn
        if "since" in parameters:
            length = int((until - hours.since).total_seconds())
            wide = {**parameters, "since": f"{hours.since:%Y-%m-%d %H:%M:%S}", "step_s": length // 300}
            taken.append(milliseconds(lambda: database.statement_rows(sql, wide), REPEATS))  # noqa: B023 - as above
        worst = max(worst, *taken)
        rows.append((name, *(f"{one:.0f} ms" for one in taken), *([""] if len(taken) == 1 else [])))
    return rows, worst


def identity_rows(database: Database, hours: Hours) -> tuple[Rows, float]:
    """Milliseconds to find a connection and a trace, by identities from all over the store."""
    connections = [_connection_at(database, hours.since + number * hours.hours * HOUR / 12) for number in range(12)]
    asked: dict[str, tuple[str, str]] = {name: (name, "connection_id") for name in BY_CONNECTION}
    rows: Rows = []
    worst = 0.0
    for name, (sql, _) in asked.items():
        taken = [
            milliseconds(lambda: database.statement_rows(sql, {"connection_id": one["connection_id"]}), REPEATS)  # noqa: B023 - called in the same turn
            for one in connections
        ]
        rows.append((name, f"{sorted(taken)[len(taken) // 2]:.1f} ms", f"{max(taken):.1f} ms"))
        worst = max(worst, *taken)
    taken = [
        milliseconds(lambda: database.statement_rows("panel_trace", {"trace_id": one["trace_id"]}), REPEATS)  # noqa: B023 - as above
        for one in connections
    ]
    rows.append(("a trace, with its spans", f"{sorted(taken)[len(taken) // 2]:.1f} ms", f"{max(taken):.1f} ms"))
    return rows, max(worst, *taken)


def _connection_at(database: Database, at: dt.datetime) -> dict[str, str]:
    [row] = database.rows(
        "SELECT lower(hex(connection_id)) AS connection_id, lower(hex(trace_id)) AS trace_id "
        "FROM acceptfirst.handshake_transitions "
        "WHERE connection_id >= toFixedString(unhex({first:String}), 16) ORDER BY connection_id LIMIT 1",
        {"first": f"{int(at.timestamp() * 1000):012x}{0:020x}"},
    )
    return {name: str(value) for name, value in row.items()}


def analysis_rows(database: Database, hours: Hours) -> Rows:
    """What it takes to classify and to recommend."""
    window = window_between(hours.since - HOUR, hours.until + HOUR, now=hours.until + HOUR)
    catalogue = load_catalogue()
    rows: Rows = []
    for what in ("classify, the first time", "classify, again"):
        began, cpu = time.perf_counter(), time.process_time()
        found = classify(database, catalogue, window)
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        speed = f"{found.connections / wall:,.0f} connections/s"
        rows.append((what, f"{wall:.1f} s", f"{used:.1f} s", f"{speed}, {found.occurrences:,} occurrences"))
    began, cpu = time.perf_counter(), time.process_time()
    refresh_rollup(database)
    rows.append(("the rollup of it", f"{time.perf_counter() - began:.1f} s", f"{time.process_time() - cpu:.1f} s", ""))
    began, cpu = time.perf_counter(), time.process_time()
    advice = recommend(database, catalogue, window, settings=Settings())
    taken = f"{time.perf_counter() - began:.1f} s", f"{time.process_time() - cpu:.1f} s"
    rows.append(("recommend", *taken, f"{len(advice)} rows, n {max((row.n for row in advice), default=0):,}"))
    return rows


def served_rows(url: str, hours: Hours) -> Rows:
    """What people and programs wait for who ask a running serve."""
    day = f"{hours.until - dt.timedelta(days=14):%Y-%m-%dT%H:%M:%SZ}"
    next_day = f"{hours.until - dt.timedelta(days=13):%Y-%m-%dT%H:%M:%SZ}"
    paths = [
        "/",
        "/?environment=production",
        "/patterns",
        "/api/v1/handshakes",
        "/api/v1/handshakes?environment=staging",
        "/api/v1/handshakes?environment=testing",
        "/api/v1/handshakes?service=chat",
        "/api/v1/handshakes?route=/ws/3&limit=1000",
        "/api/v1/handshakes?since=1h",
        f"/api/v1/handshakes?until={day}",
        f"/api/v1/handshakes?since={day}&until={next_day}&environment=production",
        "/api/v1/patterns",
        "/api/v1/patterns?environment=production&since=7d",
        "/api/v1/recommendations",
        "/metrics",
    ]
    rows: Rows = []
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        for path in paths:
            statuses: list[int] = []
            began = time.perf_counter()
            statuses.append(client.get(path).status_code)
            first = (time.perf_counter() - began) * 1000
            again = milliseconds(lambda: statuses.append(client.get(path).status_code), REPEATS)  # noqa: B023 - called in the same turn
            wrong = "".join(f" ({status})" for status in sorted({*statuses} - {200}))
            rows.append((f"`{path}`{wrong}", f"{first:.0f} ms", f"{again:.0f} ms"))
    return rows


def worker_rows(url: str, hours: Hours) -> Rows:
    """Memory of the process that answers, beside the serve that holds the store."""
    rows: Rows = []
    for job in ("recommend", "report"):
        question = {"since": hours.since.isoformat(), "until": hours.until.isoformat()}
        asked = json.dumps({"url": url, "token": "", "question": question})
        began = time.perf_counter()
        run = [sys.executable, str(Path(__file__).resolve()), "--answer", job]
        done = subprocess.run(run, input=asked, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
        wall = time.perf_counter() - began
        rows.append((job, f"{wall:.1f} s", f"{int(done.stdout) / 1024:.0f} MiB"))
    return rows


def answer(job: str) -> int:
    """Be the process that answers, and print the most memory that it had, in KiB."""
    from acceptfirst_cli.jobs.worker import main as answered  # noqa: PLC0415 - its memory is what is measured

    document = answered([job], sys.stdin.read())
    if "error" in document:
        raise SystemExit(f"expected an answer, but got: {document['error']}")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return 0


def sections(folder: Path) -> Iterator[tuple[str, tuple[str, ...], Rows, float]]:
    """Measure; title, head, rows and by how much a limit was exceeded (at most 1: not at all)."""
    built = json.loads((folder / "built.json").read_text())
    hours = Hours(dt.datetime.fromisoformat(built["until"]), int(built["hours"]), 0)
    yield "Made in", ("step", "rows", "together"), built_rows(built), 0.0
    rollup: Rows = [(f"{n:,}", *(f"{one:.0f} ms" for one in costs)) for n, *costs in built["rollup"]]
    head: tuple[str, ...] = ("transitions stored", "find what was touched", "compute a minute", "compute an hour")
    yield "The rollup, ten connections touched", head, rollup, 0.0
    with open_database(f"chdb://{folder}/data/db") as database:
        migrate(database)
        yield "Stored", ("table", "rows", "a row", "all", "parts"), stored_rows(database), 0.0
        rows, worst = identity_rows(database, hours)
        yield "By identity", ("", "median", "largest"), rows, worst / IDENTITY_MS_MAX
        yield "Analysis", ("", "wall", "processor", ""), analysis_rows(database, hours), 0.0
        rows, worst = panel_rows(database, hours)
        yield "Panels and rules", ("", "as its board opens", "all weeks"), rows, worst / PANEL_MS_MAX
    with serving(folder / "data") as (url, _):
        yield "Asked of serve", ("path", "the first time", "then"), served_rows(url, hours), 0.0
        head = ("job", "wall", "largest resident memory")
        yield "Analysis in a process of its own", head, worker_rows(url, hours), 0.0


def table(title: str, head: tuple[str, ...], rows: Rows) -> str:
    """One section, as Markdown."""
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)]), *(" | ".join(row) for row in rows)]
    return f"## {title}\n\n" + "\n".join(f"| {line} |" for line in lines)


def main() -> int:
    """Make the store where there is none, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=25_000_000)
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path(".acceptfirst/scale"))
    parser.add_argument("--write", type=Path, help="a page that has the marks of bench_scale")
    parser.add_argument("--answer", choices=("recommend", "report"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        return answer(options.answer)
    folder = options.folder.absolute()
    if not (folder / "built.json").exists():
        build(folder, options.connections, options.weeks)
    texts, exceeded = [], 0.0
    for title, head, rows, share in sections(folder):
        texts.append(table(title, head, rows))
        print(texts[-1], "\n", flush=True)
        exceeded = max(exceeded, share)
    if options.write:
        write_between(options.write, "bench_scale", "\n\n".join([f"{machine()}.", *texts]))
    return int(exceeded > 1)


if __name__ == "__main__":
    sys.exit(main())
