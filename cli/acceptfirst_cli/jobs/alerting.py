"""The job that evaluates the alert rules, and the routes that show what it found.

Unlike the other jobs it needs no statistics, so it runs in the collector's process, on clients of its own; and it does
not wait for them, since whoever is on call can't either.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field

from acceptfirst_analysis.alerts.round import SCHEMA_VERSION, run_round
from acceptfirst_analysis.alerts.rules import DIMENSIONS
from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, load_alert_settings
from acceptfirst_analysis.alerts.silences import KeptSilence, SilenceError, lift_silence, set_silence, with_kept
from acceptfirst_analysis.page.model import Alert
from acceptfirst_cli.asking.alert_answers import alerts_document, check_document, silences_document
from acceptfirst_cli.asking.alert_rules import with_rules_of
from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.configuration import read_file
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.jobs.timetable import Duty, Result, Say
from acceptfirst_collector.api import LIMIT_DEFAULT, LIMIT_MAX, Filters
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_store.database import Database
from acceptfirst_store.rollup import refresh_rollup

ALERTS_FILE: Final = "alerts.toml"
BUSY_RETRY_SECONDS: Final = 2

logger = logging.getLogger(__name__)

StateFilter = Literal["", "active", "pending", "firing", "resolved"]


class AlertFile:
    """The operator's settings, read again when the file has changed; what holds is the last that could be used.

    Args:
        path: may not exist; then nobody is told, and all rules are asked.
        configuration: the file with the ``[alerts]`` that sets rules otherwise; ``None`` where there is none.

    Raises:
        AlertSettingsError: it exists and can't be used.
        CommandError: the configuration can't be read.
    """

    def __init__(self, path: Path, configuration: Path | None = None) -> None:
        self._path = path
        self._configuration = configuration
        self._seen = self._stamps()
        self._settings = self._read()

    @property
    def settings(self) -> AlertSettings:
        """What holds now."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._settings = self._read()
            except (AlertSettingsError, CommandError) as error:
                logger.warning("%s; what held before still does", error)
        return self._settings

    def _read(self) -> AlertSettings:
        settings = load_alert_settings(self._path) if self._path.exists() else AlertSettings()
        return with_rules_of(settings, read_file(self._configuration))

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._path, self._configuration) if path is not None)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def alert_file_of(given: Path | None, data_dir: Path, configuration: Path | None = None) -> AlertFile:
    """The file that a process was told of, or the one in its data directory.

    Args:
        given: named by somebody.
        data_dir: of the process.
        configuration: the file with the ``[alerts]`` that sets rules otherwise.

    Raises:
        CommandError: it can't be used; told when the process starts.
    """
    if given is not None and not given.exists():
        raise CommandError(f"the alerts file {given} is not there", ExitCode.USAGE)
    try:
        return AlertFile(given or data_dir / ALERTS_FILE, configuration)
    except AlertSettingsError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


class AlertJob:
    """Evaluates the rules for a store, one round at a time.

    Args:
        database: open; clients of its own are opened beside it for each round.
        file: the operator's settings.
    """

    def __init__(self, database: Database, file: AlertFile) -> None:
        self._parent = database
        self.file = file
        self._running = threading.Lock()

    def run(self) -> dict[str, Any]:
        """Ask the rules, remember, tell; a schedule calls this.

        Raises:
            RefusedError: another round is running.
            StoreError: the store can't be read or written.
        """
        if not self._running.acquire(blocking=False):
            raise RefusedError(503, "the alerts are being evaluated; ask again when that is done", BUSY_RETRY_SECONDS)
        try:
            with self._database() as database:
                now = datetime.now(UTC)
                settings = with_kept(self.file.settings, database, now)
                return run_round(database, settings, now).to_json(settings)
        finally:
            self._running.release()

    def check(self, question: Question) -> dict[str, Any]:
        """Say what would have held in a range; nobody is told.

        Raises:
            QuestionError: the range can't be understood.
            StoreError: the store can't be read.
        """
        with self._database() as database:
            return check_document(database, question, self.file.settings)

    def active(self, environment: str) -> Sequence[Alert]:
        """The alerts that are pending or firing, for the live page; of all environments where none is named.

        Raises:
            StoreError: the store can't be read.
        """
        filters = {"environment": environment, "state": "active"}
        document = alerts_document(self._parent, filters, self.file.settings)
        return [_on_page(alert) for alert in document["alerts"]]

    @contextmanager
    def _database(self) -> Any:
        database = self._parent.sibling()
        try:
            refresh_rollup(database)
            yield database
        finally:
            database.close()


