"""The report by mail: what a mail program gets, and a mail server that is there, hangs, dribbles or refuses."""

from __future__ import annotations

import email
import email.policy
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from acceptfirst_cli.errors import CommandError
from acceptfirst_cli.jobs.duties import DutySettings, duties_of
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.jobs.mail import MailSettings, mail_settings, send

Run = Callable[..., Any]
WEEK = ("--week", "2026-W47")
GMAIL_CLIPS_AT = 102_000


@dataclass
class Inbox:
    """What a mail server does with a message: keeps it, or answers as it is told to."""

    answer: str = "250 OK"
    refused: str = ""
    kept: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: ARG002, N802 - the library's names
        """Take or refuse a recipient."""
        if address == self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - the library's names
        """Take or refuse a message."""
        if self.answer.startswith("250"):
            message = email.message_from_bytes(envelope.content, EmailMessage, policy=email.policy.default)
            self.kept.append((list(envelope.rcpt_tos), message))
        return self.answer


@dataclass(frozen=True)
class MailServer:
    """A running one."""

    inbox: Inbox
    port: int

    @property
    def options(self) -> tuple[str, ...]:
        """What the verb is told."""
        addresses = ("--mail-from", "reports@example.com", "--mail-to", "team@example.com, lead@example.com")
        return ("--send", "--smtp", f"smtp+plain://127.0.0.1:{self.port}", *addresses)

    def settings(self, **own: Any) -> MailSettings:
        """What the sender is told."""
        values: dict[str, Any] = {"scheme": "smtp+plain", "host": "127.0.0.1", "port": self.port, "timeout_s": 20.0}
        return MailSettings(**{**values, "sender": "a@example.com", "recipients": ("b@example.com",), **own})


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A real SMTP server on the loopback."""
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    controller = Controller(inbox, hostname="127.0.0.1", port=port)  # it connects to itself, so it must know its port
    controller.start()
    yield MailServer(inbox, port)
    controller.stop()


def part(message: EmailMessage, kind: str) -> EmailMessage:
    """The first part of a kind."""
    return next(each for each in message.walk() if each.get_content_type() == kind and isinstance(each, EmailMessage))


@pytest.fixture(scope="module")
def made(store: str) -> EmailMessage:
    """The mail of a week with a change to make and a bug to fix."""
    from acceptfirst_cli.asking.question import Question  # noqa: PLC0415 - after the store was opened once
    from acceptfirst_cli.asking.source import source_of  # noqa: PLC0415 - the same

    text = source_of(store, "", None).report(Question(week="2026-W47", format="email"))["text"]
    return email.message_from_string(text, EmailMessage, policy=email.policy.default)


def test_mail_says_in_its_subject_what_to_do(made: EmailMessage) -> None:
    """Week, environment, how many changes."""
    assert made["Subject"] == "[AcceptFirst] W47 production: 1 change"


def test_mail_has_text_html_pictures_and_the_report(made: EmailMessage) -> None:
    """Text first, then the HTML with what it shows, then the attachment."""
    kinds = [each.get_content_type() for each in made.walk()]
    assert kinds == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/html",
    ]
    assert [each.get_filename() for each in made.iter_attachments()] == ["acceptfirst-2026-W47.html"]


def test_mail_body_needs_nothing_from_anywhere(made: EmailMessage) -> None:
    """No style sheet, no script, no address; each picture it shows travels along."""
    body = part(made, "text/html").get_content()
    assert "<style" not in body
    assert "<script" not in body
    assert "<svg" not in body
    assert 'style="' in body
    assert re.findall(r"https?://", body) == []
    shown = re.findall(r'src="cid:([^"]+)"', body)
    carried = [str(each["Content-ID"]).strip("<>") for each in made.walk() if each.get_content_type() == "image/png"]
    assert shown == carried
    assert len(shown) == 1


def test_mail_body_is_not_clipped(made: EmailMessage) -> None:
    """Under what the usual programs show whole."""
    assert len(part(made, "text/html").get_content().encode()) < GMAIL_CLIPS_AT


def test_mail_says_the_same_without_html(made: EmailMessage) -> None:
    """What to change, with evidence and the way back."""
    text = part(made, "text/plain").get_content()
    assert "CHANGE 1: gate on readiness, production chat /ws/chat" in text
    assert "evidence: 200 handshakes" in text
    assert "to go back:" in text


def test_mail_pictures_are_small_and_real(made: EmailMessage) -> None:
    """PNG, a few kilobytes, and described for who can't see them."""
    picture = part(made, "image/png").get_content()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 40_000
    assert 'alt="Readiness times of production chat /ws/chat' in part(made, "text/html").get_content()


def test_report_is_sent_when_it_is_asked_for(acceptfirst: Run, store: str, mail_server: MailServer) -> None:
    """Both recipients get it, with an id that is the week's."""
    ended = acceptfirst("report", "--store", store, *WEEK, *mail_server.options)
    assert (ended.code, ended.out) == (0, "")
    ((recipients, message),) = mail_server.inbox.kept
    assert recipients == ["team@example.com", "lead@example.com"]
    assert message["Message-ID"] == "<acceptfirst-2026-W47@example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "mailto:reports@example.com" in message["List-Unsubscribe"]
    assert message["From"] == "AcceptFirst <reports@example.com>"


def test_report_is_also_written_when_it_is_sent(
    acceptfirst: Run, store: str, mail_server: MailServer, tmp_path: Path
) -> None:
    """The same message."""
    acceptfirst("report", "--store", store, *WEEK, *mail_server.options, "--output", "sent.eml")
    ((_, message),) = mail_server.inbox.kept
    written = email.message_from_bytes((tmp_path / "sent.eml").read_bytes(), policy=email.policy.default)
    assert written["Message-ID"] == message["Message-ID"]


