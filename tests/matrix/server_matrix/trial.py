"""Runs one cell: a real server process, all scenarios at once against it, then its shutdown with two open sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from server_matrix.clients import Door, GoneError
from server_matrix.scenarios import (
    SCENARIOS,
    SHUTDOWN,
    SOCKETIO_GREETING,
    SOCKETIO_QUERY,
    client_of,
    scenarios_of,
)
from server_matrix.servers import SERVERS, Cell

PACKAGE_ROOT: Final = Path(__file__).resolve().parents[1]
START_PATIENCE_S: Final = 60.0
LEAVE_PATIENCE_S: Final = 12.0
STOP_PATIENCE_S: Final = 40.0
_PERIOD_S: Final = 0.05


class Step(NamedTuple):
    """A transition span."""

    sequence: int
    old: str
    new: str
    trigger: str


@dataclass(frozen=True)
class View:
    """What was seen of one connection, from both ends.

    Attributes:
        client: what the client saw, in one line.
        application: what the application's attempts gave, in order.
        left: how the application left: returns, or an exception.
    """

    client: str
    application: tuple[str, ...]
    left: str


@dataclass(frozen=True)
class Sighting:
    """One scenario in one cell, with and without the middleware.

    Attributes:
        cell: where.
        scenario: which.
        plain: both ends' view without the middleware.
        observed: the same with it.
        steps: the transitions that were exported, in the order of their export.
        signature: of the whole connection.
        patterns: what was found, sorted.
        outcome: of the handshake, as its span says.
        route: as the spans say.
        connection_id: as the spans say, hex; empty where there are none.
        failures: failures of our own, counted by the library.
    """

    cell: Cell
    scenario: str
    plain: View
    observed: View
    steps: tuple[Step, ...]
    signature: str
    patterns: tuple[str, ...]
    outcome: str
    route: str
    connection_id: str
    failures: dict[str, str] = field(hash=False)


class MatrixError(RuntimeError):
    """A server did not do what every server must: start, answer, stop."""


@dataclass
class Process:
    """A running server."""

    cell: Cell
    port: int
    folder: Path
    process: asyncio.subprocess.Process

    def door(self, variant: str, scenario: str) -> Door:
        """Where a new trial's client connects."""
        own = self.cell.framework == "socketio_app"
        path = f"/{variant}/{scenario}{SOCKETIO_QUERY if own else ''}"
        return Door(self.port, path, uuid.uuid4().hex, self.folder, SOCKETIO_GREETING if own else ())

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What the application's process has written so far."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def wait_until_left(self, trials: Iterable[str]) -> None:
        """Wait until the application has left each of these connections."""
        waiting = set(trials)
        for _ in range(int(LEAVE_PATIENCE_S / _PERIOD_S)):
            if waiting <= {line["trial"] for line in self.lines("diary.ndjson") if "left" in line}:
                return
            await asyncio.sleep(_PERIOD_S)

    def log(self) -> str:
        """What the server wrote."""
        return (self.folder / "server.log").read_text(errors="replace")


