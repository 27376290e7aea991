"""Adds the analysis to a running collector: jobs, recommendations and the weekly report over HTTP.

Classifying is SQL and runs here, on clients of its own. What needs the statistics runs in a worker that reads through
this same API, so that the collector's process stays small. One job at a time: they are for people and for the
timetable, and a second one would only make both slow.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, FastAPI, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.tuning.memory import remember
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.window import parse_instant, window_between
from acceptfirst_cli.asking.catalogues import usable_catalogue
from acceptfirst_cli.asking.question import FORMATS, Question, QuestionError
from acceptfirst_cli.errors import ExitCode
from acceptfirst_cli.jobs.alerting import AlertJob, alert_duty, alert_file_of, alert_routes
from acceptfirst_cli.jobs.duties import DutySettings, duties_of
from acceptfirst_cli.jobs.hosts import CollectorHost, JobHost
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.jobs.loop_steps import carry_out
from acceptfirst_cli.jobs.timetable import START_DELAY_SECONDS, Timetable
from acceptfirst_cli.jobs.worker_process import WorkerFailedError, WorkerProcess
from acceptfirst_cli.page.documents import report_file
from acceptfirst_cli.page.mount import mount_page
from acceptfirst_collector.api import ListPage
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.paging import page_of
from acceptfirst_collector.services import Services
from acceptfirst_store.results import to_json

SCHEMA_VERSION: Final = 1
BUSY_SECONDS_MAX: Final = 20.0
BUSY_RETRY_SECONDS: Final = 2
MEDIA_TYPES: Final = {
    "html": "text/html",
    "md": "text/markdown",
    "json": "application/json",
    "email": "message/rfc822",
}

_JSON_COLUMNS: Final = ("cost", "from_values", "to_values", "evidence")

logger = logging.getLogger(__name__)


class WeeklyReport(BaseModel):
    """Which report: a week, an environment (empty: all), and as what."""

    week: str = Field("", max_length=16)
    environment: str = Field("", max_length=256)
    format: str = Field("json", max_length=16)


Asked = Annotated[dict[str, Any] | None, Body()]


class Jobs:
    """Runs one job at a time.

    Args:
        host: the collector, or the store that the jobs are for.
    """

    def __init__(self, host: JobHost) -> None:
        self._host = host
        self._worker = WorkerProcess()
        self._catalogue = usable_catalogue()  # a mistake in a pattern file is told when serve starts
        self._running = threading.Lock()
        self.shelf = ReportShelf(host.reports)

    def classify(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Classify what is stored, and say what was found.

        Args:
            question: which handshakes.
            wait: whether to wait for a job that is running, however long; else for ``BUSY_SECONDS_MAX``. So in the
                others.
        """
        with self._alone("classify", wait=wait):
            database = self._host.database.sibling()
            try:
                window = question.window(datetime.now(UTC))
                return classify(database, self._catalogue, window, question.environment).to_json()
            finally:
                database.close()

    def recommend(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Recommend, and write the recommendations down."""
        with self._alone("recommend", wait=wait):
            document = self._work("recommend", question)
            now = datetime.now(UTC)
            bounds = (parse_instant(document["window"][key], now=now) for key in ("since", "until"))
            rows = [Recommendation.from_row(row) for row in document["recommendations"]]
            remember(self._host.database, rows, window_between(*bounds, now=now), now=now)
            return document

    def report(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Make the report, and keep it where it is the usual one of a complete week."""
        with self._alone("report", wait=wait):
            answer = self._work("report", question)
            documents = answer.pop("documents", None)
            if documents and question.settings == Settings():
                self._keep(answer["week"], question.environment, documents)
            return answer

    def ask(self, job: str, question: Question) -> dict[str, Any]:
        """Have the worker answer what needs the statistics and writes nothing: ``verify``, ``drift``, ``value``."""
        with self._alone(job):
            return self._work(job, question)

    def tune(self, options: Mapping[str, Any]) -> list[dict[str, str]]:
        """Find out what is next with each environment's policy, and do it; see ``acceptfirst_analysis.loop.look``.

        Args:
            options: ``is_automatic`` and ``share``.

        Returns:
            For each environment ``environment``, ``stage``, ``message``, and ``done`` where anything was.
        """
        with self._alone("tune", wait=True):
            document = self._work("tune", Question(), options)
            return [carry_out(self._host.policies, outlook) for outlook in document["outlooks"]]

    def close(self) -> None:
        """End the worker that may be running, and start none after it."""
        self._worker.close()

    def _keep(self, week: str, environment: str, documents: Mapping[str, str]) -> None:
        try:
            self.shelf.keep(week, environment, documents)
        except OSError as error:  # a full disk must not take away the report that was asked for
            logger.warning("the report of %s can't be kept: %s", week, error)

    @contextmanager
    def _alone(self, job: str, *, wait: bool = False) -> Any:
        if not self._running.acquire(timeout=-1 if wait else BUSY_SECONDS_MAX):
            raise RefusedError(503, "another job is running; ask again when it is done", BUSY_RETRY_SECONDS)
        try:
            with self._host.history.running(job):
                yield
        except QuestionError as error:
            raise RefusedError(400, str(error)) from error
        finally:
            self._running.release()

    def _work(self, job: str, question: Question, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        request = {**self._host.worker_request(), "question": question.to_json(), "options": dict(options or {})}
        try:
            answer = self._worker.ask(job, request)
        except WorkerFailedError as error:
            raise RefusedError(503, str(error), BUSY_RETRY_SECONDS) from error
        if "error" in answer:
            raise _refusal(answer)
        return answer


def _refusal(answer: Mapping[str, Any]) -> RefusedError:
    code, message = answer["exit_code"], str(answer["error"])
    if code == ExitCode.USAGE:
        return RefusedError(400, message)
    if code == ExitCode.NOT_ENOUGH_DATA:
        return RefusedError(409, message)  # not 404: the answer exists, the handshakes for it don't yet
    return RefusedError(503, message, BUSY_RETRY_SECONDS)


class Extension:
    """Adds the jobs to a collector: their routes, and their timetable for as long as the application runs.

    Args:
        settings: of the timetable; ``None`` for none.
        configuration: the file that may set alert rules otherwise.
        start_delay_seconds: see ``Timetable``.
    """

    def __init__(
        self,
        settings: DutySettings | None,
        *,
        configuration: Path | None = None,
        start_delay_seconds: float = START_DELAY_SECONDS,
    ) -> None:
        self._settings = settings
        self._configuration = configuration
        self._start_delay_seconds = start_delay_seconds

    def __call__(self, app: FastAPI, services: Services) -> None:
        """See ``acceptfirst_collector.app.create_app``."""
        host = CollectorHost(services)
        jobs = Jobs(host)
        told = alert_file_of(services.settings.alerts_file, services.settings.data_dir, self._configuration)
        alerts = AlertJob(host.database, told)
        duties = [*duties_of(jobs, host, self._settings), alert_duty(alerts)] if self._settings else ()
        timetable = Timetable(host.database, duties, start_delay_seconds=self._start_delay_seconds)
        app.include_router(job_routes(jobs, timetable))
        app.include_router(result_routes(jobs, services))
        app.include_router(alert_routes(alerts, services.database))
        mount_page(app, services, jobs.shelf, alerts=alerts.active)
        _run_beside(app, jobs, timetable)


def _run_beside(app: FastAPI, jobs: Jobs, timetable: Timetable) -> None:
    """Within the collector's own life: begun when it is up, ended before it goes down."""
    collectors_own = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[Any]:
        async with collectors_own(application) as state:
            timetable.start()
            try:
                yield state
            finally:
                timetable.stop()
                jobs.close()

    app.router.lifespan_context = lifespan


def job_routes(jobs: Jobs, timetable: Timetable) -> APIRouter:
    """``GET /api/v1/jobs``, and ``POST /api/v1/jobs/{name}`` with a question as JSON, or with nothing."""
    router = APIRouter(prefix="/api/v1/jobs")

    @router.get("")
    def timetable_job() -> dict[str, Any]:
        """Every job of the timetable: when it runs, whether it does now, and what came of it last."""
        return {"schema_version": SCHEMA_VERSION, "jobs": timetable.describe()}

    @router.post("/classify")
    def classify_job(asked: Asked = None) -> dict[str, Any]:
        """Name the races in what is stored."""
        return jobs.classify(_question(asked))

    @router.post("/recommend")
    def recommend_job(asked: Asked = None) -> dict[str, Any]:
        """Say what to change."""
        return jobs.recommend(_question(asked))

    @router.post("/report")
    def report_job(asked: Asked = None) -> dict[str, Any]:
        """Make the report."""
        return jobs.report(_question(asked))

    @router.post("/verify")
    def verify_job(asked: Asked = None) -> dict[str, Any]:
        """Say whether the last change worked."""
        return jobs.ask("verify", _question(asked))

    @router.post("/drift")
    def drift_job(asked: Asked = None) -> dict[str, Any]:
        """Say what drifts from week to week, and what the latest deploys did."""
        return jobs.ask("drift", _question(asked))

    @router.post("/value")
    def value_job(asked: Asked = None) -> dict[str, Any]:
        """Say what the handshakes meant for users."""
        return jobs.ask("value", _question(asked))

    return router


def result_routes(jobs: Jobs, services: Services) -> APIRouter:
    """``GET /api/v1/recommendations`` and ``GET /api/v1/reports/weekly``."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/recommendations")
    def recommendations(page: Annotated[ListPage, Query()]) -> dict[str, Any]:
        """The latest recommendation of each question."""
        rows = services.database.statement_rows("recommendations_latest", page.parameters())
        shown, next_cursor = page_of(rows, _recommendation_key, page.limit, page.cursor)
        found = [_recommendation(row) for row in shown]
        return {"schema_version": SCHEMA_VERSION, "recommendations": found, "next_cursor": next_cursor}

    @router.get("/reports/weekly")
    def weekly(asked: Annotated[WeeklyReport, Query()]) -> Response:
        """Without a week the kept reports, with the newest one's document; with one, the file: kept, else made now."""
        if not asked.week:
            return JSONResponse(_kept_reports(jobs.shelf, _question({"environment": asked.environment}).environment))
        question = _question({"week": asked.week, "environment": asked.environment, "format": asked.format})
        name = f"{question.week.strip()}.{question.environment}" if question.environment else question.week.strip()
        text = jobs.shelf.read(name, question.format)
        if text is None:
            text = jobs.report(question)["text"]
        return report_file(text, MEDIA_TYPES[question.format])

    return router


def _recommendation_key(row: Mapping[str, Any]) -> list[Any]:
    """As the statement sorts: what is to be done in the code comes behind what a policy can do."""
    return [*(str(row[key]) for key in ("environment", "service", "route")), row["verdict"] == "code_fix"]


def _kept_reports(shelf: ReportShelf, environment: str) -> dict[str, Any]:
    reports = [report for report in shelf.reports() if environment in ("", report.environment)]
    newest = shelf.read(reports[0].name, "json") if reports else None
    return {
        "schema_version": SCHEMA_VERSION,
        "reports": [{**report.to_json(), "url": f"/reports/{report.name}.html"} for report in reports],
        "newest": None if newest is None else json.loads(newest),
    }


def _recommendation(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: to_json(value) for key, value in row.items()}
    return {**values, **{key: json.loads(values[key] or "{}") for key in _JSON_COLUMNS}}


def _question(asked: Mapping[str, Any] | None) -> Question:
    try:
        return Question.read(asked or {})
    except QuestionError as error:
        raise RefusedError(400, str(error)) from error


if set(MEDIA_TYPES) != set(FORMATS):  # pragma: no cover - a slip of ours, found when the module is loaded
    raise RuntimeError("every format of a report needs its media type")
