"""Kills a collector at random points, and takes its store away in every way, while clients send and resend.

Run with ``make endurance``; ``--kills``, ``--seconds``, ``--dead-seconds`` and ``--seed`` make it shorter or repeat it,
``--json`` prints the counts as JSON, ``--write`` puts them into a page. Clients behave as exporters do: what was not
answered with 200 is sent again, the same bytes, until it is. At the end every span that was acknowledged must be stored
once, in the spans as in the tables made of them, and nothing that was not sent. It ends with 1 if that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from measured_page import machine, write_between
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

CLIENTS: Final = 6
PATIENCE_SECONDS: Final = 300
STEPS: Final = (
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect"),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept"),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready"),
    ("READY_FOR_MESSAGES", "CLOSED", "disconnect"),
)

#: What ClickHouse says when; the collector must tell these apart by the code alone. What begins with ``read-only`` is
#: done to a table instead, so that the engine itself refuses: to the spans, or to what a view makes of them.
FAULTS: Final = {
    "dead": "Connection refused",
    "slow": "",
    "refusing": "Code: 202. DB::Exception: Too many simultaneous queries",
    "out of disk": "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space",
    "lost its keeper": "Code: 242. DB::Exception: Table is in readonly mode",
    "read-only": "read-only otel_traces",
    "read-only handshakes": "read-only handshakes",
}

#: The real collector; while a file says so, its driver fails as if the store did, half of the time after it inserted.
SERVE: Final = """
import pathlib, random, sys, time
import chdb
from clickhouse_connect.driver.exceptions import DatabaseError
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
from acceptfirst_store.database import Database
data_dir = pathlib.Path(sys.argv[1])
insert_requests = Database.insert_requests
class Failing:
    def __init__(self, client):
        self.client = client
    read_only = ("otel_traces", "handshakes")
    def forbid(self, *tables):
        if tables != self.read_only:
            for table in ("otel_traces", "handshakes"):
                setting = f"MODIFY SETTING table_readonly = {int(table in tables)}"
                self.client.command(f"ALTER TABLE acceptfirst.{table} {setting}")
            self.read_only = tables
    def raw_insert(self, *arguments, **named):
        text = (data_dir / "fault").read_text() if (data_dir / "fault").exists() else None
        kind, _, table = (text or "").partition(" ")
        self.forbid(*([table] if kind == "read-only" else []))
        if kind == "read-only":
            return self.client.raw_insert(*arguments, **named)
        if text is None:
            return self.client.raw_insert(*arguments, **named)
        if not text:
            time.sleep(1)
        if not text or random.random() < 0.5:
            self.client.raw_insert(*arguments, **named)
        if text:
            raise DatabaseError(text)
def insert(self, body, token):
    if not isinstance(self._writer, Failing):
        self._writer, self._inserting = Failing(self._writer), self._writer
        self._writer.command, self._writer.insert, self._writer.close = (
            self._inserting.command, self._inserting.insert, self._inserting.close)
    insert_requests(self, body, token)
Database.insert_requests = insert
run(CollectorSettings(data_dir=data_dir, port=0, segment_bytes_max=200_000, linger_seconds=0.05))
"""

#: Counts what is stored, in a process of its own: an engine opens one directory in its life.
COUNT: Final = """
import json, sys
from acceptfirst_store.database import open_database
from acceptfirst_store.rollup import refresh_rollup
with open_database("chdb://" + sys.argv[1]) as database:
    refresh_rollup(database)
    key = "concat(SpanAttributes['acceptfirst.connection.id'], SpanAttributes['acceptfirst.transition.sequence'])"
    spans = database.rows(f"SELECT {key} AS key, count() AS n FROM acceptfirst.otel_traces GROUP BY key")
    narrow = database.rows("SELECT count() AS n, uniqExact(connection_id, sequence) AS keys "
                           "FROM acceptfirst.handshake_transitions FINAL")[0]
    handshakes = database.rows("SELECT count() AS n FROM acceptfirst.handshakes FINAL")[0]["n"]
    rolled_up = database.rows("SELECT sum(connections) AS n FROM acceptfirst.handshake_rollup_1m FINAL")[0]["n"]
print(json.dumps({"spans": {row["key"]: row["n"] for row in spans}, "transitions": narrow["n"],
                  "handshakes": handshakes, "rolled_up": rolled_up}))
