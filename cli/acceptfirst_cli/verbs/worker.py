"""``acceptfirst worker``: the jobs of ``serve``, beside a ClickHouse server that several collectors share."""

from __future__ import annotations

import importlib
import logging
import pathlib
import signal
import threading
from typing import Annotated, Final

import typer

from acceptfirst_cli.configuration import file_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.jobs.mail import (
    MailFromOption,
    MailToOption,
    SmtpOption,
    SmtpPasswordOption,
    optional_mail_settings,
)

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(
    context: typer.Context,
    *,
    store: Annotated[
        str, typer.Option(envvar="ACCEPTFIRST_STORE", help="The server: clickhouse://user:password@host:8123.")
    ] = "",
    data_dir: Annotated[
        pathlib.Path, typer.Option(envvar="ACCEPTFIRST_DATA_DIR", help="Holds the weekly reports.")
    ] = pathlib.Path(".acceptfirst"),
    alerts_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            envvar="ACCEPTFIRST_ALERTS_FILE", help="Who is told of alerts; else alerts.toml in the data directory."
        ),
    ] = None,
    automatic: Annotated[
        bool,
        typer.Option(
            "--automatic",
            envvar="ACCEPTFIRST_AUTOMATIC",
            help="Try proposals and promote good canaries without asking.",
        ),
    ] = False,
    canary_share: Annotated[
        float,
        typer.Option(
            envvar="ACCEPTFIRST_CANARY_SHARE", min=0.001, max=0.5, help="Of the connections that a canary is tried on."
        ),
    ] = 0.1,
    smtp: SmtpOption = "",
    smtp_password_file: SmtpPasswordOption = None,
    mail_from: MailFromOption = "",
    mail_to: MailToOption = "",
) -> None:
    """Run the jobs beside a ClickHouse server: classify, recommend, watch canaries, report, raise alerts.

    One worker a store; start the collectors with --no-jobs. An embedded store has its jobs in its own serve.
    """
    if not store.startswith("clickhouse"):
        raise CommandError(
            "expected --store clickhouse://…, since an embedded store is held by its serve, which runs the jobs; "
            f"got {store.partition('://')[0]!r}",
            ExitCode.USAGE,
        )
    mail = optional_mail_settings(smtp, smtp_password_file, mail_from, mail_to)
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    hosts = importlib.import_module("acceptfirst_cli.jobs.hosts")
    jobs_module = importlib.import_module("acceptfirst_cli.jobs.routes")
    duties = importlib.import_module("acceptfirst_cli.jobs.duties")
    timetables = importlib.import_module("acceptfirst_cli.jobs.timetable")
    with importlib.import_module("acceptfirst_store.database").open_database(store) as database:
        importlib.import_module("acceptfirst_store.migrations").migrate(database)
        host = hosts.StoreHost(store, database, data_dir.absolute())
        jobs = jobs_module.Jobs(host)
        settings = duties.DutySettings(automatic, canary_share, mail)
        alert_job = importlib.import_module("acceptfirst_cli.jobs.alerting")
        told = alert_job.alert_file_of(alerts_file, data_dir.absolute(), file_of(context).path)
        alerts = alert_job.AlertJob(database, told)
        timetable = timetables.Timetable(
            database, [*duties.duties_of(jobs, host, settings), alert_job.alert_duty(alerts)]
        )
        timetable.start()
        try:
            _until_told()
        finally:
            timetable.stop()
            jobs.close()


def _until_told() -> None:
    """Sleep until a signal ends it; SIGTERM is an orderly end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
