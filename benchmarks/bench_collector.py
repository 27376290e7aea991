"""What a span costs from HTTP to the table, against rotel and the same ClickHouse engine in the same run.

Run with ``make bench``; ``--write FILE`` writes the table as a page, ``--spans`` sets how many are sent. Both sides get
the same bodies from the same sender, whose own CPU is not counted. Ours is `acceptfirst serve` with its defaults, but
for its timetable of jobs: acknowledged when synced, queryable in every table. Theirs is the agent of the PyPI package
``rotel`` with its exporter for ClickHouse, whose RowBinary is taken by a sink that costs nothing to either, and
inserted at the same time by the embedded engine into the exporter's own tables with their indexes: once as rotel is by
default (LZ4, asynchronous inserts, which the engine puts together up to 10 MiB), once body by body and uncompressed.
Both sides are warm. CPU is that of the processes, merges included: it is read when they have come to rest. A rate is
that of the whole, from the first request to the last row, on the processors that sender, sides and engine share.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import http.server
import importlib.metadata
import importlib.util
import json
import os
import platform
import queue
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lz4.block  # type: ignore[import-untyped]  # it ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

SPANS_PER_REQUEST: Final = 512
SENDERS: Final = 16
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
REST_SECONDS: Final = 3.0
IDLE_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 300.0
CHECKSUM_BYTES: Final = 16
LZ4: Final = 0x82
STEPS: Final = (
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect"),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept"),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready"),
    ("READY_FOR_MESSAGES", "CLOSED", "disconnect"),
)

#: What asynchronous inserts are put together to before they are inserted: the engine's default.
ASYNC_BYTES_MAX: Final = 10 << 20

#: Inserts what the sink keeps, as it comes, in a process whose CPU can be read; says when it has so many rows.
INSERT: Final = """
import json, pathlib, sys, time
import clickhouse_connect
folder, shape = map(pathlib.Path, sys.argv[1:3])
group_bytes_max, *goals = map(int, sys.argv[3:])
client = clickhouse_connect.get_client(interface="chdb", path=str(folder / "db"))
client.command("CREATE DATABASE IF NOT EXISTS acceptfirst ENGINE = Atomic")
for sql in shape.read_text().split(";\\n"):
    if sql.strip():
        client.command(sql)
print("ready", flush=True)
rows = 0
for goal in goals:
    while rows < goal:
        ready = sorted(folder.glob("*.json"))
        if not ready:
            time.sleep(0.02)
            continue
        columns, block = json.loads(ready[0].read_text()), b""
        for path in ready:
            body = path.with_suffix(".rowbinary")
            if block and len(block) + body.stat().st_size > group_bytes_max:
                break
            block += body.read_bytes()
            path.unlink()
            body.unlink()
        client.raw_insert("acceptfirst.otel_traces", column_names=columns, insert_block=block, fmt="RowBinary",
                          settings={"async_insert": 0})
        [[rows]] = client.query("SELECT count() FROM acceptfirst.otel_traces").result_rows
    print(time.monotonic(), flush=True)