def alert_duty(job: AlertJob) -> Duty:
    """The job, every minute and in a lane of its own: an alert can't wait behind a report."""

    def run(_: Say) -> Result | None:
        answer = job.run()
        firing, refused = answer["counts"]["firing"], [told for told in answer["deliveries"] if told["error"]]
        if not any((*answer["counts"].values(), answer["deliveries"], answer["errors"])):
            return None
        message = f"{firing} firing, {answer['counts']['pending']} pending"
        if refused:
            message += f"; {len(refused)} of {len(answer['deliveries'])} messages not taken"
        return {"message": message, "deliveries": answer["deliveries"], "errors": answer["errors"]}

    return Duty("alerts", "* * * * *", run, lane="alerts")


def _on_page(alert: Mapping[str, Any]) -> Alert:
    return Alert(
        name=alert["rule"],
        title=alert["alertname"],
        severity=alert["severity"],
        state=alert["state"],
        since=datetime.fromisoformat(alert["fired_at"] or alert["active_since"]),
        labels={name: alert[name] for name in DIMENSIONS if alert[name]},
        summary=alert["summary"],
        runbook=alert["runbook"],
        silenced=alert["silenced"] or "",
    )


class AlertPage(Filters):
    """Filters, and which page: `cursor` is the `next_cursor` of the page before."""

    state: StateFilter = ""
    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    cursor: str = Field("", pattern=r"^([0-9]{1,15}-[0-9a-f]{16})?$")


class SilencePage(BaseModel):
    """Which silences."""

    model_config = ConfigDict(extra="forbid")

    all: bool = False


def alert_routes(job: AlertJob, database: Database) -> APIRouter:
    """``GET /api/v1/alerts``, ``/api/v1/silences`` and ``POST /api/v1/jobs/alerts``."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/alerts")
    def alerts(page: Annotated[AlertPage, Query()]) -> dict[str, Any]:
        """Alerts, the latest first: those that are on and those that are over."""
        filters = {**page.parameters(), "state": page.state, "limit": page.limit, "cursor": page.cursor}
        return alerts_document(database, filters, job.file.settings)

    @router.get("/silences")
    def silences(asked: Annotated[SilencePage, Query()]) -> dict[str, Any]:
        """Silences that are on, the latest first; those of the alerts file besides."""
        return silences_document(database, job.file.settings, with_ended=asked.all)

    @router.post("/silences")
    def silence(asked: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        """Silence alerts: labels, ``for`` or ``until``, ``reason``, ``by``."""
        return _kept(lambda now: set_silence(database, asked or {}, now))

    @router.post("/silences/{silence_id}/lift")
    def lift(silence_id: str, asked: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        """End a silence before its time: ``by``, and ``reason`` where there is one."""
        return _kept(lambda now: lift_silence(database, silence_id, asked or {}, now))

    @router.post("/jobs/alerts")
    def alerts_job(asked: Annotated[dict[str, Any] | None, Body()] = None) -> dict[str, Any]:
        """Evaluate now and tell whoever is to be told; with ``{"check": true}`` only look."""
        values = dict(asked or {})
        is_check = values.pop("check", False)
        try:
            question = _question(values, is_check)
            return job.run() if question is None else job.check(question)
        except QuestionError as error:
            raise RefusedError(400, str(error)) from error

    return router


def _kept(step: Callable[[datetime], KeptSilence]) -> dict[str, Any]:
    now = datetime.now(UTC)
    try:
        return {"schema_version": SCHEMA_VERSION, "silence": step(now).to_json(now)}
    except SilenceError as error:
        raise RefusedError(400, str(error)) from error


def _question(values: Mapping[str, Any], is_check: Any) -> Question | None:
    if not isinstance(is_check, bool):
        raise QuestionError(f"expected check to be true or false, but got {is_check!r:.100}")
    if is_check:
        return Question.read(values)
    if values:
        raise QuestionError(f"expected no range for a round, which is about now, but got {', '.join(values)[:200]}")
    return None
