"""The demo, step by step: the incident, its causes, the cure, the proof."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from acceptfirst.policy import Policy, dump_policy_file
from acceptfirst_analysis.loop.proposal import propose
from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_analysis.window import Window, window_between
from acceptfirst_chat.traffic import Traffic, plan
from acceptfirst_cli.demo.backend import BackendRun, run_backend
from acceptfirst_cli.demo.children import Children
from acceptfirst_cli.demo.collector import Collector, start_collector
from acceptfirst_cli.demo.figures import RunFigures
from acceptfirst_cli.demo.folder import DemoFolder
from acceptfirst_cli.demo.narrator import Narrator
from acceptfirst_cli.demo.outcome import Outcome
from acceptfirst_cli.errors import CommandError

ENVIRONMENT: Final = "production"
STOP_PATIENCE_S: Final = 20.0

BASELINE: Final = Policy(
    environment=ENVIRONMENT,
    version="incident",
    readiness_mode="blind",
    gate="observe",
    delay_ladder_ms=(25.0, 50.0, 75.0),
    handshake_timeout_ms=2000.0,  # far from the slow authentication before accept, which is another bug's
)
"""What the incident's team had deployed: sleep 25 ms, then handle messages."""

PROPOSED_VERSION: Final = "proposed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user chose.

    Attributes:
        folder: where everything goes.
        clients: in each run.
        seed: decides traffic and cold starts, of both runs alike.
    """

    folder: DemoFolder
    clients: int
    seed: int


class Demo:
    """One demo, while its children run."""

    def __init__(self, options: DemoOptions, children: Children, narrator: Narrator) -> None:
        self._folder = options.folder
        self._options = options
        self._children = children
        self._narrator = narrator
        self._traffic: Traffic = plan(options.clients, options.seed)
        self._began = datetime.now(UTC)

    def run(self, collector: Collector) -> Outcome:
        """Both runs and what lies between them."""
        before, window = self._run("before", BASELINE, collector)
        self._narrator.step("recommend: what to change, and whether waiting helps at all")
        recommendations = self._recommended(collector, window)
        proposal = propose(
            [Recommendation.from_row(row) for row in recommendations], {ENVIRONMENT: BASELINE}, version=PROPOSED_VERSION
        )
        after, _ = self._run("after", proposal.get(ENVIRONMENT, BASELINE), collector)
        self._narrator.step("write the report")
        self._write_reports(collector)
        return Outcome(
            before=before,
            after=after,
            recommendations=recommendations,
            report=str(self._folder.report_html),
            seed=self._options.seed,
            seconds=self._narrator.seconds,
        )

    def _run(self, name: str, policy: Policy, collector: Collector) -> tuple[RunFigures, Window]:
        policy_file = self._folder.chat / f"{name}.policy.toml"
        policy_file.write_text(dump_policy_file({ENVIRONMENT: policy}), encoding="utf-8")
        run = BackendRun(
            name=name,
            folder=self._folder.chat,
            collector_url=collector.url,
            policy=policy_file,
            environment=ENVIRONMENT,
            seed=self._options.seed,
        )
        since = datetime.now(UTC)
        self._narrator.step(
            f"{name}: {self._traffic.clients} clients, policy {policy.version!r}", self._traffic.clients
        )
        driven, happened = run_backend(self._children, run, self._traffic, self._narrator.advance)
        until = datetime.now(UTC)
        window = window_between(since, until, now=until)
        self._narrator.step(f"{name}: classify {happened.connections} connections")
        return RunFigures(driven, happened, collector.stored(happened, window)), window

    def _recommended(self, collector: Collector, window: Window) -> list[dict[str, Any]]:
        document = collector.answer("recommend", window)
        rows: list[dict[str, Any]] = document["recommendations"]
        return rows

    def _write_reports(self, collector: Collector) -> None:
        now = datetime.now(UTC)
        window = window_between(self._began, now, now=now)
        for kind, path in (("html", self._folder.report_html), ("md", self._folder.report_markdown)):
            path.write_text(collector.answer("report", window, format=kind)["text"], encoding="utf-8")


@contextmanager
def running_collector(options: DemoOptions, narrator: Narrator) -> Iterator[tuple[Collector, Children]]:
    """A collector with a fresh store; whatever is running when the block ends is stopped.

    Raises:
        CommandError: when the folder can't be used, or the collector does not come up.
    """
    options.folder.begin()
    with _termination_interrupts(), Children(STOP_PATIENCE_S) as children:
        narrator.step("start the collector on a store of its own")
        yield start_collector(children, options.folder.collector, options.folder.chat / "collector.log"), children


def write_summary(outcome: Outcome, path: Path) -> None:
    """Leave the figures behind.

    Raises:
        CommandError: when they can't be written.
    """
    try:
        path.write_text(json.dumps(outcome.to_summary(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"the demo can't write to {path}: {error}") from error


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with its children."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_local() -> None:
    """Speak to this machine directly, whatever proxy the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = "127.0.0.1,localhost"
