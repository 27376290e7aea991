"""The jobs of a real serve: a canary that harms is rolled back, killed at any time, and people see what was done."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from acceptfirst.policy import default_policy, policy_from_document, policy_to_document
from acceptfirst_cli.jobs.loop_steps import carry_out
from acceptfirst_cli.jobs.worker import main as worker_main
from acceptfirst_cli.jobs.worker_process import WorkerFailedError, WorkerProcess
from acceptfirst_collector.policy.ledger import Account, PolicyLedger
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

PATIENCE_SECONDS = 90.0
GATED = replace(default_policy("production"), version="v2", readiness_mode="event", gate="hold")

#: The real serve, whose jobs begin at once.
EAGER = """
import pathlib, sys
import chdb
from acceptfirst_cli.jobs.duties import DutySettings
from acceptfirst_cli.jobs.routes import Extension
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
settings = CollectorSettings(data_dir=pathlib.Path(sys.argv[1]), port=0, grpc_port=0)
run(settings, extend=Extension(DutySettings(), start_delay_seconds=0.0))
"""


@contextmanager
def serving(data_dir: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A serve whose jobs begin at once; killed at the end."""
    (data_dir / "serve.json").unlink(missing_ok=True)
    with subprocess.Popen([sys.executable, "-c", EAGER, str(data_dir)], stdout=subprocess.DEVNULL) as process:
        try:
            path = data_dir / "serve.json"
            until(path.exists)
            yield str(json.loads(path.read_text())["url"]), process
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def job(url: str, name: str) -> dict[str, Any]:
    """A job as the API shows it."""
    jobs = httpx.get(f"{url}/api/v1/jobs", trust_env=False, timeout=30).json()["jobs"]
    return next(row for row in jobs if row["job"] == name)


def history(url: str) -> list[dict[str, Any]]:
    """What happened to production's policy, the latest first."""
    parameters = {"environment": "production", "limit": 50}
    answer = httpx.post(f"{url}/api/v1/statements/policy_history", json={"parameters": parameters}, trust_env=False)
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def arm(at: datetime, number: int, *, is_canary: bool, early: bool) -> dict[str, Any]:
    """A handshake of one arm."""
    return {
        "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"),
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "readiness_mode": "event",
        "gate": "hold",
        "policy_version": "v2" if is_canary else "default",
        "policy_arm": "canary" if is_canary else "baseline",
        "weight": 1.0,
        "pending_at": at,
        "connected_at": at,
        "ready_at": at + timedelta(milliseconds=5),
        "ended_by": "disconnect",
        "messages_early": int(early),
        "messages_sent": 1,
        "first_seen": at,
        "last_seen": at + timedelta(seconds=1),
    }


def with_canary(data_dir: Path, early: int) -> None:
    """A store in which a canary was begun, and 100 and 900 handshakes came."""
    with open_database(f"chdb://{data_dir}/db") as database:
        migrate(database)
        ledger = PolicyLedger(database)
        ledger.propose(GATED, Account(actor="ann", reason="slow bots"))
        ledger.promote("production", 0.1, Account(actor="ann", reason="a tenth first"))
        at = datetime.now(UTC) + timedelta(seconds=1)
        rows = [arm(at, i, is_canary=i < 100, early=i < early) for i in range(1000)]
        database.insert_rows("handshakes", rows)
    time.sleep(1.2)  # what was seen in the future has not happened yet


def test_serve_rolls_back_a_canary_that_harms_however_often_it_is_killed(tmp_path: Path) -> None:
    """Killed before its first look, started again: once, with the evidence, and the job says so."""
    with_canary(tmp_path, early=12)
    with serving(tmp_path):
        pass
    with serving(tmp_path) as (url, _):
        until(lambda: "rollback" in {row["action"] for row in history(url)})
        until(lambda: job(url, "tune")["last"]["outcome"] == "ok")
        told = job(url, "tune")["last"]
        served = httpx.get(f"{url}/api/v1/policy/production", trust_env=False)
        rows = history(url)
    assert [(row["action"], row["actor"]) for row in rows] == [
        ("rollback", "acceptfirst"), ("promote", "ann"), ("propose", "ann"),
    ]  # fmt: skip
    assert json.loads(rows[0]["evidence"])["harm"]["races"]["canary"] == 12
    assert told["message"] == "production: rollback"
    assert policy_from_document(served.content, "production", "serve") == default_policy("production")


