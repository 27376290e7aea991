"""What each duty asks for, and when it finds nothing to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_analysis.window import BEGINNING, week_before
from acceptfirst_cli.asking.question import Question
from acceptfirst_cli.jobs import duties
from acceptfirst_cli.jobs.duties import DutySettings, duties_of
from acceptfirst_cli.jobs.hosts import StoreHost
from acceptfirst_cli.jobs.timetable import Duty
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate


class Asked:
    """Remembers what the jobs are asked for."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.touched: list[datetime | None] = []
        self.classifier = "3.abc"

    def classify(
        self,
        question: Question,
        *,
        touched_since: datetime | None = None,
        wait: bool = False,  # noqa: ARG002 - as it is called
    ) -> dict[str, Any]:
        """Find nothing."""
        self.questions.append(question)
        self.touched.append(touched_since)
        return {"occurrences": 0, "connections": 0, "patterns": {}}

    def recommend(self, question: Question, *, wait: bool = False) -> dict[str, Any]:  # noqa: ARG002 - as it is called
        """Recommend one thing."""
        self.questions.append(question)
        return {"recommendations": [{"verdict": "gate"}, {"verdict": "gate"}, {"verdict": "keep"}]}

    def report(self, question: Question, *, wait: bool = False) -> dict[str, Any]:  # noqa: ARG002 - as it is called
        """Write what was asked."""
        self.questions.append(question)
        return {"text": question.format}

    def tune(self, options: Mapping[str, Any]) -> list[dict[str, str]]:  # noqa: ARG002 - as it is called
        """Take a step in production."""
        self.questions.append(Question())
        return [{"environment": "production", "stage": "canary", "message": "it harms", "done": "rollback"}]


class Host(StoreHost):
    """A store into which so much was written."""

    stored: int | None = 1

    def stored_through(self) -> int | None:
        """What the test says."""
        return self.stored


@pytest.fixture(scope="module")
def module_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One embedded store a module."""
    with open_database(f"chdb://{tmp_path_factory.mktemp('duties')}/db") as database:
        migrate(database)
        yield database


@pytest.fixture
def host(module_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """An empty store, on a machine that is never so slow that a job has to rest."""
    monkeypatch.setattr(duties, "SHORT_SECONDS", 600.0)
    for table in ("handshakes", "job_runs"):
        module_database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    return Host("", module_database, tmp_path)


@pytest.fixture
def asked() -> Asked:
    """The jobs."""
    return Asked()


def duty(asked: Asked, host: Host, name: str) -> Duty:
    """The duty of that name."""
    return next(one for one in duties_of(asked, host, DutySettings()) if one.name == name)


def say(_: str) -> None:
    """Nobody listens."""


def came_in(host: Host, at: datetime) -> None:
    """One handshake at a time."""
    row = {
        "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10),
        "first_seen": at,
        "weight": 1.0,
    }
    host.database.insert_rows("handshakes", [{**row, "last_seen": at, "connected_at": at}])


def test_classify_looks_at_all_once_and_then_at_what_was_touched(asked: Asked, host: Host) -> None:
    """And at nothing where nothing was stored."""
    classify = duty(asked, host, "classify")
    classify.run(say)
    nothing = classify.run(say)
    host.stored = 2
    came_in(host, datetime.now(UTC))
    classify.run(say)
    assert nothing is None
    assert datetime.fromisoformat(asked.questions[0].since) == BEGINNING
    assert asked.touched[0] is None
    assert asked.touched[1] is not None
    assert datetime.now(UTC) - asked.touched[1] < timedelta(minutes=2)


def test_classify_looks_at_old_connections_of_which_a_span_came_late(asked: Asked, host: Host) -> None:
    """From when the connection began, which is long before the span that came."""
    classify = duty(asked, host, "classify")
    began = datetime(2026, 10, 1, tzinfo=UTC)
    came_in(host, began)
    classify.run(say)
    host.stored = 2
    [row] = host.database.rows("SELECT hex(connection_id) AS id FROM acceptfirst.handshakes")
    late = {"connection_id": bytes.fromhex(row["id"]), "weight": 1.0, "first_seen": began + timedelta(days=9)}
    host.database.insert_rows("handshakes", [late])
    classify.run(say)
    assert datetime.fromisoformat(asked.questions[1].since) == began


def test_classify_goes_on_where_it_was_when_the_process_is_new(asked: Asked, host: Host) -> None:
    """With an hour's margin; another catalogue, or a failure that left nothing behind, begins anew."""
    result = duty(asked, host, "classify").run(say)
    assert result is not None
    at = datetime.now(UTC)
    row = {"job": "classify", "started_at": at, "ended_at": at, "succeeded_at": at, "outcome": "ok"}
    host.database.insert_rows("job_runs", [{**row, "result": json.dumps(dict(result))}])
    came_in(host, at)
    duty(asked, host, "classify").run(say)
    asked.classifier = "3.def"
    duty(asked, host, "classify").run(say)
    margin = at - (asked.touched[1] or at)
    assert timedelta(minutes=59) < margin < timedelta(minutes=62)
    assert asked.touched[2] is None


