"""A small, seeded part of what `make endurance` does at length."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "endurance.py"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ["kill -9", "out of disk"])
def test_serve_loses_doubles_and_invents_nothing(scenario: str) -> None:
    """Six clients that resend, a collector that is killed, and once a store without room: each span is there once."""
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--seconds", "0.5", "--seed", "7", "--only", scenario]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    [counts] = json.loads(done.stdout)["scenarios"]
    faults = {key: counts[key] for key in ("lost", "doubled", "invented", "wrong_in_tables")}
    assert faults == dict.fromkeys(faults, 0)
    assert counts["acknowledged_spans"] > 0
