"""An hour of `acceptfirst serve` under a modest load, and then at rest: does its memory stay flat, does it sleep?

    python benchmarks/soak_serve.py --minutes 60 --idle-minutes 6 --write docs/endurance.md

A client sends the spans of so many connections a second, a page and an API list are read every few seconds, jobs run as
they do by default. Resident memory is taken all the while, of serve itself and of the processes that it started. It
ends with 1 where serve grew after the warm-up by more than `GROWTH_BYTES_MAX`, took more than `BYTES_MAX` under load or
`IDLE_BYTES_MAX` at rest, more than `IDLE_CPU_MAX` of a processor at rest, or answered anything but 200.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from endurance import request_of
from endurance_hostile import serving
from measured_page import machine, write_between

MIB: Final = 1 << 20
GROWTH_BYTES_MAX: Final = 48 * MIB
BYTES_MAX: Final = 1024 * MIB
IDLE_BYTES_MAX: Final = 400 * MIB
IDLE_CPU_MAX: Final = 0.02
TICKS_PER_SECOND: Final = 100
CONNECTIONS_A_REQUEST: Final = 5.5
READS: Final = ("/", "/api/v1/handshakes?limit=100", "/api/v1/patterns", "/metrics", "/readyz")
READ_EVERY_SECONDS: Final = 5.0
SETTLING_SECONDS: Final = 60.0


@dataclasses.dataclass(frozen=True)
class Sample:
    """What was taken at a moment.

    Attributes:
        seconds: since the load began.
        own_bytes: resident memory of serve.
        others_bytes: of the processes that it started, all together.
        cpu_seconds: processor time of serve since its start.
    """

    seconds: float
    own_bytes: int
    others_bytes: int
    cpu_seconds: float


@dataclasses.dataclass
class Traffic:
    """What is asked of serve; the statuses of all answers."""

    url: str
    connections_per_second: float
    over: threading.Event = dataclasses.field(default_factory=threading.Event)
    statuses: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    spans: int = 0

    def send(self) -> None:
        """Send spans, evenly, until it is over."""
        chance = random.Random(1)  # noqa: S311 - repeatable, guards nothing
        pause = CONNECTIONS_A_REQUEST / self.connections_per_second
        due = time.monotonic()
        headers = {"Content-Type": "application/x-protobuf"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False) as client:
            while not self.over.wait(max(0.0, due - time.monotonic())):
                due = max(due + pause, time.monotonic() - 1)
                keys, body = request_of(chance)
                self.statuses[client.post("/v1/traces", content=body).status_code] += 1
                self.spans += len(keys)

    def read(self) -> None:
        """Read what people and Prometheus read, until it is over."""
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            while not self.over.wait(READ_EVERY_SECONDS):
                for path in READS:
                    self.statuses[client.get(path).status_code] += 1

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let it flow meanwhile."""
        threads = [threading.Thread(target=self.send), threading.Thread(target=self.read)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def sample(pid: int, began: float) -> Sample:
    """Take a sample of a process and its descendants."""
    ticks = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    others = sum(_resident(other) for other in _descendants(pid))
    cpu = (int(ticks[11]) + int(ticks[12])) / TICKS_PER_SECOND
    return Sample(time.monotonic() - began, _resident(pid), others, cpu)


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in path.read_text(encoding="ascii").split()]
        except OSError:  # the thread has ended
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def watch(pid: int, seconds: float, every: float, began: float) -> list[Sample]:
    """Samples for so long; each goes to standard error, too."""
    taken: list[Sample] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 or not taken:
        time.sleep(max(0.0, min(every, left)))
        taken.append(sample(pid, began))
        last = taken[-1]
        figures = f"{last.seconds:7.0f} s {last.own_bytes / MIB:7.0f} MiB, others {last.others_bytes / MIB:5.0f} MiB"
        print(f"{figures}, {last.cpu_seconds:.1f} s of processor", file=sys.stderr, flush=True)
    return taken