def test_classify_begins_anew_when_the_clock_shows_less_than_when_it_stopped(asked: Asked, host: Host) -> None:
    """Set back while nobody ran: what was stored since then may say any time."""
    at = datetime.now(UTC)
    row = {"job": "classify", "started_at": at, "ended_at": at, "succeeded_at": at, "outcome": "ok"}
    resume = {"mark_s": int(at.timestamp()) + 7200, "classifier": asked.classifier}
    host.database.insert_rows("job_runs", [{**row, "result": json.dumps({"resume": resume})}])
    duty(asked, host, "classify").run(say)
    assert asked.touched == [None]


def test_classify_goes_back_with_the_clock_when_it_is_set_back_between_runs(asked: Asked, host: Host) -> None:
    """What was stored since the last run says a time before it."""
    classify = duty(asked, host, "classify")
    classify.run(say)
    ahead = int(datetime.now(UTC).timestamp()) + 7200
    classify.run._mark_s = ahead  # type: ignore[attr-defined]
    host.stored = 2
    came_in(host, datetime.now(UTC))
    classify.run(say)
    assert asked.touched[1] is not None
    assert asked.touched[1] < datetime.now(UTC)


def test_classify_is_not_run_where_nothing_was_touched(asked: Asked, host: Host) -> None:
    """Something came in, but nothing of a handshake."""
    classify = duty(asked, host, "classify")
    classify.run(say)
    host.stored = 2
    assert classify.run(say) is None
    assert len(asked.questions) == 1


def test_tune_looks_hourly_unless_a_change_is_under_way(asked: Asked, host: Host) -> None:
    """A worker a minute would be a second of CPU a minute for nothing; and what was done is told."""
    tune = duty(asked, host, "tune")
    first, second = tune.run(say), tune.run(say)
    assert first is not None
    assert (first["message"], second, len(asked.questions)) == ("production: rollback", None, 1)


def test_recommend_takes_the_last_whole_week_once(asked: Asked, host: Host) -> None:
    """A week that was recommended from stays as it is."""
    now = datetime.now(UTC)
    week = week_before(now - timedelta(hours=1), now=now)
    came_in(host, week.since + timedelta(days=1))
    recommend = duty(asked, host, "recommend")
    first, second = recommend.run(say), recommend.run(say)
    assert first is not None
    assert (first["week"], first["verdicts"], second) == (week.week, {"gate": 2, "keep": 1}, None)


def test_recommend_takes_the_current_week_until_there_is_a_whole_one(asked: Asked, host: Host) -> None:
    """As provisional, each hour."""
    recommend = duty(asked, host, "recommend")
    nothing = recommend.run(say)
    came_in(host, datetime.now(UTC) - timedelta(seconds=1))
    found = recommend.run(say)
    assert (nothing, asked.questions[0].week) == (None, "")
    assert found is not None
    assert found["message"] == "3 recommendations"


def test_report_is_made_once_a_week(asked: Asked, host: Host) -> None:
    """Of the last whole week, where it holds anything."""
    now = datetime.now(UTC)
    week = week_before(now, now=now)
    report = duty(asked, host, "report")
    nothing = report.run(say)
    came_in(host, week.since + timedelta(days=1))
    found, again = report.run(say), report.run(say)
    assert nothing is None
    assert found is not None
    assert again is not None
    assert ([question.week for question in asked.questions], found["week"]) == ([week.week], week.week)
