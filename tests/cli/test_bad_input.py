"""What nobody wishes for: a clear line and an exit code, or a verdict that says so; never a number too many."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_store.database import open_database
from acceptfirst_store.migrations import migrate

Run = Callable[..., Any]
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def handshake(number: int, at: datetime, **own: Any) -> dict[str, Any]:
    """A handshake that was ready by an event after 5 ms, unless told otherwise."""
    row = {
        "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"),
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "readiness_mode": "event",
        "gate": "observe",
        "policy_version": "default",
        "weight": 1.0,
        "pending_at": at,
        "connected_at": at,
        "ready_at": at + timedelta(milliseconds=5),
        "ended_by": "disconnect",
        "ranked_signature": chr(6) + "CAGRSD",
        "messages_early": 0,
        "messages_received": 1,
        "dwell_ms": 400.0,
        "first_seen": at,
        "last_seen": at + timedelta(milliseconds=400),
    }
    return {**row, **own}


YESTERDAY = datetime.now(UTC) - timedelta(days=1)
CENSORED = {"ready_at": NEVER, "ranked_signature": chr(3) + "CAD"}
CASES: dict[str, list[dict[str, Any]]] = {
    "empty": [],
    "one": [handshake(0, YESTERDAY)],
    "all censored": [handshake(i, YESTERDAY, **CENSORED) for i in range(300)],
    "all early leavers": [handshake(i, YESTERDAY, **CENSORED, dwell_ms=3.0) for i in range(300)],
    "all violations": [handshake(i, YESTERDAY, messages_early=1) for i in range(300)],
    "negative": [handshake(i, YESTERDAY, ready_at=YESTERDAY - timedelta(seconds=9), dwell_ms=-3.0) for i in range(300)],
    "future": [handshake(i, datetime.now(UTC) + timedelta(hours=9)) for i in range(300)],
}


@pytest.fixture(scope="module")
def store_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes a store of one of the cases, once."""
    made: dict[str, str] = {}

    def make(case: str) -> str:
        if case not in made:
            dsn = f"chdb://{tmp_path_factory.mktemp('bad')}/db"
            with open_database(dsn) as database:
                migrate(database)
                database.insert_rows("handshakes", CASES[case])
            made[case] = dsn
        return made[case]

    return make


@pytest.mark.parametrize(
    ("case", "code", "verdicts"),
    [
        ("empty", 4, []),
        ("one", 4, ["not_enough_evidence"]),
        ("all censored", 0, ["gate"]),  # waited for 400 ms and not ready: no delay within 250 ms is enough
        ("all early leavers", 4, ["not_enough_evidence"]),
        ("all violations", 0, ["gate"]),  # no delay can be bounded by 300, and none is needed: hold until ready
        ("negative", 4, ["not_enough_evidence"]),
        ("future", 4, []),
    ],
)
def test_recommend_gives_no_number_that_the_data_cannot_carry(
    acceptfirst: Run, store_of: Callable[[str], str], case: str, code: int, verdicts: list[str]
) -> None:
    """No delay in any of these, one line where there is no answer, and JSON all the same."""
    ended = acceptfirst("recommend", "--store", store_of(case), "--json")
    rows = json.loads(ended.out)["recommendations"]
    assert (ended.code, [row["verdict"] for row in rows]) == (code, verdicts)
    assert {row["delay_ms"] for row in rows} <= {None}
    assert ended.err.count("\n") == (0 if code == 0 else 1)


@pytest.mark.parametrize("case", ["empty", "negative", "future"])
def test_verify_claims_nothing_where_nothing_changed(
    acceptfirst: Run, store_of: Callable[[str], str], case: str
) -> None:
    """4 and one line, whatever is in the store."""
    ended = acceptfirst("verify", "--store", store_of(case), "--json")
    assert (ended.code, json.loads(ended.out)["changes"]) == (4, [])
    assert ended.err.count("\n") == 1


def test_missing_handshakes_are_told_when_there_is_one(acceptfirst: Run, store_of: Callable[[str], str]) -> None:
    """2,994 more; for those who all left early, no number would do."""
    (row,) = json.loads(acceptfirst("recommend", "--store", store_of("one"), "--json").out)["recommendations"]
    assert (row["n"], row["n_missing"]) == (1, 2994)
    assert "2,994 more are needed" in row["rationale"]


@pytest.mark.parametrize("verb", ["recommend", "verify"])
def test_range_in_the_future_is_a_usage_error_or_empty(
    acceptfirst: Run, store_of: Callable[[str], str], verb: str
) -> None:
    """It lies behind its end, which is now."""
    ended = acceptfirst(verb, "--store", store_of("one"), "--since", "2190-01-01")
    assert (ended.code, "to lie before" in ended.err) == (2, True)


@pytest.mark.parametrize("verb", ["recommend", "verify"])
@pytest.mark.parametrize("options", [("--environment", "prodd"), ("--slo", "1.5"), ("--confidence", "0")])
def test_verb_is_a_usage_error_when_what_is_asked_makes_no_sense(
    acceptfirst: Run, verb: str, options: tuple[str, str]
) -> None:
    """2, one line that says what was expected; no store is opened for it."""
    ended = acceptfirst(verb, "--store", "chdb:///nowhere/db", *options)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "expected" in ended.err


def test_catalogue_with_a_bad_expression_is_a_usage_error(
    acceptfirst: Run, store_of: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file, and no traceback."""
    file = tmp_path / "patterns.toml"
    file.write_text('schema_version = 1\n[[pattern]]\nname = "own"\n[[pattern.match]]\nsignature = "(C"\n')
    store = store_of("one")
    monkeypatch.setenv("ACCEPTFIRST_PATTERNS", str(file))
    ended = acceptfirst("recommend", "--store", store)
    assert (ended.code, ended.err.count("\n"), "patterns.toml" in ended.err) == (2, 1, True)


def test_policy_outside_the_guardrails_is_a_usage_error(acceptfirst: Run, tmp_path: Path) -> None:
    """It says which limit, and what raises it."""
    (tmp_path / "long.toml").write_text("schema_version = 1\n[production]\ndelay_ladder_ms = [300]\n")
    ended = acceptfirst("policy", "show", "long.toml")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "from 0 to 250" in ended.err


@pytest.mark.parametrize("verb", ["classify", "recommend", "verify", "report"])
@pytest.mark.parametrize(
    ("option", "address"), [("--url", "nonsense"), ("--url", "ftp://host"), ("--store", "mysql://h")]
)
def test_command_ends_with_a_usage_error_when_an_address_is_none(
    acceptfirst: Run, verb: str, option: str, address: str
) -> None:
    """2 and not 5, which asks to try again later; one line that shows what an address looks like."""
    ended = acceptfirst(verb, option, address)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "expected" in ended.err
    assert "://" in ended.err