def growth_bytes(samples: Sequence[Sample], warm_up_seconds: float) -> float:
    """How much more there is in the last third after the warm-up than in the first; medians, since jobs come and go."""
    settled = [one.own_bytes for one in samples if one.seconds >= warm_up_seconds]
    third = max(1, len(settled) // 3)
    return statistics.median(settled[-third:]) - statistics.median(settled[:third])


def slope_bytes_per_hour(samples: Sequence[Sample], warm_up_seconds: float) -> float:
    """Least squares over the samples after the warm-up."""
    settled = [one for one in samples if one.seconds >= warm_up_seconds]
    if len(settled) < 3:
        return 0.0
    seconds = [one.seconds for one in settled]
    return statistics.linear_regression(seconds, [float(one.own_bytes) for one in settled]).slope * 3600


@dataclasses.dataclass(frozen=True)
class Soaked:
    """What came of it."""

    loaded: list[Sample]
    resting: list[Sample]
    traffic: Traffic
    warm_up_seconds: float

    @property
    def idle_cpu(self) -> float:
        """Share of one processor at rest, after what the load left to do is done."""
        first = next(one for one in self.resting if one.seconds - self.resting[0].seconds >= SETTLING_SECONDS)
        last = self.resting[-1]
        return (last.cpu_seconds - first.cpu_seconds) / (last.seconds - first.seconds)

    def findings(self) -> list[str]:
        """What is not as it should be."""
        checks = {
            "grew": growth_bytes(self.loaded, self.warm_up_seconds) > GROWTH_BYTES_MAX,
            "took too much memory under load": max(one.own_bytes for one in self.loaded) > BYTES_MAX,
            "kept too much memory at rest": self.resting[-1].own_bytes > IDLE_BYTES_MAX,
            "did not sleep": self.idle_cpu > IDLE_CPU_MAX,
            "answered other than 200": set(self.traffic.statuses) != {200},
        }
        return [name for name, is_so in checks.items() if is_so]

    def table(self) -> str:
        """As Markdown."""
        minutes = self.loaded[-1].seconds / 60
        settled = [one.own_bytes for one in self.loaded if one.seconds >= self.warm_up_seconds]
        statuses = ", ".join(f"{number:,} × {status}" for status, number in sorted(self.traffic.statuses.items()))
        slope = slope_bytes_per_hour(self.loaded, self.warm_up_seconds) / MIB
        growth = growth_bytes(self.loaded, self.warm_up_seconds) / MIB
        busy = (self.loaded[-1].cpu_seconds - self.loaded[0].cpu_seconds) / (minutes * 60)
        rows = [
            (f"spans sent in {minutes:.0f} minutes", f"{self.traffic.spans:,}"),
            ("answers", statuses),
            ("resident under load: median, largest", f"{_mib(statistics.median(settled))}, {_mib(max(settled))}"),
            (f"growth after the first {self.warm_up_seconds / 60:.0f} minutes", f"{growth:+.0f} MiB"),
            ("slope, least squares", f"{slope:+.0f} MiB an hour"),
            ("processes that it started, largest", _mib(max(one.others_bytes for one in self.loaded))),
            ("processor under load, share of one", f"{busy:.1%}"),
            ("resident at rest", _mib(self.resting[-1].own_bytes)),
            ("processor at rest, share of one", f"{self.idle_cpu:.1%}"),
            ("not as it should be", ", ".join(self.findings()) or "nothing"),
        ]
        lines = "\n".join(f"| {name} | {figure} |" for name, figure in rows)
        return f"{machine()}.\n\n| | |\n|---|---:|\n{lines}"


def _mib(number: float) -> str:
    return f"{number / MIB:.0f} MiB"


def soak(options: argparse.Namespace) -> Soaked:
    """Load it, let it rest, and watch."""
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        serving(Path(folder) / "data", jobs=True) as (url, process),
    ):
        traffic = Traffic(url, options.connections_per_second)
        began = time.monotonic()
        with traffic.flowing():
            loaded = watch(process.pid, options.minutes * 60, options.every_seconds, began)
        resting = watch(process.pid, options.idle_minutes * 60, min(15.0, options.every_seconds), began)
        return Soaked(loaded, resting, traffic, options.warm_up_minutes * 60)


def main() -> int:
    """Soak, print, write; 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--idle-minutes", type=float, default=6.0)
    parser.add_argument("--warm-up-minutes", type=float, default=10.0)
    parser.add_argument("--every-seconds", type=float, default=15.0)
    parser.add_argument("--connections-per-second", type=float, default=100.0, help="of four spans each")
    parser.add_argument("--folder", type=Path, help="where the store is made")
    parser.add_argument("--write", type=Path, help="a page that has the marks of soak_serve")
    options = parser.parse_args()
    soaked = soak(options)
    print(soaked.table())
    if options.write:
        write_between(options.write, "soak_serve", soaked.table())
    return int(bool(soaked.findings()))


if __name__ == "__main__":
    sys.exit(main())
