"""The demo's collector: a real ``acceptfirst serve`` on a store of its own, and what the demo asks of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from acceptfirst_analysis.window import Window
from acceptfirst_cli.asking.question import Question
from acceptfirst_cli.asking.source import Source
from acceptfirst_cli.demo.children import POLL_S, Child, Children
from acceptfirst_cli.demo.figures import Happened, Stored, chat_ready_p95_ms, found_of
from acceptfirst_cli.errors import CommandError
from acceptfirst_store.remote import RemoteStore

START_TIMEOUT_S: Final = 60.0
ARRIVAL_TIMEOUT_S: Final = 20.0
PROBE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Collector:
    """A running collector.

    Attributes:
        url: where it listens.
        child: its process.
    """

    url: str
    child: Child

    def statement(self, name: str, window: Window) -> list[dict[str, Any]]:
        """The rows of a named statement about a range of time, for all environments."""
        self.child.require_alive()
        parameters = {"environment": "", **window.parameters}
        return RemoteStore(self.url).statement_rows(name, parameters)

    def answer(self, job: Literal["classify", "recommend", "report"], window: Window, **options: Any) -> dict[str, Any]:
        """Have a job done about a range of time.

        Raises:
            CommandError: when the collector can't do it; says where its log is.
        """
        self.child.require_alive()
        question = Question(since=window.parameters["since"], until=window.parameters["until"], **options)
        source = Source(url=self.url)
        jobs = {"classify": source.classify, "recommend": source.recommend, "report": source.report}
        try:
            return jobs[job](question)
        except CommandError as error:
            raise CommandError(f"{job}: {error} ({self.child.log})", error.exit_code) from error

    def arrived(self, happened: Happened, window: Window) -> tuple[int, int]:
        """Wait until as many transitions are stored as were exported, but not for ever.

        Returns:
            Transitions and connections in the store; fewer than expected where the time ran out.
        """
        deadline_s = time.monotonic() + ARRIVAL_TIMEOUT_S
        while True:
            row = self.statement("transition_counts", window)[0]
            stored = int(row["transitions"]), int(row["connections"])
            if stored[0] >= happened.transitions or time.monotonic() > deadline_s:
                return stored
            time.sleep(POLL_S)

    def stored(self, happened: Happened, window: Window) -> Stored:
        """What the store says of a run that is over: counted, classified, timed."""
        transitions, connections = self.arrived(happened, window)
        self.answer("classify", window)
        return Stored(
            connections=connections,
            transitions=transitions,
            found=found_of(self.statement("pattern_counts", window)),
            chat_ready_p95_ms=chat_ready_p95_ms(self.statement("handshake_summary", window)),
        )


def start_collector(children: Children, data_dir: Path, log: Path) -> Collector:
    """Start ``acceptfirst serve`` on a free port and wait until it takes spans.

    Args:
        children: who ends it.
        data_dir: of its own; the store is embedded in it.
        log: where its output goes.
    """
    # The demo asks for each job when its turn in the story has come.
    arguments = ["-m", "acceptfirst_cli", "serve", "--port", "0", "--data-dir", str(data_dir), "--no-jobs"]
    child = children.start("the collector (acceptfirst serve)", arguments, log)
    address = data_dir / "serve.json"
    child.wait_until(lambda: _is_up(address), START_TIMEOUT_S, "ready")
    return Collector(_url(address), child)


def _is_up(address: Path) -> bool:
    url = _url(address)
    return bool(url) and answers(f"{url}/readyz")


def _url(address: Path) -> str:
    try:
        return str(json.loads(address.read_text(encoding="utf-8"))["url"]).rstrip("/")
    except (OSError, ValueError, KeyError):
        return ""  # not written yet


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with httpx.Client(timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            return client.get(url).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