"""


@dataclasses.dataclass
class Load:
    """What clients sent and what was acknowledged; shared by their threads."""

    seed: int
    data_dir: Path
    sent: set[str] = dataclasses.field(default_factory=set)
    acknowledged: set[str] = dataclasses.field(default_factory=set)
    requests: int = 0
    refused: int = 0
    unanswered: int = 0
    finishing: threading.Event = dataclasses.field(default_factory=threading.Event)
    guard: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def run_client(self, number: int) -> None:
        """Send until told to finish; what is under way then is sent on until it is acknowledged."""
        chance = random.Random(f"{self.seed}-{number}")  # noqa: S311 - repeatable, guards nothing
        with httpx.Client(headers={"Content-Type": "application/x-protobuf"}, timeout=20, trust_env=False) as client:
            while not self.finishing.is_set():
                keys, body = request_of(chance)
                with self.guard:
                    self.sent.update(keys)
                if not self._deliver(client, body):
                    return
                with self.guard:
                    self.acknowledged.update(keys)
                    self.requests += 1
                time.sleep(chance.random() * 0.02)

    def _deliver(self, client: httpx.Client, body: bytes) -> bool:
        """Send a body until it is acknowledged; False when patience ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                url = json.loads((self.data_dir / "serve.json").read_text())["url"]
                status = client.post(f"{url}/v1/traces", content=body).status_code
            except (httpx.TransportError, OSError, ValueError):
                status = 0
            if status == httpx.codes.OK:
                return True
            with self.guard:
                self.unanswered += status == 0
                self.refused += status == httpx.codes.SERVICE_UNAVAILABLE
            if status not in (0, httpx.codes.SERVICE_UNAVAILABLE):
                raise RuntimeError(f"expected 200 or 503; a good request was answered with {status}")
            time.sleep(0.05)
        return False


