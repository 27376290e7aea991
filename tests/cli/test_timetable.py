"""Jobs run at their times, one after the other, make up once for what was missed, and say how it went."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_cli.jobs.timetable import Duty, Say, Timetable
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.errors import StoreUnreachable
from acceptfirst_store.migrations import migrate

PATIENCE_SECONDS = 60.0
NEVER_NOW = "0 0 29 2 *"
Start = Callable[..., Timetable]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store of the test's own."""
    with open_database(f"chdb://{tmp_path}/db") as opened:
        migrate(opened)
        yield opened


@pytest.fixture
def start(database: Database) -> Iterator[Start]:
    """Starts timetables, and stops them at the end."""
    started: list[Timetable] = []

    def make(*duties: Duty, delay: float = 0.0) -> Timetable:
        started.append(Timetable(database, duties, start_delay_seconds=delay))
        started[-1].start()
        return started[-1]

    yield make
    for timetable in started:
        timetable.stop()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def described(timetable: Timetable, name: str) -> dict[str, Any]:
    """One job as the API shows it."""
    return next(row for row in timetable.describe() if row["job"] == name)


def ran(timetable: Timetable, name: str) -> bool:
    """Whether it has run and ended in this process or one before."""
    row = described(timetable, name)
    return not row["is_running"] and row["last"]["outcome"] != "never"


def succeeded(database: Database, name: str, at: datetime) -> None:
    """Write down that a job succeeded at a time."""
    row = {"job": name, "started_at": at, "ended_at": at, "succeeded_at": at, "outcome": "ok", "message": "then"}
    database.insert_rows("job_runs", [{**row, "result": "{}"}])


def test_job_that_never_ran_runs_when_the_process_has_come_up(start: Start) -> None:
    """And what came of it is in its description, as JSON can hold it."""
    timetable = start(Duty("report", NEVER_NOW, lambda _: {"message": "written", "files": ["a.html"]}))
    until(lambda: ran(timetable, "report"))
    row = described(timetable, "report")
    assert (row["last"]["outcome"], row["last"]["message"]) == ("ok", "written")
    assert row["last"]["result"]["files"] == ["a.html"]
    assert json.loads(json.dumps(row)) == row
    assert row["next_run_at"].endswith("02-29T00:00:00+00:00")


@pytest.mark.parametrize(("ago", "runs"), [(timedelta(days=9), 1), (timedelta(0), 0)])
def test_job_makes_up_once_for_what_was_missed(database: Database, start: Start, ago: timedelta, runs: int) -> None:
    """Nine days away from a daily job is one run, not nine; one that just ran waits for its time."""
    calls: list[int] = []

    def run(_: Say) -> dict[str, str]:
        calls.append(1)
        return {}

    now = datetime.now(UTC)
    succeeded(database, "daily", now - ago)
    hour = (now + timedelta(hours=6)).hour
    timetable = start(
        Duty("daily", f"0 {hour} * * *", run),
        Duty("after", NEVER_NOW, lambda _: {}),
    )
    until(lambda: ran(timetable, "after"))
    assert len(calls) == runs


def test_jobs_never_overlap(start: Start) -> None:
    """Three that are due at once: one after the other."""
    inside, most = [0], [0]

    def job(_: Say) -> dict[str, str]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.1)
        inside[0] -= 1
        return {}

    names = ("one", "two", "three")
    timetable = start(*(Duty(name, NEVER_NOW, job) for name in names))
    until(lambda: all(ran(timetable, name) for name in names))
    assert most == [1]


def test_running_job_says_how_far_it_is(start: Start) -> None:
    """While it runs, and no longer."""
    go_on = threading.Event()

    def job(say: Say) -> dict[str, str]:
        say("week 2026-W47 as html")
        assert go_on.wait(PATIENCE_SECONDS)
        return {"message": "done"}

    timetable = start(Duty("report", NEVER_NOW, job))
    until(lambda: described(timetable, "report")["progress"] != "")
    during = described(timetable, "report")
    go_on.set()
    until(lambda: ran(timetable, "report"))
    after = described(timetable, "report")
    assert (during["is_running"], during["progress"]) == (True, "week 2026-W47 as html")
    assert (after["is_running"], after["progress"], after["last"]["message"]) == (False, "", "done")


@pytest.mark.parametrize("error", [StoreUnreachable("the store is away"), ValueError("a bug")])
def test_job_that_fails_says_why_and_is_tried_again_soon(
    start: Start, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """In minutes, not at its next time; the jobs behind it run."""

    def job(_: Say) -> None:
        raise error

    timetable = start(Duty("report", NEVER_NOW, job), Duty("next", NEVER_NOW, lambda _: {}))
    until(lambda: ran(timetable, "report") and ran(timetable, "next"))
    row = described(timetable, "report")
    assert (row["last"]["outcome"], row["last"]["message"], row["last"]["succeeded_at"]) == ("failed", str(error), None)
    again_at = datetime.fromisoformat(row["next_run_at"])
    assert again_at < datetime.now(UTC) + timedelta(minutes=6)
    assert f"the job report failed: {error}" in caplog.text


def test_latest_run_is_known_to_the_next_process(database: Database, start: Start) -> None:
    """How it ended, what came out; a failure does not hide when it last succeeded."""
    first = start(Duty("report", NEVER_NOW, lambda _: {"message": "written"}))
    until(lambda: ran(first, "report"))
    first.stop()
    second = start(Duty("report", NEVER_NOW, lambda _: {"message": "again"}), delay=3600.0)
    last = described(second, "report")["last"]
    assert (last["outcome"], last["message"], last["result"]) == ("ok", "written", {"message": "written"})
    assert last["succeeded_at"] is not None


def test_where_a_job_goes_on_outlives_a_run_that_failed(database: Database, start: Start) -> None:
    """The row of the latest run is the only one that is kept."""
    results: list[Any] = [{"message": "written", "resume": {"mark_s": 7}, "files": []}, OSError("no room")]

    def run(_: Say) -> dict[str, Any]:
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return dict(result)

    first = start(Duty("report", NEVER_NOW, run))
    until(lambda: ran(first, "report"))
    first.stop()
    second = Timetable(database, [Duty("report", "* * * * *", run)], start_delay_seconds=0.0)
    second.start()
    until(lambda: described(second, "report")["last"]["outcome"] == "failed")
    second.stop()
    [row] = [row for row in database.statement_rows("job_states") if row["job"] == "report"]
    assert json.loads(row["result"]) == {"message": "no room", "resume": {"mark_s": 7}}


def test_job_with_nothing_to_do_is_not_written_down(database: Database, start: Start) -> None:
    """Every minute's nothing would fill the store."""
    timetable = start(Duty("classify", "* * * * *", lambda _: None))
    until(lambda: ran(timetable, "classify"))
    assert described(timetable, "classify")["last"]["message"] == "nothing to do"
    assert database.statement_rows("job_states") == []


def test_stop_does_not_wait_for_a_job(start: Start) -> None:
    """Whoever owns its tools ends it."""
    go_on = threading.Event()
    timetable = start(Duty("slow", NEVER_NOW, lambda _: {"message": str(go_on.wait(PATIENCE_SECONDS))}))
    until(lambda: described(timetable, "slow")["is_running"])
    timetable.stop()
    is_running = described(timetable, "slow")["is_running"]
    go_on.set()
    until(lambda: not described(timetable, "slow")["is_running"])
    assert is_running


def test_timetable_without_duties_is_empty(start: Start) -> None:
    """`serve --no-jobs`."""
    duties: Sequence[Duty] = ()
    assert start(*duties).describe() == []
