"""Sends what real servers' applications exported through a real ``serve``, classifies it there, and scores it.

PYTHONPATH=tests/matrix python -m server_matrix.stored docs/servers-stored.md
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

import acceptfirst_analysis
from acceptfirst_analysis.classification.unclassified import UNCLASSIFIED
from acceptfirst_analysis.simulate.score import Score, scores
from server_matrix.expectations import expected_patterns
from server_matrix.run import run_cells
from server_matrix.scenarios import SCENARIOS
from server_matrix.servers import CELLS, SERVERS, Cell
from server_matrix.trial import Sighting

START_PATIENCE_S: Final = 60.0
Labels = Mapping[str, frozenset[str]]

_INTRODUCTION: Final = """\
<!-- Made by `make servers-stored`, from what real server processes exported. Change tests/matrix, not this. -->

# What the store says of real servers' faults

The faults of [servers.md](servers.md), with every framework on a real process of each server, played once: what their
applications exported goes through a real `acceptfirst serve` into its store and is classified there. One figure is the
F1 of one pattern on one server, over all connections; beside it how many connections have the fault. A fault is what
the application does; where a framework makes another one of it (Litestar accepts before it receives, say), the label is
what servers.md gives the reason for. A dash: no connection of that server has the fault.

The labels with a reason were written by people who had seen what the servers show. So this says that nothing is lost or
added on the way through exporter, collector, store and SQL, more than that the catalogue was guessed right. Patterns
that take minutes or many connections are not played; for these there is the [simulator](simulate.md).
"""


async def play(cells: Sequence[Cell], folder: Path) -> tuple[list[Sighting], list[bytes]]:
    """Run cells; gives what was seen and, a cell each, the request that holds all of its spans.

    Raises:
        MatrixError: see ``run_cell``.
    """
    sightings = await run_cells(cells, folder)
    return sightings, [(folder / str(cell) / "request.otlp").read_bytes() for cell in cells]


def labels_of(sightings: Iterable[Sighting]) -> dict[str, frozenset[str]]:
    """The true patterns of each connection that was exported."""
    return {
        sighting.connection_id: frozenset(expected_patterns(sighting.cell, sighting.scenario))
        for sighting in sightings
        if sighting.connection_id
    }


def classified(requests: Iterable[bytes], connections: Iterable[str], folder: Path) -> dict[str, set[str]]:
    """Send requests to a ``serve`` of their own, classify; gives the patterns of each connection that has some.

    Args:
        requests: encoded OTLP.
        connections: ids (hex) that are to be stored before anything is classified.
        folder: for the collector's data.
    """
    with _serving(folder) as url, httpx.Client(base_url=url, timeout=120.0) as client:
        for body in requests:
            sent = client.post("/v1/traces", content=body, headers={"content-type": "application/x-protobuf"})
            sent.raise_for_status()
        _wait_until_stored(client, connections)
        client.post("/api/v1/jobs/classify", json={"since": "1d"}).raise_for_status()
        frame = acceptfirst_analysis.load(url, since="1d").patterns
    found: dict[str, set[str]] = {}
    for connection, pattern in zip(frame["connection_id"], frame["pattern_type"], strict=True):
        found.setdefault(str(connection), set()).add(str(pattern))
    return found


def _wait_until_stored(client: httpx.Client, connections: Iterable[str]) -> None:
    until = time.monotonic() + START_PATIENCE_S
    for connection in connections:
        while client.get(f"/api/v1/handshakes/{connection}").status_code != httpx.codes.OK:
            if time.monotonic() > until:
                raise TimeoutError(f"expected connection {connection} to be stored, but it is not")
            time.sleep(0.1)


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--port", "0", "--grpc-port", "0", "--no-jobs"]
    process = subprocess.Popen([*command, "--data-dir", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + START_PATIENCE_S
        address = folder / "serve.json"
        while not address.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        yield str(json.loads(address.read_text())["url"])
    finally:
        process.terminate()
        process.communicate(timeout=START_PATIENCE_S)


def scores_by_server(sightings: Sequence[Sighting], found: Mapping[str, set[str]]) -> dict[str, dict[str, Score]]:
    """The score of each pattern on each server; misbehaviour without a name is no pattern.

    Args:
        sightings: what was played.
        found: by connection, as ``classified`` gives it.
    """
    scored = {}
    for server in SERVERS:
        own = labels_of(s for s in sightings if s.cell.server == server)
        said = {connection: found.get(connection, set()) - {UNCLASSIFIED} for connection in own}
        if own:
            scored[server] = scores(own, said)
    return scored


def page(scored: Mapping[str, Mapping[str, Score]]) -> str:
    """The page."""
    patterns = sorted({name for own in scored.values() for name in own})
    head = ["pattern", *(SERVERS[server].title for server in scored)]
    rows = [head, ["---"] * len(head)]
    rows += [[f"`{name}`", *(_cell(own.get(name)) for own in scored.values())] for name in patterns]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    worst = min((score.f1 for own in scored.values() for score in own.values()), default=1.0)
    faults = sum(score.right + score.missed for own in scored.values() for score in own.values())
    said = f"The lowest F1 is {worst:.3f}, over {faults} faults in {len(SCENARIOS)} scenarios."
    return f"{_INTRODUCTION}\n{said}\n\n{table}\n"


def _cell(score: Score | None) -> str:
    if score is None:
        return "–"
    wrong = f", {score.wrong} wrongly" if score.wrong else ""
    return f"{score.f1:.3f} ({score.right + score.missed}{wrong})"


def main(target: str) -> int:
    """Play all cells and write the page; gives the exit code: 1 where an F1 is below 0.99."""
    with tempfile.TemporaryDirectory() as folder:
        sightings, requests = asyncio.run(play(CELLS, Path(folder) / "cells"))
        scored = scores_by_server(sightings, classified(requests, labels_of(sightings), Path(folder) / "data"))
    Path(target).write_text(page(scored), encoding="utf-8")
    low = {(server, name): s for server, own in scored.items() for name, s in own.items() if s.f1 < F1_MIN}
    sys.stderr.write(f"{len(sightings)} connections with a label: {target}; below {F1_MIN}: {low or 'none'}\n")
    return 1 if low else 0


F1_MIN: Final = 0.99

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
