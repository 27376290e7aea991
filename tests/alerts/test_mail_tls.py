"""Mail over TLS: a real server with a certificate of our own, believed, not believed, and of another name."""

from __future__ import annotations

import datetime as dt
import gc
import ipaddress
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.notify.plan import Delivery
from acceptfirst_analysis.alerts.notify.send import send_all
from acceptfirst_analysis.alerts.settings import AlertSettings, Receiver
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.jobs.mail import MailSettings, send

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
SCHEMES: dict[str, Literal["starttls", "tls"]] = {"smtp": "starttls", "smtps": "tls"}
each_way = pytest.mark.parametrize("scheme", SCHEMES)


class Inbox(Message):
    """Keeps what it is given, and whether it came under TLS."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[str] = []

    def handle_message(self, message: Any) -> None:
        """Keep it."""
        self.subjects.append(str(message["Subject"]))


@dataclass
class Server:
    """A running one."""

    port: int
    certificate: Path
    inbox: Inbox = field(default_factory=Inbox)

    def mail(self, scheme: str) -> None:
        """Send it a report's mail."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = "week", "a@example.com", "b@example.com"
        addresses: dict[str, Any] = {"sender": "a@example.com", "recipients": ("b@example.com",)}
        send(message, MailSettings(scheme=scheme, host="127.0.0.1", port=self.port, timeout_s=30, **addresses))

    def alert(self, scheme: str) -> str:
        """Send it an alert's mail; gives what went wrong."""
        receiver = Receiver(
            name="mail",
            kind="email",
            host="127.0.0.1",
            port=self.port,
            tls=SCHEMES[scheme],
            sender="a@example.com",
            to=("b@example.com",),
        )
        labels = {"alertname": "Test", "rule": "AF-00", "severity": "info"}
        numbers: dict[str, Any] = {"value": 1.0, "threshold": 0.0, "n": 1}
        times: dict[str, Any] = {"active_since": NOW, "last_active_at": NOW, "fired_at": NOW, "updated_at": NOW}
        texts: dict[str, Any] = {"fingerprint": "0" * 16, "summary": "a test", "description": "nothing is wrong"}
        episode = Episode(labels=labels, state="firing", **numbers, **times, **texts)
        settings = AlertSettings(receivers=(receiver,), allowed_hosts=("127.0.0.1",), timeout_s=30)
        [outcome] = send_all([Delivery(receiver, (), (episode,))], settings, NOW)
        return outcome.error


def certificate_for(folder: Path, names: list[x509.GeneralName]) -> tuple[Path, Path]:
    """A certificate of our own for some names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return paths


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server: for ``smtp`` with STARTTLS, without which it takes nothing, for ``smtps`` with TLS at once."""
    started: list[Controller] = []

    def start(scheme: str, *names: x509.GeneralName) -> Server:
        given = list(names) or [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate, key = certificate_for(tmp_path, given)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        server = Server(port, certificate)
        own: dict[str, Any] = {"ssl_context": context}
        if scheme == "smtp":
            own = {"tls_context": context, "require_starttls": True}
        controller = Controller(server.inbox, hostname="127.0.0.1", port=port, **own)
        controller.start()
        started.append(controller)
        return server

    yield start
    for controller in started:
        controller.stop()
    with warnings.catch_warnings():  # the server leaves the transport of a handshake that was refused to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@each_way
def test_mail_goes_over_tls_when_the_certificate_is_believed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A private authority is named by SSL_CERT_FILE, for the report and for alerts alike."""
    server = serve(scheme)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    server.mail(scheme)
    assert server.alert(scheme) == ""
    assert len(server.inbox.subjects) == 2


@each_way
def test_mail_is_not_sent_when_nobody_vouches_for_the_certificate(serve: Serve, scheme: str) -> None:
    """It says so, and what to do; nothing is sent in clear instead."""
    server = serve(scheme)
    with pytest.raises(
        CommandError, match=r"certificate is not believed: self-signed certificate; .*SSL_CERT_FILE"
    ) as refused:
        server.mail(scheme)
    assert refused.value.exit_code == ExitCode.UNREACHABLE
    assert server.alert(scheme) == str(refused.value).partition("can't be used: ")[2]
    assert server.inbox.subjects == []


@each_way
def test_mail_is_not_sent_when_the_certificate_is_another_hosts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Believed, but not for this name."""
    server = serve(scheme, x509.DNSName("mail.elsewhere.example"))
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
    with pytest.raises(CommandError, match=r"not valid for .127\.0\.0\.1"):
        server.mail(scheme)
    assert "not valid for '127.0.0.1'" in server.alert(scheme)
    assert server.inbox.subjects == []


def test_mail_is_not_sent_when_the_server_speaks_another_kind_of_tls(serve: Serve) -> None:
    """STARTTLS asked of a port that wants TLS at once ends within the time limit, with one line."""
    server = serve("smtp")
    with pytest.raises(CommandError) as refused:
        server.mail("smtps")
    assert (refused.value.exit_code, "\n" in str(refused.value)) == (ExitCode.UNREACHABLE, False)
    assert server.inbox.subjects == []