def request_of(chance: random.Random) -> tuple[list[str], bytes]:
    """A request with the transitions of one to ten connections, and the keys of its spans."""
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    scope_spans.scope.name = "acceptfirst"
    keys = []
    for _ in range(chance.randint(1, 10)):
        now = time.time_ns()
        connection_id = (now // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()
        for sequence, (left, entered, trigger) in enumerate(STEPS):
            keys.append(f"{connection_id}{sequence}")
            span = scope_spans.spans.add(name="websocket.transition", trace_id=os.urandom(16), span_id=os.urandom(8))
            span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000
            attributes = {
                "acceptfirst.connection.id": connection_id,
                "acceptfirst.transition.sequence": str(sequence),
                "acceptfirst.state.from": left,
                "acceptfirst.state.to": entered,
                "acceptfirst.transition.trigger": trigger,
                "acceptfirst.sample.weight": "1",
            }
            span.attributes.extend(
                KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()
            )
    return keys, request.SerializeToString()


@dataclasses.dataclass(frozen=True)
class Counts:
    """What came of a scenario; the last four must be 0."""

    scenario: str
    kills: int
    acknowledged_requests: int
    acknowledged_spans: int
    answered_503: int
    unanswered: int
    lost: int
    doubled: int
    invented: int
    wrong_in_tables: int

    @property
    def is_good(self) -> bool:
        """Nothing lost, doubled, invented or wrong, and not because nothing happened."""
        return not (self.lost or self.doubled or self.invented or self.wrong_in_tables) and self.acknowledged_spans > 0


def start(data_dir: Path) -> subprocess.Popen[bytes]:
    """Start the collector; does not wait for it."""
    log = (data_dir.parent / "serve.log").open("ab")
    with log:
        return subprocess.Popen([sys.executable, "-c", SERVE, str(data_dir)], stdout=log, stderr=log)  # noqa: S603 - our own code


def kill_points(load: Load, kills: int, seconds: float) -> int:
    """Kill it again and again, also while it starts; returns how often."""
    chance = random.Random(f"{load.seed}-kill")  # noqa: S311 - repeatable, guards nothing
    for _ in range(kills):
        process = start(load.data_dir)
        # Most of the points lie under load; an eighth of them in the start.
        if chance.random() > 1 / 8:
            wait_for(load.data_dir / "serve.json", process)
        time.sleep(chance.random() * seconds)
        process.kill()
        process.wait()
        (load.data_dir / "serve.json").unlink(missing_ok=True)
    return kills


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a collector says where it listens."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (path.parent.parent / "serve.log").read_text()
            raise RuntimeError(f"expected the collector to start; it ended with {process.poll()}: {log[-500:]}")
        time.sleep(0.02)


@contextlib.contextmanager
def clients(load: Load) -> Iterator[None]:
    """Let clients send meanwhile; on leaving, what is under way is delivered."""
    threads = [threading.Thread(target=load.run_client, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        load.finishing.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def run_scenario(name: str, kills: int, seconds: float, seed: int) -> Counts:
    """Run one: `kill -9`, or one of `FAULTS` with a kill in the middle of it."""
    with tempfile.TemporaryDirectory(prefix="acceptfirst-endurance-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        load = Load(seed, data_dir)
        with clients(load):
            if name in FAULTS:
                kills = through_fault(load, FAULTS[name], seconds)
            else:
                kill_points(load, kills, seconds)
            process = start(data_dir)
            wait_for(data_dir / "serve.json", process)
            time.sleep(seconds / 2)
            load.finishing.set()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        return count(name, kills, load)


def through_fault(load: Load, text: str, seconds: float) -> int:
    """Take the store away under load, kill the collector meanwhile, give it back."""
    for is_faulty in (False, True, True, False):
        process = start(load.data_dir)
        wait_for(load.data_dir / "serve.json", process)
        if is_faulty:
            time.sleep(seconds / 4)
            (load.data_dir / "fault").write_text(text)
        time.sleep(seconds)
        process.kill()
        process.wait()
        (load.data_dir / "serve.json").unlink(missing_ok=True)
        (load.data_dir / "fault").unlink(missing_ok=True)
    return 4


def count(name: str, kills: int, load: Load) -> Counts:
    """Compare what is stored with what was sent and what was acknowledged."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", COUNT, str(load.data_dir / "db")], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    spans: dict[str, int] = found["spans"]
    connections = len({key[:32] for key in spans})
    wrong = abs(found["transitions"] - len(spans))
    wrong += abs(found["handshakes"] - connections) + abs(found["rolled_up"] - connections)
    return Counts(
        scenario=name,
        kills=kills,
        acknowledged_requests=load.requests,
        acknowledged_spans=len(load.acknowledged),
        answered_503=load.refused,
        unanswered=load.unanswered,
        lost=len(load.acknowledged - set(spans)),
        doubled=sum(n - 1 for n in spans.values()),
        invented=len(set(spans) - load.sent),
        wrong_in_tables=wrong,
    )


def table(results: Sequence[Counts], seed: int) -> str:
    """The counts as Markdown."""
    names = [field.name for field in dataclasses.fields(Counts)]
    head = "| " + " | ".join(name.replace("_", " ") for name in names) + " |\n|---" + "|---:" * (len(names) - 1) + "|\n"
    rows = [dataclasses.astuple(result) for result in results]
    lines = ["| " + " | ".join(cell if isinstance(cell, str) else f"{cell:,}" for cell in row) + " |" for row in rows]
    return f"Seed {seed}; {machine()}.\n\n{head}" + "\n".join(lines)


def seconds_of(name: str, options: argparse.Namespace) -> float:
    """How long a phase of a scenario lasts."""
    chosen = {"kill -9": 1.5, "dead": options.dead_seconds}
    return float(chosen.get(name, options.seconds))


def main() -> int:
    """Run the scenarios and print their counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each phase of a fault lasts")
    parser.add_argument("--dead-seconds", type=float, default=90.0, help="the same where the store is dead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="one scenario")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, help="a page that has the marks of endurance")
    options = parser.parse_args()
    names = [options.only] if options.only else ["kill -9", *FAULTS]
    results = []
    for name in names:
        results.append(run_scenario(name, options.kills, seconds_of(name, options), options.seed))
        if not options.json:
            print(dataclasses.asdict(results[-1]), flush=True)
    if options.json:
        print(
            json.dumps({"schema_version": 1, "seed": options.seed, "scenarios": list(map(dataclasses.asdict, results))})
        )
    if options.write:
        write_between(options.write, "endurance", table(results, options.seed))
    return 0 if all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
