"""A million hostile bodies against a real serve: no crash, no 5xx, memory bounded, and then a good request works.

They are real requests, changed where it hurts, each from a seed: in structure (a field's number, type or length; a
message put into itself), in bytes (bits, cuts, insertions), and in packing (gzip cut, joined, lying). So most get past
the first check, which bytes made by chance don't.

    python benchmarks/endurance_hostile.py [--count 1000000] [--seed 0] [--connections 4] [--write docs/endurance.md]

Prints a table of the statuses, the largest resident memory, and the seeds of what went wrong; ends with 1 then.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import functools
import gzip
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
from measured_page import machine, write_between
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
EDGES: Final = (0, 1, 0x7F, 0x80, 0xFF, 1 << 31, (1 << 32) - 1, 1 << 53, (1 << 63) - 1, (1 << 64) - 1)
WORDS: Final = ("", "\0", "ÿ\u202e", "' OR 1=1 --", "{x:String}", "../" * 20, "a" * 5000, "NaN", "1e999", "\ud7ff")
KEYS: Final = ("acceptfirst.connection.id", "acceptfirst.transition.sequence", "acceptfirst.signature", "http.route")
GZIP_SHARE: Final = 0.3
MEMORY_BYTES_MAX = 1 << 30
START_SECONDS_MAX = 120.0
SEEDS_SHOWN = 20


def request(random_: random.Random) -> ExportTraceServiceRequest:
    """A request as the library's exporter sends it, with odd values in its places."""
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = random_.choice(("chat", *WORDS))
    scope = resource.scope_spans.add()
    scope.scope.name = "acceptfirst"
    for _ in range(random_.randint(0, 4)):
        span = scope.spans.add(
            name=random_.choice(("websocket.transition", "websocket.violation", *WORDS)),
            trace_id=random_.randbytes(random_.choice((16, 0, 1, 32))),
            span_id=random_.randbytes(random_.choice((8, 0, 7))),
            start_time_unix_nano=random_.choice((1_764_000_000_000_000_000, *EDGES)),
            end_time_unix_nano=random_.choice((1_764_000_000_000_000_001, *EDGES)),
        )
        for key in (
            "acceptfirst.connection.id",
            "acceptfirst.transition.sequence",
            "acceptfirst.signature",
            "http.route",
        ):
            value = span.attributes.add(key=random_.choice((key, key, *WORDS))).value
            _fill(value, random_, depth=random_.choice((0, 0, 1, 2, 40)))
    return made


def _fill(value: object, random_: random.Random, depth: int) -> None:
    kind = random_.randrange(6) if depth == 0 else random_.choice((6, 7))
    setters: list[Callable[[], None]] = [
        lambda: setattr(value, "string_value", random_.choice((random_.randbytes(16).hex(), *WORDS))),
        lambda: setattr(value, "int_value", random_.choice((0, -1, (1 << 63) - 1, -(1 << 63)))),
        lambda: setattr(value, "double_value", random_.choice((0.5, float("nan"), float("inf"), -1e308))),
        lambda: setattr(value, "bool_value", True),
        lambda: setattr(value, "bytes_value", random_.randbytes(9)),
        lambda: None,
        lambda: _fill(value.array_value.values.add(), random_, depth - 1),  # type: ignore[attr-defined]  # a protobuf message
        lambda: _fill(value.kvlist_value.values.add(key="k").value, random_, depth - 1),  # type: ignore[attr-defined]  # the same
    ]
    setters[kind]()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def mutate_structure(body: bytes, random_: random.Random) -> bytes:
    """Put a field in, of any number, type and length, true or lying; or the message into itself."""
    at = random_.randrange(len(body) + 1)
    choice = random_.randrange(4)
    if choice == 0:
        tag = _varint(random_.choice((1, 2, 3, 9, 15, 16, 536_870_911, 0)) << 3 | random_.randrange(8))
        return body[:at] + tag + _varint(random_.choice(EDGES)) + body[at:]
    if choice == 1:
        depth = random_.choice((1, 10, 99, 101, 2000))
        for _ in range(min(depth, 2000)):
            body = b"\x0a" + _varint(len(body)) + body
            if len(body) > 60_000:
                break
        return body
    if choice == 2:
        return body * random_.randint(2, 20)
    length = _varint(random_.choice((len(body) + 1, 1 << 31, (1 << 64) - 1)))
    return b"\x0a" + length + body


