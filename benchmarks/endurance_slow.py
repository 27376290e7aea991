"""A thousand connections that send a byte now and then, and a body that inflates to 4 GiB, against a real serve.

    python benchmarks/endurance_slow.py [--connections 1000] [--seconds 90] [--write docs/endurance.md]

Half of the slow ones dribble their head, half their body. Meanwhile a good client sends spans, one request after
another; each must be answered with 200. The body that inflates must be answered with 413, and memory stay below its
limit. It ends with 1 otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import random
import resource
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import httpx
from endurance import request_of
from endurance_hostile import MEMORY_BYTES_MAX, PROTOBUF, resident_bytes, serving
from measured_page import machine, write_between

HEAD: Final = b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
BYTE_EVERY_SECONDS: Final = 2.0
GOOD_EVERY_SECONDS: Final = 0.1
MEMBER_BYTES: Final = 64 << 20
INFLATED_BYTES: Final = 4 << 30


@dataclasses.dataclass
class Outcome:
    """What came of it.

    Attributes:
        connections: slow ones that were opened.
        ended: of them, those that serve had ended when the time was over.
        seconds: from when they were open until serve had ended the last, or the time was over.
        good: statuses of the good requests.
        waits_ms: what they waited.
        inflating_status: what the body that inflates was answered with.
        largest_bytes: resident memory of serve at its highest.
    """

    connections: int
    ended: int = 0
    seconds: float = 0.0
    good: list[int] = dataclasses.field(default_factory=list)
    waits_ms: list[float] = dataclasses.field(default_factory=list)
    inflating_status: int = 0
    largest_bytes: int = 0

    @property
    def is_good(self) -> bool:
        """Everything held."""
        answered = bool(self.good) and set(self.good) == {200} and self.inflating_status == 413
        return answered and self.ended == self.connections and self.largest_bytes <= MEMORY_BYTES_MAX

    def table(self) -> str:
        """As Markdown."""
        waits = sorted(self.waits_ms)
        rows = [
            ("slow connections", f"{self.connections:,}"),
            (f"of them ended by serve within {self.seconds:.0f} s", f"{self.ended:,}"),
            ("good requests meanwhile", f"{len(self.good):,}"),
            ("answered other than 200", f"{sum(status != 200 for status in self.good):,}"),
            ("they waited: median, longest", f"{waits[len(waits) // 2]:.0f} ms, {waits[-1]:.0f} ms" if waits else ""),
            (f"a body that inflates to {INFLATED_BYTES >> 30} GiB is answered", str(self.inflating_status)),
            ("largest resident memory", f"{self.largest_bytes >> 20:,} MiB (limit {MEMORY_BYTES_MAX >> 20:,})"),
        ]
        return f"{machine()}.\n\n| | |\n|---|---:|\n" + "\n".join(f"| {name} | {figure} |" for name, figure in rows)


def open_slow(port: int, connections: int) -> list[socket.socket]:
    """Connect; every other one sends its head at once, and is slow with its body."""
    opened = []
    for number in range(connections):
        one = socket.create_connection(("127.0.0.1", port), timeout=60)
        one.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" if number % 2 else HEAD)
        one.setblocking(False)
        opened.append(one)
    return opened


def dribble(slow: list[socket.socket], seconds: float) -> int:
    """Send each a byte now and then, until serve has ended them all or the time is over; gives how many it ended."""
    left = list(slow)
    end = time.monotonic() + seconds
    while left and time.monotonic() < end:
        left = [one for one in left if _is_open(one)]
        time.sleep(BYTE_EVERY_SECONDS)
    return len(slow) - len(left)


def _is_open(one: socket.socket) -> bool:
    try:
        if one.recv(4096) == b"":
            return False
    except BlockingIOError:
        pass
    except OSError:
        return False
    try:
        one.send(b"x")
    except OSError:
        return False
    return True


def inflating() -> bytes:
    """A body of many members, each of zeros."""
    return gzip.compress(b"\0" * MEMBER_BYTES, 9) * (INFLATED_BYTES // MEMBER_BYTES)


def send_good(url: str, outcome: Outcome, over: threading.Event) -> None:
    """Send good requests until it is over."""
    chance = random.Random(1)  # noqa: S311 - repeatable, guards nothing
    with httpx.Client(headers={"Content-Type": PROTOBUF}, timeout=60, trust_env=False) as client:
        while not over.wait(GOOD_EVERY_SECONDS):
            _, body = request_of(chance)
            began = time.monotonic()
            outcome.good.append(client.post(f"{url}/v1/traces", content=body).status_code)
            outcome.waits_ms.append((time.monotonic() - began) * 1000)


def watch_memory(pid: int, outcome: Outcome, over: threading.Event) -> None:
    """Keep the largest."""
    while not over.wait(0.05):
        outcome.largest_bytes = max(outcome.largest_bytes, resident_bytes(pid))


def run(connections: int, seconds: float) -> Outcome:
    """Be slow, and then inflate."""
    outcome, over = Outcome(connections), threading.Event()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * connections + 200)), hard))
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as (url, process):
        threads = [
            threading.Thread(target=send_good, args=(url, outcome, over)),
            threading.Thread(target=watch_memory, args=(process.pid, outcome, over)),
        ]
        for thread in threads:
            thread.start()
        try:
            slow = open_slow(httpx.URL(url).port or 80, connections)
            began = time.monotonic()
            outcome.ended = dribble(slow, seconds)
            outcome.seconds = time.monotonic() - began
            for one in slow:
                one.close()
            headers = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}
            answer = httpx.post(f"{url}/v1/traces", content=inflating(), headers=headers, timeout=120, trust_env=False)
            outcome.inflating_status = answer.status_code
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return outcome


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=90.0, help="how long the slow ones may be left at most")
    parser.add_argument("--write", type=Path, help="a page that has the marks of endurance_slow")
    options = parser.parse_args()
    outcome = run(options.connections, options.seconds)
    print(outcome.table())
    if options.write:
        write_between(options.write, "endurance_slow", outcome.table())
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