def test_mail_without_handshakes_says_so(acceptfirst: Run, store: str, mail_server: MailServer) -> None:
    """A week of nothing is news too."""
    ended = acceptfirst("report", "--store", store, "--week", "2025-W02", *mail_server.options)
    assert ended.code == 0
    ((_, message),) = mail_server.inbox.kept
    assert message["Subject"] == "[AcceptFirst] W02: no handshakes"
    assert "No handshakes were seen" in part(message, "text/plain").get_content()


@pytest.mark.parametrize("answer", ["500 out of order", "552 too large", "451 later"])
def test_sending_fails_with_one_line_when_the_server_refuses(
    acceptfirst: Run, store: str, mail_server: MailServer, answer: str
) -> None:
    """It says what the server said."""
    mail_server.inbox.answer = answer
    ended = acceptfirst("report", "--store", store, *WEEK, *mail_server.options)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert answer.partition(" ")[0] in ended.err


def test_sending_fails_when_nobody_is_a_recipient(mail_server: MailServer) -> None:
    """Naming whom the server refused."""
    mail_server.inbox.refused = "b@example.com"
    with pytest.raises(CommandError, match=r"b@example\.com: 550"):
        send(EmailMessage(), mail_server.settings())


class _Mute:
    """A server that takes connections and then says nothing, or a letter now and then."""

    def __init__(self, says: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._says = says
        self._over = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while not self._over.wait(0.1):
                try:
                    connection.sendall(self._says)
                except OSError:
                    return

    def close(self) -> None:
        """End it, whether anybody came or not."""
        self._over.set()
        with socket.socket() as last:
            last.connect_ex(("127.0.0.1", self.port))
        self._thread.join()
        self._listener.close()


@pytest.mark.parametrize("says", [b"", b"2"])
def test_sending_gives_up_when_the_server_hangs_or_dribbles(says: bytes) -> None:
    """All of it has one time limit, however lively the server seems."""
    server = _Mute(says)
    try:
        settings = MailServer(Inbox(), server.port).settings(timeout_s=0.5)
        with pytest.raises(CommandError, match="took no mail within"):
            send(EmailMessage(), settings)
    finally:
        server.close()


def test_sending_fails_when_nobody_listens(unused_port: int) -> None:
    """Exit code 5: not reachable."""
    with pytest.raises(CommandError) as refused:
        send(EmailMessage(), MailServer(Inbox(), unused_port).settings())
    assert refused.value.exit_code == 5


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--smtp, --mail-from, --mail-to"),
        (("--smtp", "http://x", "--mail-from", "a@b.c", "--mail-to", "d@e.f"), "smtp://user@host:587"),
        (("--smtp", "smtp://u:secret@x", "--mail-from", "a@b.c", "--mail-to", "d@e.f"), "--smtp-password-file"),
    ],
)
def test_sending_is_a_usage_error_when_an_option_is_wrong(
    acceptfirst: Run, options: tuple[str, ...], told: str
) -> None:
    """Before anything is read, and without repeating a password."""
    ended = acceptfirst("report", "--store", "chdb:///nowhere", "--send", *options)
    assert ended.code == 2
    assert told in ended.err
    assert "secret" not in ended.err


def test_address_cannot_bring_headers_of_its_own(acceptfirst: Run, store: str, mail_server: MailServer) -> None:
    """A line break in it is refused."""
    options = ("--smtp", f"smtp+plain://127.0.0.1:{mail_server.port}", "--mail-from", "a@b.c")
    ended = acceptfirst("report", "--store", store, *WEEK, "--send", *options, "--mail-to", "x@y.z\nBcc: all@y.z")
    assert (ended.code, mail_server.inbox.kept) == (2, [])


def test_password_comes_from_a_file(tmp_path: Path) -> None:
    """And is never shown."""
    (tmp_path / "password").write_text("hunter2\n")
    settings = mail_settings("smtps://me@mail.example.com", tmp_path / "password", "a@b.c", "d@e.f, g@h.i")
    assert (settings.port, settings.user, settings.password) == (465, "me", "hunter2")
    assert settings.recipients == ("d@e.f", "g@h.i")
    assert "hunter2" not in repr(settings)


@dataclass
class WeekOfJobs:
    """Jobs and their host at once, with a week that holds handshakes: makes a report by keeping the given mail."""

    reports: Path
    mail: str
    made: int = 0

    @property
    def database(self) -> WeekOfJobs:
        """Itself: the only thing that is asked of it is whether there are handshakes."""
        return self

    def statement_rows(self, name: str, parameters: Any) -> list[dict[str, Any]]:
        """There are."""
        return [{"name": name, **parameters}]

    def report(self, question: Any, *, wait: bool = False) -> dict[str, Any]:
        """Make it, and keep it."""
        assert wait
        self.made += 1
        ReportShelf(self.reports).keep(question.week, "", {"email": self.mail})
        return {}


def test_week_is_sent_again_but_not_made_again_when_the_mail_failed(
    made: EmailMessage, mail_server: MailServer, tmp_path: Path
) -> None:
    """Until the server takes it; then it went once."""
    week: Any = WeekOfJobs(tmp_path, made.as_string())
    duty = duties_of(week, week, DutySettings(mail=mail_server.settings()))[-1]
    assert duty.name == "report"
    mail_server.inbox.answer = "451 later"
    with pytest.raises(CommandError, match="451"):
        duty.run(lambda _: None)
    mail_server.inbox.answer = "250 OK"
    result = duty.run(lambda _: None)
    assert result is not None
    assert "sent to b@example.com" in result["message"]
    assert (week.made, len(mail_server.inbox.kept)) == (1, 1)