def mutate_bytes(body: bytes, random_: random.Random) -> bytes:
    """Flip, cut, insert."""
    changed = bytearray(body or b"\0")
    for _ in range(random_.randint(1, 8)):
        at = random_.randrange(len(changed))
        changed[at] ^= 1 << random_.randrange(8)
    if random_.random() < 0.3:
        del changed[random_.randrange(len(changed)) :]
    if random_.random() < 0.3:
        at = random_.randrange(len(changed) + 1)
        changed[at:at] = random_.randbytes(random_.randint(1, 50))
    return bytes(changed)


def mutate_json(random_: random.Random) -> bytes:
    """A request in OTLP's JSON with values of wrong types, names and sizes."""
    odd: list[Any] = [None, [], {}, 7, -1, 1e400, True, "x", "9" * 400, [[[]]], {"intValue": "1"}]
    odd.append({"arrayValue": {"values": [{}]}})
    span = {
        "traceId": random_.choice(["5b8efff798038103d269b633813fc60c", *odd]),
        "spanId": random_.choice(["eee19b7ec3c1b174", *odd]),
        "name": random_.choice(["websocket.transition", *odd]),
        "startTimeUnixNano": random_.choice(["1544712660000000000", *odd]),
        "attributes": random_.choice([[{"key": "k", "value": random_.choice(odd)}], *odd]),
        random_.choice(["kind", "links", "events", "status", "flags", "unknown"]): random_.choice(odd),
    }
    document = {"resourceSpans": random_.choice([[{"scopeSpans": [{"spans": [span]}]}], *odd])}
    text = json.dumps(document).encode()
    return mutate_bytes(text, random_) if random_.random() < 0.4 else text


def hostile(seed: int) -> tuple[bytes, dict[str, str]]:
    """Make the body of a seed, and its headers.

    Args:
        seed: the same one gives the same body.

    Returns:
        The body, and Content-Type and Content-Encoding.
    """
    random_ = random.Random(seed)  # noqa: S311 - repeatable, guards nothing
    if random_.random() < 0.25:
        body, headers = mutate_json(random_), {"Content-Type": JSON}
    else:
        body, headers = request(random_).SerializeToString(), {"Content-Type": PROTOBUF}
        for change in random_.sample((mutate_structure, mutate_bytes), random_.randint(0, 2)):
            body = change(body, random_)
    if random_.random() < GZIP_SHARE:
        headers["Content-Encoding"] = "gzip"
        body = _packed(body, random_)
    return body, headers


def _packed(body: bytes, random_: random.Random) -> bytes:
    packed = gzip.compress(body, 1)
    return random_.choice(
        (
            packed,
            packed + gzip.compress(b""),
            packed[: random_.randrange(len(packed) + 1)],
            packed + b"trailing",
            zlib.compress(body),
            body,
            _bomb(),
        )
    )


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b"\0" * 3_000_000, 9)


@contextmanager
def serving(data_dir: pathlib.Path, *, jobs: bool = False) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a serve of its own, end it by its own process id."""
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--jobs" if jobs else "--no-jobs", "--port", "0"]
    command += ["--data-dir", str(data_dir)]
    log = data_dir.parent / "serve.log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:  # noqa: S603 - our own command
        address = data_dir / "serve.json"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not address.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        try:
            yield str(json.loads(address.read_text())["url"]), process
        finally:
            process.terminate()
            process.wait()


def resident_bytes(pid: int) -> int:
    """What the process has in memory now."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def send(url: str, seeds: range) -> tuple[collections.Counter[int], list[int]]:
    """Send the bodies of some seeds over one connection; gives the statuses, and the seeds that were answered 5xx."""
    statuses: collections.Counter[int] = collections.Counter()
    wrong: list[int] = []
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        for seed in seeds:
            body, headers = hostile(seed)
            answer = client.post("/v1/traces", content=body, headers=headers)
            while answer.status_code == 503 and "Retry-After" in answer.headers:  # overload is no crime: come back
                statuses[503] += 1
                time.sleep(1)
                answer = client.post("/v1/traces", content=body, headers=headers)
            statuses[answer.status_code] += 1
            if answer.status_code >= 500:
                wrong.append(seed)
    return statuses, wrong


