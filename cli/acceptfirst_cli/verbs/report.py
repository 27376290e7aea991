"""``acceptfirst report``: the tuning report as a file."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer

from acceptfirst_cli.asking.source import (
    ConfidenceOption,
    EnvironmentOption,
    JsonOption,
    LambdaOption,
    SinceOption,
    SloOption,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    WeekOption,
    question_of,
    source_of,
)
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.jobs.mail import (
    MailFromOption,
    MailToOption,
    SmtpOption,
    SmtpPasswordOption,
    address,
    addresses,
    mail_settings,
    send_report,
)
from acceptfirst_cli.terminal.tables import say


class Format(enum.StrEnum):
    """What the report is written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"
    EMAIL = "email"


def run(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    form: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.HTML,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - for standard output.")] = "-",
    slo: SloOption = 0.001,
    confidence: ConfidenceOption = 0.95,
    lambda_ms: LambdaOption = 5000.0,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
    is_sent: Annotated[
        bool, typer.Option("--send", help="Send it by e-mail, besides writing it with --output.")
    ] = False,
    smtp: SmtpOption = "",
    smtp_password_file: SmtpPasswordOption = None,
    mail_from: MailFromOption = "",
    mail_to: MailToOption = "",
) -> None:
    """Write the tuning report: what to change, what was found, and on what evidence."""
    # Checked before anything is made: a report takes a while, and a missing address none.
    settings = mail_settings(smtp, smtp_password_file, mail_from, mail_to) if is_sent else None
    form = Format.EMAIL if is_sent else Format.JSON if as_json else form
    question = question_of(
        environment=environment,
        since=since,
        until=until,
        week=week,
        format=form,
        slo=slo,
        confidence=confidence,
        lambda_ms=lambda_ms,
    )
    text = source_of(store, url, token_file).report(question)["text"]
    if settings is not None:
        text = send_report(text, settings)
        say(f"sent to {', '.join(settings.recipients)}")
    elif form is Format.EMAIL and mail_from and mail_to:
        text = str(address(text, mail_from.strip(), addresses(mail_to)).as_string())
    if settings is None or output != "-":
        write_text(output, text)


def write_text(output: str, text: str) -> None:
    """Write to a file whose directory is made if need be, or to standard output for ``-``.

    Raises:
        CommandError: when the file can't be written.
    """
    if output == "-":
        sys.stdout.write(text)
        return
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}", ExitCode.FAILURE) from error
    say(f"written to {path}")
