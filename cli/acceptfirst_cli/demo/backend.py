"""One run of the chat: the backend under uvicorn with a policy, the clients, and what the backend counted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acceptfirst_chat.traffic import Driven, Traffic, drive
from acceptfirst_cli.demo.children import Children
from acceptfirst_cli.demo.collector import answers
from acceptfirst_cli.demo.figures import Happened
from acceptfirst_cli.errors import CommandError

START_TIMEOUT_S: Final = 60.0
STOP_PATIENCE_S: Final = 45.0
WATCH_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRun:
    """How one run is set up.

    Attributes:
        name: ``before`` or ``after``; the names of its files.
        folder: where they are.
        collector_url: where spans go.
        policy: the policy's file.
        environment: as AcceptFirst knows it.
        seed: decides the cold starts.
    """

    name: str
    folder: Path
    collector_url: str
    policy: Path
    environment: str
    seed: int

    @property
    def log(self) -> Path:
        """What the backend printed."""
        return self.folder / f"{self.name}.log"

    @property
    def ledger(self) -> Path:
        """What the backend counted."""
        return self.folder / f"{self.name}.ledger.json"

    def arguments(self, port: int) -> list[str]:
        """The backend's command line, behind ``python``."""
        options = {
            "--port": port,
            "--collector": self.collector_url,
            "--environment": self.environment,
            "--policy": self.policy,
            "--ledger": self.ledger,
            "--seed": self.seed,
            "--bugs": "all",
        }
        return ["-m", "acceptfirst_chat", *(str(part) for option in options.items() for part in option)]


def run_backend(
    children: Children, run: BackendRun, traffic: Traffic, arrived: Callable[[], None]
) -> tuple[Driven, Happened]:
    """Start the backend, let all clients come, stop it, and read what it counted.

    Raises:
        CommandError: when the backend dies, or does not stop when it is asked.
    """
    port = free_port()
    child = children.start(f"the chat backend ({run.name})", run.arguments(port), run.log)
    child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), START_TIMEOUT_S, "ready")
    driven = asyncio.run(_drive_watched(children, f"ws://127.0.0.1:{port}", traffic, arrived))
    if not child.stop(STOP_PATIENCE_S) or not run.ledger.exists():
        raise CommandError(f"{child.name} did not stop in order; the end of its log, {child.log}:\n{child.log_tail()}")
    return driven, Happened.read(run.ledger)


async def _drive_watched(children: Children, url: str, traffic: Traffic, arrived: Callable[[], None]) -> Driven:
    """Drive, and give up at once when a child dies: clients and exporters would try again for minutes."""
    driving = asyncio.create_task(drive(url, traffic, arrived))
    try:
        while not driving.done():
            children.require_alive()
            await asyncio.wait({driving}, timeout=WATCH_S)
        return driving.result()
    finally:
        driving.cancel()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