class Outcome:
    """What came of it.

    Args:
        count: bodies.
        first_seed: of the first of them; the others follow.

    Attributes:
        seconds: how long it took.
        statuses: answers by status.
        wrong: seeds of the bodies that were answered 5xx.
        largest_bytes: resident memory of serve at its highest.
        good_status: what a good request was answered with when all was over.
        lives: serve had not ended by itself.
    """

    def __init__(self, count: int, first_seed: int) -> None:
        self.count = count
        self.first_seed = first_seed
        self.seconds = 0.0
        self.statuses: collections.Counter[int] = collections.Counter()
        self.wrong: list[int] = []
        self.largest_bytes = 0
        self.good_status = 0
        self.lives = False

    @property
    def is_good(self) -> bool:
        """Everything held."""
        return not self.wrong and self.lives and self.good_status == 200 and self.largest_bytes <= MEMORY_BYTES_MAX

    def table(self) -> str:
        """As Markdown."""
        wrong = f"{len(self.wrong):,}" + (f", seeds {self.wrong[:SEEDS_SHOWN]}" if self.wrong else "")
        statuses = [(f"answered {status}", f"{number:,}") for status, number in sorted(self.statuses.items())]
        rows = [
            (f"bodies, seeds {self.first_seed} to {self.first_seed + self.count - 1}", f"{self.count:,}"),
            *statuses,
            ("answered 5xx, other than asking to come back", wrong),
            ("largest resident memory", f"{self.largest_bytes >> 20:,} MiB (limit {MEMORY_BYTES_MAX >> 20:,})"),
            ("then a good request is answered", str(self.good_status)),
            ("the process", "lives" if self.lives else "died"),
            ("seconds", f"{self.seconds:,.0f}"),
        ]
        return f"{machine()}.\n\n| | |\n|---|---:|\n" + "\n".join(f"| {name} | {figure} |" for name, figure in rows)


def run(count: int, first_seed: int, connections: int) -> Outcome:
    """Send them all."""
    outcome = Outcome(count, first_seed)
    step = max(1, min(2000, count // connections))
    parts = [range(seed, min(seed + step, first_seed + count)) for seed in range(first_seed, first_seed + count, step)]
    with tempfile.TemporaryDirectory() as folder, serving(pathlib.Path(folder) / "data") as (url, process):
        begun = time.monotonic()
        with concurrent.futures.ProcessPoolExecutor(connections) as pool:
            for number, (found, seeds) in enumerate(pool.map(send, itertools.repeat(url), parts), start=1):
                outcome.statuses += found
                outcome.wrong += seeds
                outcome.largest_bytes = max(outcome.largest_bytes, resident_bytes(process.pid))
                print(f"{number} of {len(parts)} parts, {outcome.largest_bytes >> 20} MiB", file=sys.stderr, flush=True)
        good = httpx.post(f"{url}/v1/traces", content=b"", headers={"Content-Type": PROTOBUF}, trust_env=False)
        outcome.good_status = good.status_code
        outcome.lives = process.poll() is None
        outcome.seconds = time.monotonic() - begun
    return outcome


def main() -> int:
    """Read the options, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--write", type=pathlib.Path, help="a page that has the marks of endurance_hostile")
    given = parser.parse_args()
    outcome = run(given.count, given.seed, given.connections)
    print(outcome.table())
    if given.write:
        write_between(given.write, "endurance_hostile", outcome.table())
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
