"""Sends the weekly report by SMTP. A server that hangs, dribbles or refuses costs a minute and one line, never more."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import typer

from acceptfirst_analysis.alerts.notify.certificates import disbelief
from acceptfirst_analysis.report.addresses import addressed
from acceptfirst_cli.errors import CommandError, ExitCode

SEND_SECONDS_MAX: Final = 60.0
PORTS: Final = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
"""Scheme: its usual port. ``smtp`` asks for STARTTLS, ``smtps`` is TLS from the start, ``smtp+plain`` is neither."""

SmtpOption = Annotated[
    str,
    typer.Option(
        envvar="ACCEPTFIRST_SMTP",
        help="Mail server: smtp://user@host:587 (STARTTLS), smtps://… (TLS) or smtp+plain://… (neither).",
    ),
]
SmtpPasswordOption = Annotated[
    Path | None, typer.Option(envvar="ACCEPTFIRST_SMTP_PASSWORD_FILE", help="File with its password.")
]
MailFromOption = Annotated[
    str, typer.Option(envvar="ACCEPTFIRST_MAIL_FROM", help="Address that the report comes from.")
]
MailToOption = Annotated[
    str, typer.Option(envvar="ACCEPTFIRST_MAIL_TO", help="Addresses that it goes to, commas between them.")
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """A mail server, and who writes to whom.

    Attributes:
        scheme: how the connection is protected, see ``PORTS``.
        host: of the server.
        port: of the server.
        user: empty for none.
        password: of the user.
        sender: address.
        recipients: addresses.
        timeout_s: for all of it, from the look-up of the name to the server's goodbye.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    sender: str
    recipients: tuple[str, ...]
    timeout_s: float = SEND_SECONDS_MAX


def optional_mail_settings(
    server: str, password_file: Path | None, sender: str, recipients: str
) -> MailSettings | None:
    """The same for who need not send: ``None`` where no server is named."""
    return mail_settings(server, password_file, sender, recipients) if server else None


def mail_settings(server: str, password_file: Path | None, sender: str, recipients: str) -> MailSettings:
    """Settings from what the options say.

    Raises:
        CommandError: a usage error, naming what is missing or wrong; a password is never repeated.
    """
    given = {"--smtp": server, "--mail-from": sender, "--mail-to": recipients}
    if missing := [option for option, value in given.items() if not value]:
        raise CommandError(f"expected {', '.join(missing)} to send a report, but it is missing", ExitCode.USAGE)
    try:
        parts = urlsplit(server)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/"):
        raise CommandError(
            f"expected --smtp to be such as smtp://user@host:587, with one of {', '.join(PORTS)}", ExitCode.USAGE
        )
    if parts.password:
        raise CommandError(
            "expected no password in --smtp; give --smtp-password-file, which others can't see", ExitCode.USAGE
        )
    return MailSettings(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port,
        user=unquote(parts.username or ""),
        password=_password(password_file),
        sender=sender.strip(),
        recipients=addresses(recipients),
    )


def addresses(text: str) -> tuple[str, ...]:
    """Addresses with commas between them."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the password file {path} can't be read: {error}", ExitCode.USAGE) from error


def send(message: EmailMessage, settings: MailSettings) -> None:
    """Hand a message to the server.

    Raises:
        CommandError: the server can't be reached, does not answer in time or refuses; says what it said.
    """
    place = f"the mail server {settings.host}:{settings.port}"
    try:
        asyncio.run(_send(message, settings))
    except (TimeoutError, aiosmtplib.SMTPTimeoutError) as error:
        raise CommandError(f"{place} took no mail within {settings.timeout_s:g} s", ExitCode.UNREACHABLE) from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = "; ".join(f"{each.recipient}: {each.code} {each.message}" for each in error.recipients)
        raise CommandError(f"{place} refused every recipient: {refused}"[:500], ExitCode.FAILURE) from error
    except aiosmtplib.SMTPResponseException as error:
        raise CommandError(f"{place} answered {error.code}: {error.message}"[:500], ExitCode.FAILURE) from error
    except (OSError, aiosmtplib.SMTPException) as error:
        raise CommandError(f"{place} can't be used: {disbelief(error) or error}"[:500], ExitCode.UNREACHABLE) from error


def send_report(text: str, settings: MailSettings) -> str:
    """Address a mail that the analysis made, send it, and give it as it went.

    Raises:
        CommandError: it can't be addressed or sent.
    """
    message = address(text, settings.sender, settings.recipients)
    send(message, settings)
    return str(message.as_string())


def address(text: str, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """A mail that the analysis made, with its addresses.

    Raises:
        CommandError: a usage error, naming the address that is none.
    """
    try:
        return addressed(text, sender, recipients)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


async def _send(message: EmailMessage, settings: MailSettings) -> None:
    async with asyncio.timeout(settings.timeout_s):
        await aiosmtplib.send(
            message,
            sender=settings.sender,
            recipients=list(settings.recipients),
            hostname=settings.host,
            port=settings.port,
            username=settings.user or None,
            password=settings.password or None,
            use_tls=settings.scheme == "smtps",
            start_tls=settings.scheme == "smtp",
            timeout=settings.timeout_s,
        )