sys.stdin.readline()
"""


@dataclasses.dataclass(frozen=True)
class Choice:
    """How rotel is set, and how much the engine inserts at once."""

    name: str
    compression: str
    asynchronous: str
    group_bytes_max: int


CHOICES: Final = (
    Choice("rotel by default + insert", "lz4", "true", ASYNC_BYTES_MAX),
    Choice("rotel, uncompressed + insert of each body", "none", "false", 0),
)


@dataclasses.dataclass(frozen=True)
class Side:
    """What one side cost and how fast it was."""

    name: str
    spans: int
    cpu_us: float
    spans_per_second: float


@dataclasses.dataclass(frozen=True)
class Ours(Side):
    """More is known of our side."""

    ack_p50_ms: float
    ack_p99_ms: float
    half_load_p50_ms: float
    half_load_p99_ms: float
    rss_idle_mib: float
    rss_rested_mib: float
    rss_max_mib: float
    bytes_per_span: float
    bytes_per_transition: float


def bodies_of(spans: int, chance: random.Random) -> list[bytes]:
    """Requests as the instrumentation's exporter sends them: four transitions a connection, twelve attributes each."""
    return [_body(chance, SPANS_PER_REQUEST // len(STEPS)) for _ in range(spans // SPANS_PER_REQUEST)]


def _body(chance: random.Random, connections: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource = {"service.name": "chat", "service.version": "1.4.2", "deployment.environment.name": "production"}
    resource_spans.resource.attributes.extend(_attribute(key, value) for key, value in resource.items())
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name, scope_spans.scope.version = "acceptfirst", "0.1.0"
    for _ in range(connections):
        began = time.time_ns() + chance.randrange(1_000_000_000)
        connection_id = (began // 1_000_000).to_bytes(6, "big").hex() + chance.randbytes(10).hex()
        trace_id, parent_id = chance.randbytes(16), chance.randbytes(8)
        for sequence, (left, entered, trigger) in enumerate(STEPS):
            ended = began + chance.randrange(40_000_000)
            span = scope_spans.spans.add(
                name="websocket.transition",
                trace_id=trace_id,
                span_id=chance.randbytes(8),
                parent_span_id=parent_id,
                kind=1,
                start_time_unix_nano=began,
                end_time_unix_nano=ended,
            )
            attributes: dict[str, Any] = {
                "acceptfirst.connection.id": connection_id,
                "acceptfirst.environment": "production",
                "http.route": "/ws/chat/{room}",
                "acceptfirst.attempt": 0,
                "acceptfirst.readiness.mode": "event",
                "acceptfirst.gate": "observe",
                "acceptfirst.policy.version": "2026-11-25.1",
                "acceptfirst.policy.arm": "baseline",
                "acceptfirst.sample.weight": 1.0,
                "acceptfirst.state.from": left,
                "acceptfirst.state.to": entered,
                "acceptfirst.transition.sequence": sequence,
                "acceptfirst.transition.trigger": trigger,
            }
            span.attributes.extend(_attribute(key, value) for key, value in attributes.items())
            began = ended
    return request.SerializeToString()


def _attribute(key: str, value: Any) -> KeyValue:
    kinds = {str: "string_value", int: "int_value", float: "double_value"}
    return KeyValue(key=key, value=AnyValue(**{kinds[type(value)]: value}))


def send(address: tuple[str, int], bodies: Sequence[bytes], spans_per_second: float = 0) -> list[float]:
    """Send every body and return how long each answer took, in seconds; evenly paced if a rate is given."""
    work: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    for item in enumerate(bodies):
        work.put(item)
    took: list[float] = []
    began = time.monotonic()

    def run() -> None:
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
        while True:
            try:
                number, body = work.get_nowait()
            except queue.Empty:
                return
            if spans_per_second:
                time.sleep(max(0.0, began + number * SPANS_PER_REQUEST / spans_per_second - time.monotonic()))
            _deliver(connection, body, took)

    threads = [threading.Thread(target=run) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(took) != len(bodies):
        raise RuntimeError(f"expected {len(bodies)} requests to be acknowledged; {len(took)} were")
    return took


def _deliver(connection: http.client.HTTPConnection, body: bytes, took: list[float]) -> None:
    """Send one body until it is acknowledged; what is refused for the moment comes again soon."""
    while True:
        started = time.monotonic()
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        if response.status == http.HTTPStatus.OK:
            took.append(time.monotonic() - started)
            return
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, with that of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND


def rest(pid: int) -> float:
    """Wait until a process has come to rest, merges included; its CPU time then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(REST_SECONDS)
        after = cpu_seconds(pid)
        if after - before < 0.03 * REST_SECONDS:
            return after
    raise RuntimeError(f"expected the process {pid} to come to rest within {PATIENCE_SECONDS} s")


def memory_mib(pid: int, field: str) -> float:
    """`VmRSS` or `VmHWM` of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def percentile(seconds: Sequence[float], share: float) -> float:
    """A percentile of times, in milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


def measure_ours(bodies: Sequence[bytes], warm: Sequence[bytes], folder: Path) -> Ours:
    """Send everything to `serve`, first as fast as it takes it, then a part of it at half that rate."""
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--no-jobs", "--port", "0"]
    command += ["--data-dir", str(folder / "ours")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        address = _address_of(folder / "ours" / "serve.json", process)
        send(address, warm)
        rss_idle, before = memory_mib(process.pid, "VmRSS"), rest(process.pid)
        full, half = bodies[: len(bodies) * 3 // 4], bodies[len(bodies) * 3 // 4 :]
        started = time.monotonic()
        took = send(address, full)
        _wait_stored(address)
        rate = len(full) * SPANS_PER_REQUEST / (time.monotonic() - started)
        cpu = rest(process.pid) - before
        slowly = send(address, half, rate / 2)
        rest(process.pid)
        time.sleep(IDLE_SECONDS)
        rss_rested = memory_mib(process.pid, "VmRSS")
        stats = {table["name"]: table for table in _get(address, "/api/v1/db/stats")["tables"]}
        return Ours(
            name="acceptfirst serve",
            spans=len(full) * SPANS_PER_REQUEST,
            cpu_us=cpu / (len(full) * SPANS_PER_REQUEST) * 1e6,
            spans_per_second=rate,
            ack_p50_ms=percentile(took, 0.5),
            ack_p99_ms=percentile(took, 0.99),
            half_load_p50_ms=percentile(slowly, 0.5),
            half_load_p99_ms=percentile(slowly, 0.99),
            rss_idle_mib=rss_idle,
            rss_rested_mib=rss_rested,
            rss_max_mib=memory_mib(process.pid, "VmHWM"),
            bytes_per_span=stats["otel_traces"]["bytes_per_row"],
            bytes_per_transition=stats["handshake_transitions"]["bytes_per_row"],
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _address_of(path: Path, process: subprocess.Popen[bytes]) -> tuple[str, int]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"expected the collector to start; it ended with {process.poll()}")
        time.sleep(0.05)
    url = urllib.parse.urlsplit(json.loads(path.read_text())["url"])
    return str(url.hostname), int(url.port or 0)


def _wait_stored(address: tuple[str, int]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _get(address, "/readyz")["backlog_bytes"]:
        if time.monotonic() > deadline:
            raise RuntimeError("expected the backlog to become empty")
        time.sleep(0.1)  # asked more often, the answers would cost a tenth of what is measured


def _get(address: tuple[str, int], path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request("GET", path)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


class Sink(http.server.ThreadingHTTPServer):
    """Stands where a ClickHouse would, and keeps what rotel inserts, with the columns that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.guard = threading.Lock()
        self.count = 0
        super().__init__(("127.0.0.1", 0), _SinkHandler)

    def keep(self, statement: str, body: bytes) -> None:
        """Write one insert down; the list of columns stands between the first brackets."""
        columns = [name.strip(" `\n") for name in statement.partition("(")[2].partition(")")[0].split(",")]
        with self.guard:
            path = self.folder / f"{self.count:06}.rowbinary"
            self.count += 1
        path.write_bytes(body)
        named = path.with_suffix(".new")
        named.write_text(json.dumps(columns))
        named.rename(path.with_suffix(".json"))


class _SinkHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep an insert."""
        body = self._read()
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if isinstance(self.server, Sink):
            self.server.keep(asked["query"][0], _decompressed(body) if "decompress" in asked else body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


def _decompressed(body: bytes) -> bytes:
    """Undo ClickHouse's own compression: blocks of a checksum, 0x82 for LZ4, both sizes, and the bytes."""
    parts = []
    offset = 0
    while offset < len(body):
        method, size, plain_size = struct.unpack_from("<BII", body, offset + CHECKSUM_BYTES)
        if method != LZ4:
            raise RuntimeError(f"expected a block compressed by LZ4; got the method {method:#x}")
        begin = offset + CHECKSUM_BYTES
        parts.append(lz4.block.decompress(body[begin + 9 : begin + size], uncompressed_size=plain_size))
        offset = begin + size
    return b"".join(parts)


def measure_theirs(bodies: Sequence[bytes], warm: Sequence[bytes], folder: Path, shape: Path, choice: Choice) -> Side:
    """Send everything to rotel, and insert what it makes of it as it comes."""
    kept = folder / "theirs" / choice.compression
    kept.mkdir(parents=True)
    spans, warm_spans = len(bodies) * SPANS_PER_REQUEST, len(warm) * SPANS_PER_REQUEST
    goals = [str(choice.group_bytes_max), str(warm_spans), str(warm_spans + spans)]
    inserter = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", INSERT, str(kept), str(shape), *goals],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    sink = Sink(kept)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    agent, port = _start_rotel(sink.server_port, choice)
    try:
        if inserter.stdout is None or inserter.stdin is None:
            raise RuntimeError("expected pipes to the process that inserts")
        inserter.stdout.readline()
        _wait_port(port)
        send(("127.0.0.1", port), warm)
        inserter.stdout.readline()
        before = rest(agent.pid) + rest(inserter.pid)
        started = time.monotonic()
        send(("127.0.0.1", port), bodies)
        rate = spans / (float(inserter.stdout.readline()) - started)
        cpu = rest(inserter.pid) + rest(agent.pid) - before
    finally:
        agent.terminate()
        agent.wait(30)
        sink.shutdown()
        inserter.kill()
        inserter.wait(30)
    return Side(choice.name, spans, cpu / spans * 1e6, rate)


def _start_rotel(sink_port: int, choice: Choice) -> tuple[subprocess.Popen[bytes], int]:
    """Start the agent; what it is not told is as it comes."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        raise RuntimeError("expected the package rotel; install the dependency group bench")
    port = _free_port()
    command = [
        str(Path(found.origin).parent / "rotel-agent"), "start",
        "--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{_free_port()}",
        "--exporter", "clickhouse", "--clickhouse-exporter-endpoint", f"http://127.0.0.1:{sink_port}",
        "--clickhouse-exporter-database", "acceptfirst", "--clickhouse-exporter-compression", choice.compression,
        "--clickhouse-exporter-async-insert", choice.asynchronous,
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet), port  # noqa: S603 - from the package


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"expected rotel to listen on port {port}")


def page(ours: Ours, theirs: Sequence[Side]) -> str:
    """The tables as a page."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("rotel", "chdb"))
    machine = f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}, {versions}"
    rows = "\n".join(
        f"| {side.name} | {side.cpu_us:.1f} µs | {ours.cpu_us / side.cpu_us:.2f} | {side.spans_per_second:,.0f} "
        f"| {ours.spans_per_second / side.spans_per_second:.2f} |"
        for side in theirs
    )
    return f"""# What the collector costs

Made by `make bench` ({machine}; load of the machine {os.getloadavg()[0]:.1f} when it ended: above the number of
processors, times are those of a crowded machine). The command is
`python benchmarks/bench_collector.py --write docs/benchmarks-collector.md`; what is measured, and how, is told in it.

| from HTTP to the table, {ours.spans:,} spans | CPU a span, with merges | ratio | spans a second | ratio |
|---|---|---|---|---|
| {ours.name} | {ours.cpu_us:.1f} µs | | {ours.spans_per_second:,.0f} | |
{rows}

A ratio is ours by theirs. Ours is synced to the disk before it is acknowledged, stored once, and in every table; theirs
is in the exporter's
tables, unsynced, and was acknowledged from memory.

| ours | | aim |
|---|---|---|
| CPU a span, of theirs | {ours.cpu_us / theirs[0].cpu_us:.2f} | ≤ 0.3 |
| spans a second | {ours.spans_per_second:,.0f} | ≥ 100,000 and 2.5 of theirs |
| acknowledgement under full load, median, p99 | {ours.ack_p50_ms:.0f} ms, {ours.ack_p99_ms:.0f} ms | |
| at half that load | {ours.half_load_p50_ms:.0f} ms, {ours.half_load_p99_ms:.0f} ms | ≤ 50 ms |
| memory: warm, a minute after load | {ours.rss_idle_mib:.0f} MiB, {ours.rss_rested_mib:.0f} MiB | ≤ 400 MiB |
| memory, highest | {ours.rss_max_mib:.0f} MiB | ≤ 1 GiB |
| on the disk, a span in `otel_traces` | {ours.bytes_per_span:.1f} B | ≤ 55 B |
| on the disk, a row of `handshake_transitions` | {ours.bytes_per_transition:.1f} B | ≤ 17 B |
"""


def main() -> int:
    """Measure both sides and print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--only-ours", action="store_true", help="for who makes it faster")
    options = parser.parse_args()
    chance = random.Random(1)  # noqa: S311 - the same spans in every run
    shape = Path(__file__).resolve().parents[1] / "tests" / "store" / "exporter" / "shape_v0_113.sql"
    warm, bodies = bodies_of(40_000, chance), bodies_of(options.spans, chance)
    with tempfile.TemporaryDirectory(prefix="acceptfirst-bench-") as folder:
        ours = measure_ours(bodies, warm, Path(folder))
        if options.only_ours:
            print(ours)
            return 0
        theirs = [measure_theirs(bodies, warm, Path(folder), shape, choice) for choice in CHOICES]
    text = page(ours, theirs)
    print(text)
    if options.write:
        options.write.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