@asynccontextmanager
async def serving(cell: Cell, folder: Path) -> AsyncIterator[Process]:
    """A cell's server process, up and answering; killed at the end if it still lives."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 - one folder, before anything runs in parallel with it
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    own = {"SERVER_MATRIX_FOLDER": str(folder), "PYTHONPATH": str(PACKAGE_ROOT), "OTEL_SERVICE_NAME": str(cell)}
    environ = {**os.environ, **own}
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *SERVERS[cell.server].command(cell, port), stdout=log, stderr=log, env=environ, start_new_session=True
        )
    running = Process(cell, port, folder, process)
    try:
        await _wait_until_up(running)
        yield running
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _wait_until_up(running: Process) -> None:
    for _ in range(int(START_PATIENCE_S / _PERIOD_S)):
        if running.process.returncode is not None:
            break
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        except OSError:
            await asyncio.sleep(_PERIOD_S)
            continue
        writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        if answer.startswith(b"HTTP/1.1 200"):
            return
    raise MatrixError(f"expected {running.cell} to answer on its port, but its log says:\n{running.log()}")


class Pair(NamedTuple):
    """The two doors of one scenario."""

    scenario: str
    plain: Door
    observed: Door


async def run_cell(cell: Cell, folder: Path) -> list[Sighting]:
    """Run every scenario of a cell, with and without the middleware.

    Args:
        cell: server, framework, loop.
        folder: for its files; must not exist.

    Raises:
        MatrixError: when the server does not start or a client's part fails.
    """
    async with serving(cell, folder) as running:
        pairs = [
            Pair(name, running.door("plain", name), running.door(SCENARIOS[name].observed, name))
            for name in scenarios_of(cell.framework)
        ]
        talking = [pair for pair in pairs if pair.scenario != SHUTDOWN]
        clients = dict(await asyncio.gather(*(_play(running, *each) for each in _parts(talking))))
        await running.wait_until_left(clients)
        clients |= await _shut_down(running, [pair for pair in pairs if pair.scenario == SHUTDOWN])
    return [_sighting(running, pair, clients) for pair in pairs]


def _parts(pairs: list[Pair]) -> list[tuple[str, Door]]:
    return [(pair.scenario, door) for pair in pairs for door in (pair.plain, pair.observed)]


async def _play(running: Process, scenario: str, door: Door) -> tuple[str, str]:
    try:
        return door.trial, await client_of(running.cell.framework, scenario)(door)
    except GoneError as gone:
        return door.trial, str(gone)
    except Exception as error:
        raise MatrixError(
            f"expected the client of {scenario} to play its part against {running.cell}, but got {error!r}; the "
            f"server's log says:\n{running.log()[-4000:]}"
        ) from error


async def _shut_down(running: Process, pairs: list[Pair]) -> dict[str, str]:
    """Stop the server while the scenario's connections are open; gives what their clients saw."""
    playing = [asyncio.create_task(_play(running, *each)) for each in _parts(pairs)]
    await _wait_for_flags(pairs)
    running.process.send_signal(signal.SIGTERM)
    seen = dict(await asyncio.gather(*playing))
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):
            await running.process.wait()
    except TimeoutError:
        raise MatrixError(f"expected {running.cell} to stop on SIGTERM, but it lives:\n{running.log()}") from None
    return seen


async def _wait_for_flags(pairs: list[Pair]) -> None:
    flags = [door.flag for _, door in _parts(pairs)]
    for _ in range(int(START_PATIENCE_S / _PERIOD_S)):
        if all(flag.exists() for flag in flags):
            return
        await asyncio.sleep(_PERIOD_S)


def _sighting(running: Process, pair: Pair, clients: dict[str, str]) -> Sighting:
    diary = _by_trial(running.lines("diary.ndjson"))
    spans = _by_trial(running.lines("spans.ndjson"))[pair.observed.trial]
    last = [line for line in diary[pair.observed.trial] if "left" in line]
    steps = [_step(span["attributes"]) for span in spans if span["name"] == "websocket.transition"]
    return Sighting(
        cell=running.cell,
        scenario=pair.scenario,
        plain=_view(diary[pair.plain.trial], clients[pair.plain.trial]),
        observed=_view(diary[pair.observed.trial], clients[pair.observed.trial]),
        steps=tuple(steps),
        signature=_told(spans, "websocket.transition", "acceptfirst.signature"),
        patterns=tuple(
            sorted(
                span["attributes"]["acceptfirst.pattern.type"]
                for span in spans
                if span["name"] == "websocket.violation"
            )
        ),
        outcome=_told(spans, "websocket.handshake", "acceptfirst.handshake.outcome"),
        route=_told(spans, "websocket.handshake", "http.route"),
        connection_id=str(spans[0]["attributes"]["acceptfirst.connection.id"]) if spans else "",
        failures=last[-1]["failures"] if last else {},
    )


def _by_trial(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        grouped[line["trial"]].append(line)
    return grouped


def _view(lines: list[dict[str, Any]], client: str) -> View:
    left = next((line["left"] for line in lines if "left" in line), "never left")
    return View(client, tuple(f"{line['what']}: {line['came']}" for line in lines if "what" in line), left)


def _step(attributes: dict[str, Any]) -> Step:
    return Step(
        attributes["acceptfirst.transition.sequence"],
        attributes["acceptfirst.state.from"],
        attributes["acceptfirst.state.to"],
        attributes["acceptfirst.transition.trigger"],
    )


def _told(spans: list[dict[str, Any]], name: str, attribute: str) -> str:
    """The last value of an attribute among the spans of one name; empty where none has it."""
    told = [span["attributes"][attribute] for span in spans if span["name"] == name and attribute in span["attributes"]]
    return str(told[-1]) if told else ""
