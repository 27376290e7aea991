"""simulate, as a person or a script runs it: into a store, through a collector, or only the truth."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

Run = Callable[..., Any]
SMALL = ("--connections", "300", "--faults", "0.5", "--seed", "3")
PATIENCE_S = 60.0
WEEK = ("--week", "2026-W45")


def test_simulate_fills_a_store_that_did_not_exist(acceptfirst: Run, tmp_path: Path) -> None:
    """What it says it stored is what classify then looks at, and every label is written."""
    dsn = f"chdb://{tmp_path}/db"
    made = acceptfirst("simulate", *SMALL, *WEEK, "--store", dsn, "--labels", "labels.ndjson", "--json")
    assert made.code == 0
    document = json.loads(made.out)
    known = [json.loads(line) for line in (tmp_path / "labels.ndjson").read_text().splitlines()]
    assert len(known) == document["connections"] == document["stored"] > 300
    found = json.loads(acceptfirst("classify", "--store", dsn, "--json").out)
    assert found["connections"] == document["stored"]
    assert found["patterns"]["double_accept"] == document["patterns"]["double_accept"]


def test_simulate_sends_through_a_collector(acceptfirst: Run, serve_url: str) -> None:
    """Each of them comes out of the API as a handshake."""
    options = ("--url", serve_url, "--service", "simulated", "--episodes", "0", "--environment", "testing", "--json")
    made = json.loads(acceptfirst("simulate", *SMALL, *options).out)
    assert made["stored"] == 300
    deadline = time.monotonic() + PATIENCE_S
    found: list[Any] = []
    while len(found) < 300 and time.monotonic() < deadline:
        time.sleep(0.1)
        asked: dict[str, str | int] = {"service": "simulated", "limit": 500}
        found = httpx.get(f"{serve_url}/api/v1/handshakes", params=asked, timeout=60).json()["handshakes"]
    assert len(found) == 300
    assert {row["route"] for row in found} == {"/ws/{room}"}


def test_simulate_says_the_same_when_it_runs_again(acceptfirst: Run) -> None:
    """The seed and the range decide, not the day."""
    once, again = (acceptfirst("simulate", *SMALL, *WEEK, "--labels", "l", "--json") for _ in range(2))
    assert once.out == again.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "where the handshakes go"),
        (("--store", "chdb:///x/db", "--url", "http://127.0.0.1:9"), "either --store or --url"),
        (("--labels", "l", "--environment", "prodd"), "--environment prodd: expected one of testing"),
        (("--labels", "l", "--environment", "production=much"), "--environment production=much"),
        (("--labels", "l", "--readiness", "guess"), "expected readiness_mode to be one of auto"),
        (("--labels", "l", "--cause", "gremlins"), "expected a cause of"),
        (("--labels", "l", "--deploy", "2.0.0"), "expected VERSION@WHEN*FACTOR"),
        (("--labels", "l", "--deploy", "2.0.0@2020-01-01"), "a time within the range"),
        (("--labels", "l", "--faults", "2"), "expected faults to be a share"),
        (("--labels", "none/l"), "the labels can't be written"),
    ],
)
def test_simulate_is_a_usage_error_when_an_option_makes_no_sense(
    acceptfirst: Run, options: tuple[str, ...], words: str
) -> None:
    """One line that says which, and 2."""
    ended = acceptfirst("simulate", "--connections", "10", *options)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert words in ended.err


def test_simulate_says_unreachable_when_nothing_serves(acceptfirst: Run) -> None:
    """5, with the address."""
    ended = acceptfirst("simulate", *SMALL, "--url", "http://127.0.0.1:9")
    assert (ended.code, ended.err.count("\n")) == (5, 1)
    assert "nothing answers at http://127.0.0.1:9" in ended.err


def test_simulate_replays_under_another_policy(acceptfirst: Run, store: str, tmp_path: Path) -> None:
    """The recorded blind week under a held gate: nothing is written, and what can't be known is said."""
    (tmp_path / "tried.toml").write_text(
        'schema_version = 1\n[production]\nversion = "gate"\nreadiness_mode = "event"\ngate = "hold"\n'
    )
    ended = acceptfirst("simulate", "--policy", "tried.toml", "--store", store, "--week", "2026-W47", "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    by_route = {row["route"]: row for row in document["replay"]}
    assert by_route["/ws/chat"]["n"] == 200
    assert by_route["/ws/chat"]["gate"] == "hold"
    assert by_route["/ws/chat"]["violations_most"] == 0
    assert len(document["limits"]) == 2


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("nonsense", (), (2, "tried.toml")),
        ("schema_version = 1\n[production]\ndelay_ladder_ms = [9000]\n", (), (2, "from 0 to 250")),
        ("schema_version = 1\n", ("--week", "2020-W01"), (4, "nothing to replay")),
        ("schema_version = 1\n", ("--environment", "production", "--environment", "stage"), (2, "one --environment")),
    ],
)
def test_simulate_says_why_it_can_not_replay(
    acceptfirst: Run, store: str, text: str, options: tuple[str, ...], expected: tuple[int, str]
) -> None:
    """A policy that is none, a range without handshakes: one line and a code."""
    Path("tried.toml").write_text(text)
    ended = acceptfirst("simulate", "--policy", "tried.toml", "--store", store, *options)
    assert (ended.code, ended.err.count("\n")) == (expected[0], 1)
    assert expected[1] in ended.err


def test_simulate_makes_nothing_of_no_connections(acceptfirst: Run, tmp_path: Path) -> None:
    """Not even what only many connections show: the tables are there, and empty."""
    ended = acceptfirst("simulate", "--connections", "0", "--store", f"chdb://{tmp_path}/db", "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["connections"], document["stored"]) == (0, 0, 0)
