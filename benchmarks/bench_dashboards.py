"""How long each panel and each alert rule takes, on a small store and on a large one: the cost must not grow with it.

    python benchmarks/bench_dashboards.py --connections 2000000 33000000

Connections are made inside the store, spread evenly over 28 days, in 3 environments and 12 routes, with three
transitions each on average; 33 million are 100 million transitions. Panels are asked about the range that their board
opens with. Nothing is compared with a peer: the bound is one second, and the ratio of the two sizes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acceptfirst_analysis.alerts.evaluate import statement_parameters
from acceptfirst_analysis.alerts.rules import all_rules
from acceptfirst_analysis.dashboards.panels import BOARDS
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate
from acceptfirst_store.rollup import refresh_rollup

DAYS = 28
REPEATS = 3
STEPS = 300  # points that Grafana asks for on a panel of usual width

FILL = """
INSERT INTO acceptfirst.handshakes
    (connection_id, environment, service, service_version, route, readiness_mode, policy_version, weight, pending_at,
     connected_at, ready_at, first_message_ns, ended_by, patterns, phases, first_seen, last_seen)
WITH
    {first_ms:UInt64} + intDiv(number * 86400000, {per_day:UInt64}) AS began_ms,
    fromUnixTimestamp64Milli(toInt64(began_ms), 'UTC') AS began,
    1 + rand(1) % 40 + if(rand(2) % 20 = 0, 400, 0) AS accept_ms,
    rand(3) % 1000 < 996 AS is_well
SELECT
    toFixedString(concat(unhex(leftPad(hex(began_ms), 12, '0')), reinterpretAsString(rand64(4)), 'xx'), 16),
    ['production', 'staging', 'testing'][1 + rand(5) % 3], 'chat', '7', concat('/ws/', toString(rand(6) % 12)),
    'event', 'v1', 1, began, addMilliseconds(began, accept_ms),
    if(is_well, addMilliseconds(began, accept_ms + 30 + rand(7) % 50), toDateTime64(0, 9, 'UTC')),
    toUInt64((accept_ms + rand(8) % 120) * 1000000), if(is_well, '', 'exception'),
    if(rand(9) % 500 = 0, ['early_message_before_ready'], []), map('auth', toFloat64(rand(10) % 30)),
    began, addMilliseconds(began, 500)
FROM numbers({per_day:UInt64})
"""


def fill(database: Database, connections: int, now: dt.datetime) -> None:
    """Make the connections, a day at a time, and the rollup."""
    first = now - dt.timedelta(days=DAYS)
    for day in range(DAYS):
        began = first + dt.timedelta(days=day)
        parameters = {"first_ms": int(began.timestamp() * 1000), "per_day": connections // DAYS}
        database.run(FILL, parameters)
    refresh_rollup(database)


def questions(now: dt.datetime) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, statement and parameters of every panel and every rule."""
    for board in BOARDS:
        amount, unit = int(board.since[4:-1]), board.since[-1]
        length = dt.timedelta(**{{"h": "hours", "d": "days"}[unit]: amount})
        shared: dict[str, Any] = {name: [""] for name in ("environments", "services", "routes", "patterns")}
        shared |= {"since": f"{now - length:%Y-%m-%d %H:%M:%S}", "until": f"{now:%Y-%m-%d %H:%M:%S}"}
        shared |= {"step_s": max(60, int(length.total_seconds() / STEPS)), "older_than_s": 30, "trace_id": ""}
        for panel in board.panels:
            yield f"panel {panel.number}: {panel.title}", panel.query, {**shared, **panel.constants}
    for rule in all_rules():
        for condition in rule.conditions:
            name = f"{rule.id} {condition.window}".strip()
            yield name, rule.statement, statement_parameters(condition, now, "")


def milliseconds(database: Database, statement: str, parameters: dict[str, Any]) -> float:
    """The median of a few askings."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        database.statement_rows(statement, parameters)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def measure(connections: int) -> dict[str, float]:
    """Milliseconds of every question on a store of this size."""
    now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory() as folder, open_database(f"chdb://{Path(folder)}/db") as database:
        migrate(database)
        began = time.perf_counter()
        fill(database, connections, now)
        print(f"{connections:,} connections made in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        return {name: milliseconds(database, sql, parameters) for name, sql, parameters in questions(now)}


def main() -> int:
    """Measure and print; 1 where a question takes more than a second on the largest store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, nargs="+", default=[500_000, 5_000_000])
    sizes = parser.parse_args().connections
    measured = [measure(size) for size in sizes]
    print("| question | " + " | ".join(f"{size:,}" for size in sizes) + " | ratio |")
    print("|---" * (len(sizes) + 2) + "|")
    for name in measured[0]:
        row = [one[name] for one in measured]
        print(f"| {name} | " + " | ".join(f"{ms:.0f} ms" for ms in row) + f" | {row[-1] / row[0]:.1f} |")
    return int(max(measured[-1].values()) > 1000)


if __name__ == "__main__":
    sys.exit(main())