def test_serve_does_its_jobs_and_shows_them(tmp_path: Path) -> None:
    """Five, each with its times; what came in is classified and recommended from without anybody asking."""
    with_canary(tmp_path, early=0)
    with serving(tmp_path) as (url, _):
        until(lambda: all(job(url, name)["last"]["outcome"] == "ok" for name in ("classify", "recommend")))
        answer = httpx.get(f"{url}/api/v1/jobs", trust_env=False).json()
        stored = httpx.get(f"{url}/api/v1/recommendations", trust_env=False).json()["recommendations"]
    assert answer["schema_version"] == 1
    assert [row["job"] for row in answer["jobs"]] == ["classify", "tune", "recommend", "report", "alerts"]
    assert {row["route"] for row in stored} == {"/ws"}


def test_worker_is_a_usage_error_when_the_store_is_embedded(acceptfirst: Any) -> None:
    """Its serve holds it, and runs the jobs itself."""
    ended = acceptfirst("worker", "--store", "chdb:///somewhere")
    assert (ended.code, "expected --store clickhouse://" in ended.err) == (2, True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store of the test's own."""
    with open_database(f"chdb://{tmp_path}/own/db") as opened:
        migrate(opened)
        yield opened


def step(action: str, **own: Any) -> dict[str, Any]:
    """An outlook with a step, as a worker prints it."""
    values = {"environment": "production", "revision": 0, "action": action, "version": "v2", "reason": "because"}
    whole = {**values, "evidence": {"n": 7}, "share": None, "policy": None, **own}
    return {"environment": "production", "stage": "none", "message": "because", "step": whole}


def test_steps_are_carried_out_through_the_ledger(database: Database) -> None:
    """Proposed, tried, promoted, verified: each is a row with the evidence."""
    ledger = PolicyLedger(database)
    done = [
        carry_out(ledger, step("propose", policy=policy_to_document(GATED))),
        carry_out(ledger, step("promote", revision=1, share=0.1)),
        carry_out(ledger, step("advise", revision=2)),
        carry_out(ledger, step("promote", revision=3)),
        carry_out(ledger, step("verify", revision=4)),
    ]
    rows = database.statement_rows("policy_history", {"environment": "production", "limit": 9})
    assert [row["done"] for row in done] == ["propose", "promote", "advise", "promote", "verify"]
    assert [row["action"] for row in rows][::-1] == [row["done"] for row in done]
    assert {(row["actor"], row["evidence"]) for row in rows} == {("acceptfirst", '{"n": 7}')}
    assert ledger.state("production").in_force == GATED


@pytest.mark.parametrize(
    "late", [step("rollback", revision=5), step("promote"), step("propose", policy={"schema_version": 1})]
)
def test_step_that_no_longer_fits_is_left_alone(database: Database, late: dict[str, Any]) -> None:
    """A person was faster, or this process keeps other guardrails: nothing changes, and it says why."""
    ledger = PolicyLedger(database)
    told = carry_out(ledger, late)
    assert "done" not in told
    assert told["message"].startswith("left alone: ")
    assert ledger.state("production").revision == 0


def test_nothing_is_done_when_there_is_no_step(database: Database) -> None:
    """What is waited for is passed on."""
    outlook = {"environment": "staging", "stage": "canary", "message": "12 more", "step": None}
    assert carry_out(PolicyLedger(database), outlook) == {
        "environment": "staging", "stage": "canary", "message": "12 more",
    }  # fmt: skip


def test_worker_opens_a_store_itself_when_it_is_given_one(database: Database, tmp_path: Path) -> None:
    """Beside a server store there is no collector to ask; here, an embedded one that somebody holds says so."""
    dsn = f"chdb://{tmp_path}/own/db"
    request = json.dumps({"dsn": dsn, "question": {}, "options": {}})
    held = worker_main(["tune"], request)
    database.close()
    free = worker_main(["tune"], request)
    assert (held["exit_code"], "is held by process" in held["error"]) == (5, True)
    assert {row["environment"] for row in free["outlooks"]} == {"testing", "development", "staging", "production"}


def test_worker_is_ended_when_its_process_goes(tmp_path: Path) -> None:
    """None is started afterwards."""
    worker = WorkerProcess()
    worker.close()
    with pytest.raises(WorkerFailedError, match="this process is ending"):
        worker.ask("tune", {})


def test_worker_that_fails_says_its_last_line() -> None:
    """A job that does not exist."""
    with pytest.raises(WorkerFailedError, match="the job nonsense failed: KeyError"):
        WorkerProcess().ask("nonsense", {"url": "http://127.0.0.1:9", "token": "", "question": {}})
