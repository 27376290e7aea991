"""The demo's clients against a chat that runs already: a round, and what it leaves behind."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

START_SECONDS_MAX = 60.0


@pytest.fixture
def chat() -> Iterator[int]:
    """The port of a chat with all its bugs, whose spans go nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = [sys.executable, "-m", "acceptfirst_chat", "--port", str(port), "--bugs", "all"]
    environment = {**os.environ, "OTEL_SDK_DISABLED": "true"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/healthz", process)
            yield port
        finally:
            process.terminate()


def _wait_until_up(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the chat did not start")


def test_crowd_comes_once_and_says_how_many(chat: int, tmp_path: Path) -> None:
    """More connections than clients, since some come again; and the beat is there for the health check."""
    beat = tmp_path / "beat"
    command = [sys.executable, "-m", "acceptfirst_chat.crowd", "--url", f"ws://127.0.0.1:{chat}", "--clients", "20"]
    command += ["--rounds", "1", "--beat-file", str(beat)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    said = re.fullmatch(r"round 1: (\d+) connections\n", done.stdout)
    assert said is not None
    assert int(said[1]) >= 20
    assert beat.exists()


def test_crowd_refuses_a_round_of_nobody() -> None:
    """A usage error."""
    command = [sys.executable, "-m", "acceptfirst_chat.crowd", "--clients", "0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, "at least one client" in done.stderr) == (2, True)
