"""The demo as a user runs it: real collector, real chDB, real backend, real clients; and what ends it early."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONNECTIONS = 60


@dataclass
class Ran:
    """A demo that has ended.

    Attributes:
        folder: its data directory.
        code: its exit code.
        out: standard output.
        err: standard error.
    """

    folder: Path
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The figures that it left."""
        document: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return document


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A demo that has just been started."""
    arguments = ["--data-dir", str(folder), "--connections", str(CONNECTIONS), "--seed", "6", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "acceptfirst_cli", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pids_of(folder: Path) -> list[int]:
    """The processes that work in a demo's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # ended while we looked
            if str(folder).encode() in command:
                found.append(int(entry.name))
    return found


def worker_in(folder: Path, demo: subprocess.Popen[str]) -> int:
    """The child that works in a part of the demo's folder, once there is one."""
    while not (pids := [pid for pid in pids_of(folder) if pid != demo.pid]):
        assert demo.poll() is None, demo.communicate()
        time.sleep(0.02)
    return pids[0]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One small demo, from beginning to end."""
    folder = tmp_path_factory.mktemp("end-to-end") / "demo"
    with started(folder) as demo:
        out, err = demo.communicate()
    return Ran(folder, demo.returncode, out, err)


def test_demo_exits_0_when_its_figures_hold(ran: Ran) -> None:
    """None is named as failing."""
    assert (ran.code, ran.summary["failures"]) == (0, []), ran.out + ran.err


def test_demo_stores_every_transition_that_was_exported(ran: Ran) -> None:
    """Counted beside the exporter, and in the store."""
    assert ran.summary["transitions_stored"] == ran.summary["transitions_expected"] > 0


def test_demo_finds_what_was_planted_and_nothing_else(ran: Ran) -> None:
    """Sixteen bugs and the race of the incident."""
    assert ran.summary["mismatches"] == []
    assert len(ran.summary["patterns"]) == 17


def test_demo_ends_the_race_and_the_waiting(ran: Ran) -> None:
    """The same clients, another policy."""
    summary = ran.summary

    assert summary["violations_before"] > summary["violations_after"] == 0
    assert summary["handshake_p95_ms_after"] < summary["handshake_p95_ms_before"]


def test_demo_leaves_bugs_that_need_code_as_they_are(ran: Ran) -> None:
    """No setting cures them, and the demo does not pretend so."""
    assert ran.summary["code_violations_after"] == ran.summary["code_violations_before"] > 0


def test_demo_proposes_a_gate_for_the_chat_alone(ran: Ran) -> None:
    """The other routes keep the policy that they had."""
    policy = (ran.folder / "chat" / "after.policy.toml").read_text()

    assert re.findall(r"^\[production\.routes\.(.*)\]$", policy, re.MULTILINE) == ['"/ws/chat/{room}"']


def test_demo_writes_a_report_of_both_forms(ran: Ran) -> None:
    """Where the summary says."""
    assert Path(ran.summary["report"]) == ran.folder / "report.html"
    assert (ran.folder / "report.html").read_text().lower().startswith("<!doctype html>")
    assert (ran.folder / "report.md").read_text().startswith("# ")


def test_demo_keeps_progress_off_its_output(ran: Ran) -> None:
    """Nothing on stderr, since it is no terminal; the story on stdout."""
    assert not ran.err
    assert "Before and after" in ran.out


def test_demo_leaves_no_process_behind(ran: Ran) -> None:
    """Neither the collector nor a backend."""
    assert pids_of(ran.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_demo_ends_its_children_when_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of the first run, with 130 and one line."""
    folder = tmp_path / "demo"
    with started(folder) as demo:
        worker_in(folder / "chat", demo)
        time.sleep(1.0)  # the clients are under way
        demo.send_signal(number)
        _, err = demo.communicate()

    assert demo.returncode == 130, err
    assert err.splitlines()[-1] == "acceptfirst: interrupted"
    assert pids_of(folder) == []


@pytest.mark.parametrize(
    ("victim", "name"),
    [("chat", "the chat backend (before)"), ("collector", "the collector (acceptfirst serve)")],
    ids=["backend", "collector"],
)
def test_demo_says_which_child_died(tmp_path: Path, victim: str, name: str) -> None:
    """In the middle of the first run: one line that names it, the end of its log, and no process left."""
    folder = tmp_path / "demo"
    with started(folder) as demo:
        worker_in(folder / "chat", demo)
        os.kill(worker_in(folder / victim, demo), signal.SIGKILL)
        _, err = demo.communicate()

    told = [line for line in err.splitlines() if line.startswith("acceptfirst: ")]
    assert demo.returncode == 1, err
    assert len(told) == 1
    assert told[0].startswith(f"acceptfirst: {name} ended by itself (signal SIGKILL)")
    assert pids_of(folder) == []
