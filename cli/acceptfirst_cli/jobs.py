"""Adds the analysis to a running collector: jobs, recommendations and the weekly report over HTTP.

Classifying is SQL and runs here, on clients of its own. What needs the statistics runs in a worker that reads through
this same API, so that the collector's process stays small. One job at a time: they are for people and for a nightly
timer, and a second one would only make both slow.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, FastAPI, Query
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from acceptfirst_analysis.classify import classify
from acceptfirst_analysis.memory import remember
from acceptfirst_analysis.recommendation import Recommendation, Settings
from acceptfirst_analysis.window import parse_instant, window_between
from acceptfirst_cli.catalogues import usable_catalogue
from acceptfirst_cli.errors import ExitCode
from acceptfirst_cli.kept_reports import ReportShelf
from acceptfirst_cli.page.documents import report_file
from acceptfirst_cli.page.mount import mount_page
from acceptfirst_cli.question import FORMATS, Question, QuestionError
from acceptfirst_collector.api import Filters
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.services import Services
from acceptfirst_store.results import to_json

SCHEMA_VERSION: Final = 1
WORKER_SECONDS_MAX: Final = 120
BUSY_RETRY_SECONDS: Final = 2
MEDIA_TYPES: Final = {"html": "text/html", "md": "text/markdown", "json": "application/json", "email": "message/rfc822"}

_JSON_COLUMNS: Final = ("cost", "from_values", "to_values", "evidence")

logger = logging.getLogger(__name__)


class WeeklyReport(BaseModel):
    """Which report: a week, an environment (empty: all), and as what."""

    week: str = Field("", max_length=16)
    environment: str = Field("", max_length=256)
    format: str = Field("json", max_length=16)


Asked = Annotated[dict[str, Any] | None, Body()]


class Jobs:
    """Runs one job at a time for a collector.

    Args:
        services: the collector's; its URL is known once it listens.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._catalogue = usable_catalogue()  # a mistake in a pattern file is told when serve starts
        self._running = threading.Lock()
        self.shelf = ReportShelf(services.settings.data_dir)

    def classify(self, question: Question) -> dict[str, Any]:
        """Classify what is stored, and say what was found."""
        with self._alone():
            database = self._services.database.sibling()
            try:
                window = question.window(datetime.now(UTC))
                return classify(database, self._catalogue, window, question.environment).to_json()
            finally:
                database.close()

    def recommend(self, question: Question) -> dict[str, Any]:
        """Recommend, and write the recommendations down."""
        with self._alone():
            document = self._work("recommend", question)
            now = datetime.now(UTC)
            bounds = (parse_instant(document["window"][key], now=now) for key in ("since", "until"))
            rows = [Recommendation.from_row(row) for row in document["recommendations"]]
            remember(self._services.database, rows, window_between(*bounds, now=now), now=now)
            return document

    def report(self, question: Question) -> dict[str, Any]:
        """Make the report, and keep it where it is one of a complete week."""
        with self._alone():
            answer = self._work("report", question)
            documents = answer.pop("documents", None)
            if documents and question.settings == Settings():  # the kept one answers the usual question
                self._keep(answer["week"], question.environment, documents)
            return answer

    def _keep(self, week: str, environment: str, documents: Mapping[str, str]) -> None:
        try:
            self.shelf.keep(week, environment, documents)
        except OSError as error:  # a full disk must not take away the report that was asked for
            logger.warning("the report of %s can't be kept: %s", week, error)

    @contextmanager
    def _alone(self) -> Any:
        if not self._running.acquire(blocking=False):
            raise RefusedError(503, "another job is running; ask again when it is done", BUSY_RETRY_SECONDS)
        try:
            yield
        except QuestionError as error:
            raise RefusedError(400, str(error)) from error
        finally:
            self._running.release()

    def _work(self, job: str, question: Question) -> dict[str, Any]:
        services = self._services
        # The token goes through a pipe: arguments and variables can be read by others on the machine.
        request = {"url": services.url, "token": services.settings.token, "question": question.to_json()}
        try:
            done = subprocess.run(  # noqa: S603 - our own module, and nothing from the request in its arguments
                [sys.executable, "-m", "acceptfirst_cli.worker", job],
                input=json.dumps(request),
                capture_output=True,
                text=True,
                timeout=WORKER_SECONDS_MAX,
                check=True,
            )
            answer: dict[str, Any] = json.loads(done.stdout)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["no message"])[-1]
            raise RefusedError(503, f"the job {job} failed: {last}", BUSY_RETRY_SECONDS) from error
        except (subprocess.TimeoutExpired, ValueError, OSError) as error:
            raise RefusedError(503, f"the job {job} gave no answer: {error}", BUSY_RETRY_SECONDS) from error
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


def extend(app: FastAPI, services: Services) -> None:
    """Add the routes to a collector; see ``acceptfirst_collector.app.create_app``."""
    jobs = Jobs(services)
    app.include_router(job_routes(jobs))
    app.include_router(result_routes(jobs, services))
    mount_page(app, services, jobs.shelf)


def job_routes(jobs: Jobs) -> APIRouter:
    """``POST /api/v1/jobs/{classify|recommend|report}`` with a question as JSON, or with nothing."""
    router = APIRouter(prefix="/api/v1/jobs")

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

    return router


def result_routes(jobs: Jobs, services: Services) -> APIRouter:
    """``GET /api/v1/recommendations`` and ``GET /api/v1/reports/weekly``."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/recommendations")
    def recommendations(filters: Annotated[Filters, Query()]) -> dict[str, Any]:
        """The latest recommendation of each question."""
        rows = services.database.statement_rows("recommendations_latest", filters.parameters())
        return {"schema_version": SCHEMA_VERSION, "recommendations": [_recommendation(row) for row in rows]}

    @router.get("/reports/weekly")
    def weekly(asked: Annotated[WeeklyReport, Query()]) -> Response:
        """Without a week the kept reports, with the newest one's document; with one, the file: kept, else made now."""
        if not asked.week:
            return JSONResponse(_kept_reports(jobs.shelf, asked.environment))
        question = _question({"week": asked.week, "environment": asked.environment, "format": asked.format})
        name = f"{question.week.strip()}.{question.environment}" if question.environment else question.week.strip()
        text = jobs.shelf.read(name, question.format)
        if text is None:
            text = jobs.report(question)["text"]
        return report_file(text, MEDIA_TYPES[question.format])

    return router


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
