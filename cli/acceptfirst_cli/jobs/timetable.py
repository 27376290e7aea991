"""Runs jobs at their times: one after the other in each lane, and once for whatever was missed.

When a job last succeeded is kept in the store, so a process that was away for a weekend makes up for it with one run a
job. A job that failed is tried again after ``RETRY_SECONDS`` without waiting for its next time.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreError
from acceptfirst_store.results import to_json

TABLE: Final = "job_runs"
RETRY_SECONDS: Final = 300.0
RESUME: Final = "resume"
"""What of a duty's result is kept, too, when a later run fails: where the next one goes on."""

START_DELAY_SECONDS: Final = 20.0
"""The first seconds belong to the requests that piled up; a process that ends at once does no job at all."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Say = Callable[[str], None]
Result = Mapping[str, Any]

logger = logging.getLogger(__name__)
# It logs each run of each job, every minute; what came of a run is in the API.
logging.getLogger("apscheduler").setLevel(logging.WARNING)


@dataclasses.dataclass(frozen=True, slots=True)
class Duty:
    """A job and its times.

    Attributes:
        name: what it is called in the API and in the store.
        cron: minutes, hours, days, months and days of the week, in UTC.
        run: does it; says how far it is by what it is given. Gives what came of it (``message``, and whatever else is
            worth keeping), or ``None`` where there was nothing to do, which is not written down.
        lane: duties of one lane wait for each other; a lane of its own is for what can't wait behind a report.
    """

    name: str
    cron: str
    run: Callable[[Say], Result | None]
    lane: str = "default"


@dataclasses.dataclass(slots=True)
class _Known:
    """What is known of a duty's latest run."""

    started_at: datetime | None = None
    ended_at: datetime | None = None
    succeeded_at: datetime | None = None
    outcome: str = "never"
    message: str = ""
    result: Result = dataclasses.field(default_factory=dict)
    is_running: bool = False
    progress: str = ""


class Timetable:
    """The duties of one process, from ``start`` to ``stop``.

    Args:
        database: keeps the latest run of each.
        duties: run in one thread, in the order in which they become due.
        start_delay_seconds: how long after the start the first of them may run.
    """

    def __init__(
        self, database: Database, duties: Sequence[Duty], *, start_delay_seconds: float = START_DELAY_SECONDS
    ) -> None:
        self._database = database
        self._duties = {duty.name: duty for duty in duties}
        self._known = {duty.name: _Known() for duty in duties}
        self._delay = timedelta(seconds=start_delay_seconds)
        self._guard = threading.Lock()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            daemon=True,
            executors={"default": ThreadPoolExecutor(1), **{duty.lane: ThreadPoolExecutor(1) for duty in duties}},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin; what was missed while nobody was there is due after the delay. Without duties nothing begins."""
        if not self._duties:
            return
        self._remember_past()
        now = datetime.now(UTC)
        for duty in self._duties.values():
            trigger = CronTrigger.from_crontab(duty.cron, timezone=UTC)
            first_run = self._first_run(duty, trigger, now)
            self._scheduler.add_job(
                self._run, trigger, args=(duty,), id=duty.name, next_run_time=first_run, executor=duty.lane
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Begin nothing more. A run under way is not waited for: whoever owns its tools ends it."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def describe(self) -> list[dict[str, Any]]:
        """Each job as JSON can hold it: its times, whether it runs and how far it is, and its latest run."""
        with self._guard:
            known = {name: dataclasses.replace(one) for name, one in self._known.items()}
        return [self._described(duty, known[duty.name]) for duty in self._duties.values()]

    def _described(self, duty: Duty, known: _Known) -> dict[str, Any]:
        planned = self._scheduler.get_job(duty.name) if self._scheduler.running else None
        last = {
            "started_at": known.started_at,
            "ended_at": known.ended_at,
            "succeeded_at": known.succeeded_at,
            "outcome": known.outcome,
            "message": known.message,
            "result": dict(known.result),
        }
        return {
            "job": duty.name,
            "schedule": duty.cron,
            "next_run_at": to_json(planned.next_run_time) if planned is not None else None,
            "is_running": known.is_running,
            "progress": known.progress,
            "last": {key: to_json(value) for key, value in last.items()},
        }

    def _first_run(self, duty: Duty, trigger: Any, now: datetime) -> datetime:
        succeeded_at = self._known[duty.name].succeeded_at
        due = trigger.get_next_fire_time(None, succeeded_at) if succeeded_at is not None else now
        return max(due, now + self._delay)

    def _remember_past(self) -> None:
        try:
            rows = self._database.statement_rows("job_states")
        except StoreError as error:
            logger.warning("what the jobs did before is not known: %s", error)
            return
        with self._guard:
            for row in rows:
                if row["job"] in self._known:
                    self._known[row["job"]] = _known_of(row)

    def _run(self, duty: Duty) -> None:
        started_at = datetime.now(UTC)
        self._note(duty.name, is_running=True, progress="")
        try:
            result = duty.run(lambda text: self._note(duty.name, progress=text))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next time comes, and people see what happened
            log = logger.warning if isinstance(error, StoreError | RefusedError) else logger.exception
            log("the job %s failed: %s", duty.name, error)
            self._try_again(duty)
            self._end(duty, started_at, "failed", self._failure(duty, error), is_kept=True)
        else:
            self._end(duty, started_at, "ok", result or {"message": "nothing to do"}, is_kept=result is not None)

    def _failure(self, duty: Duty, error: Exception) -> Result:
        before = self._known[duty.name].result
        return {"message": f"{error}", **({RESUME: before[RESUME]} if RESUME in before else {})}

    def _end(self, duty: Duty, started_at: datetime, outcome: str, result: Result, *, is_kept: bool) -> None:
        known = self._known[duty.name]
        ended = _Known(
            started_at=started_at,
            ended_at=datetime.now(UTC),
            succeeded_at=started_at if outcome == "ok" else known.succeeded_at,
            outcome=outcome,
            message=str(result.get("message", "")),
            result=result,
        )
        if is_kept:
            try:
                self._database.insert_rows(TABLE, [_row(duty.name, ended)])
            except StoreError as error:
                logger.warning("what the job %s did can't be kept: %s", duty.name, error)
        with self._guard:
            self._known[duty.name] = ended

    def _try_again(self, duty: Duty) -> None:
        planned = self._scheduler.get_job(duty.name) if self._scheduler.running else None
        again_at = datetime.now(UTC) + timedelta(seconds=RETRY_SECONDS)
        if planned is not None and (planned.next_run_time is None or planned.next_run_time > again_at):
            self._scheduler.modify_job(duty.name, next_run_time=again_at)

    def _note(self, name: str, **values: Any) -> None:
        with self._guard:
            self._known[name] = dataclasses.replace(self._known[name], **values)


def _known_of(row: Mapping[str, Any]) -> _Known:
    succeeded_at = row["succeeded_at"] if row["succeeded_at"] > EPOCH else None
    try:
        result = json.loads(row["result"])
    except ValueError:
        result = {}
    return _Known(row["started_at"], row["ended_at"], succeeded_at, row["outcome"], row["message"], result)


def _row(name: str, known: _Known) -> dict[str, Any]:
    return {
        "job": name,
        "started_at": known.started_at,
        "ended_at": known.ended_at,
        "succeeded_at": known.succeeded_at or EPOCH,
        "outcome": known.outcome,
        "message": known.message,
        "result": json.dumps(dict(known.result)),
    }
