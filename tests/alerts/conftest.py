"""A real, migrated chDB, connections planted as spans, and real receivers: HTTP, SMTP, and Debian's Alertmanager."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate
from acceptfirst_store.rollup import refresh_rollup

REQUIRED = "ACCEPTFIRST_TEST_REQUIRE"
PATIENCE_S = 30.0
TABLES = (
    "otel_traces",
    "handshake_transitions",
    "handshakes",
    "handshake_rollup_1m",
    "job_progress",
    "alert_states",
    "alert_silences",
    "tuning_recommendations",
    "race_condition_patterns",
)


@pytest.fixture(scope="session")
def now() -> dt.datetime:
    """The instant that the tests call now: the middle of a minute that is over."""
    return dt.datetime.now(dt.UTC).replace(second=30, microsecond=0) - dt.timedelta(minutes=1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a store of the module's own: one process can have only one embedded store open at a time."""
    path: Path = tmp_path_factory.mktemp("alerts") / "db"
    with open_database(f"chdb://{path}") as database:
        migrate(database)
        yield database


@pytest.fixture
def database(opened: Database) -> Database:
    """The store, with nothing in it."""
    for table in TABLES:
        opened.run(f"TRUNCATE TABLE acceptfirst.{table}")
    return opened


@dataclass
class Planter:
    """Plants connections as the spans that the library exports.

    Attributes:
        database: where.
        now: ages count back from it.
    """

    database: Database
    now: dt.datetime

    def plant(self, count: int, outcome: str = "ready", **where: Any) -> None:
        """Plant connections that began some time ago, one millisecond apart.

        Args:
            count: how many.
            outcome: ``ready``, ``early`` (ready, but a message came before), ``failed``, ``broken`` (failed behind
                accept), ``rejected`` or ``open``.
            where: ``age_s``, ``environment``, ``service``, ``route``, ``accept_ms``, ``weight``, ``mode``,
                ``delay_ms``, ``signature``, ``pattern`` (of a violation, 1 s after the beginning), and
                ``violation_age_s`` where that was later.
        """
        self.plant_all([(count, outcome, where)])

    def plant_all(self, groups: Sequence[tuple[int, str, dict[str, Any]]]) -> None:
        """Plant many groups with one insert; arguments as in ``plant``."""
        rows = [
            row
            for count, outcome, where in groups
            for position in range(count)
            for row in self._connection(position, outcome, where)
        ]
        self.database.insert_rows("otel_traces", rows)

    def settle(self) -> None:
        """Bring the rollup up to date."""
        refresh_rollup(self.database)

    def _connection(self, position: int, outcome: str, where: dict[str, Any]) -> list[dict[str, Any]]:
        began = self.now - dt.timedelta(seconds=where.get("age_s", 60)) + dt.timedelta(milliseconds=position)
        identity = int(began.timestamp() * 1000).to_bytes(6, "big").hex() + os.urandom(10).hex()
        accepted_ms = where.get("accept_ms", 5)
        steps = {
            "open": [("connect", "INITIALIZING", "HANDSHAKE_PENDING", 0, 1)],
            "failed": [("exception", "HANDSHAKE_PENDING", "ERROR", 0, 3)],
            "broken": [
                ("accept", "HANDSHAKE_PENDING", "CONNECTED", 0, accepted_ms),
                ("exception", "CONNECTED", "ERROR", accepted_ms, accepted_ms + 1),
                ("return", "ERROR", "CLOSED", accepted_ms + 1, accepted_ms + 1),
            ],
            "rejected": [("denial", "HANDSHAKE_PENDING", "CLOSED", 0, 3)],
        }.get(
            outcome,
            [
                ("accept", "HANDSHAKE_PENDING", "CONNECTED", 0, accepted_ms),
                ("ready", "CONNECTED", "READY_FOR_MESSAGES", accepted_ms, accepted_ms + 10),
            ],
        )
        pattern = "early_message_before_ready" if outcome == "early" else where.get("pattern", "")
        spans = [self._transition(number, step, began, identity, where) for number, step in enumerate(steps)]
        spans[-1]["SpanAttributes"]["acceptfirst.signature"] = where.get("signature", "")
        if pattern:
            at = began + dt.timedelta(seconds=1)
            if "violation_age_s" in where:
                at = self.now - dt.timedelta(seconds=where["violation_age_s"])
            attributes = {"acceptfirst.pattern.type": pattern, "acceptfirst.pattern.severity": "critical"}
            spans.append(self._span("websocket.violation", at, identity, where, attributes))
        return spans

    def _transition(
        self, number: int, step: tuple[Any, ...], began: dt.datetime, identity: str, where: dict[str, Any]
    ) -> dict[str, Any]:
        trigger, old, new, start_ms, end_ms = step
        attributes = {
            "acceptfirst.state.from": old,
            "acceptfirst.state.to": new,
            "acceptfirst.transition.sequence": str(number),
            "acceptfirst.transition.trigger": trigger,
        }
        at = began + dt.timedelta(milliseconds=start_ms)
        row = self._span("websocket.transition", at, identity, where, attributes)
        return {**row, "Duration": round((end_ms - start_ms) * 1_000_000)}

    def _span(
        self,
        name: str,
        at: dt.datetime,
        identity: str,
        where: dict[str, Any],
        attributes: dict[str, str],
    ) -> dict[str, Any]:
        return {
            "Timestamp": at,
            "TraceId": os.urandom(16).hex(),
            "SpanId": os.urandom(8).hex(),
            "SpanName": name,
            "SpanKind": "Internal",
            "ServiceName": where.get("service", "chat"),
            "ResourceAttributes": {"service.name": where.get("service", "chat")},
            "ScopeName": "acceptfirst",
            "SpanAttributes": {
                "acceptfirst.connection.id": identity,
                "acceptfirst.environment": where.get("environment", "production"),
                "http.route": where.get("route", "/ws"),
                "acceptfirst.sample.weight": str(where.get("weight", 1)),
                "acceptfirst.readiness.mode": where.get("mode", "auto"),
                "acceptfirst.delay.applied_ms": str(where.get("delay_ms", 0)),
                **attributes,
            },
            "Duration": 0,
            "StatusCode": "Unset",
        }


@pytest.fixture
def planter(database: Database, now: dt.datetime) -> Planter:
    """Plants connections in the empty store."""
    return Planter(database, now)


# -- receivers ---------------------------------------------------------------------------------------------------------


@dataclass
class WebReceiver:
    """An HTTP server on the loopback that keeps what it is sent.

    Attributes:
        url: where it listens.
        bodies: what came, decoded.
        headers: that came with it.
        status: what it answers from now on.
        location: where a redirect leads.
        hanging: while set, no answer comes.
    """

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    location: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


def _handler_of(receiver: WebReceiver) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep the body, answer as the receiver says."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if receiver.hanging.is_set():
                receiver.released.wait(PATIENCE_S)
                return
            receiver.bodies.append(json.loads(body))
            receiver.headers.append(dict(self.headers))
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Say nothing."""

    return Handler


@pytest.fixture
def web_receiver() -> Iterator[Callable[[], WebReceiver]]:
    """Starts HTTP receivers; they are stopped at the end."""
    started: list[tuple[http.server.ThreadingHTTPServer, threading.Thread, WebReceiver]] = []

    def start() -> WebReceiver:
        receiver = WebReceiver()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(receiver))
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        started.append((server, thread, receiver))
        return receiver

    yield start
    for server, thread, receiver in started:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Mailbox(Message):
    """Keeps the mails that came."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        """Keep it."""
        self.mails.append(message)


@dataclass(frozen=True)
class MailServer:
    """A real SMTP server, where it listens, and what came."""

    port: int
    mails: list[Any]


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A real SMTP server on the loopback."""
    mailbox = Mailbox()
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield MailServer(port, mailbox.mails)
    controller.stop()


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    url: str

    def alerts(self) -> list[dict[str, Any]]:
        """What it knows, as its API says."""
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            found: list[dict[str, Any]] = client.get(f"{self.url}/api/v2/alerts").json()
            return found


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Debian's Alertmanager on a free port, with a webhook of nobody."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        reason = "prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    command: Sequence[str] = [
        program,
        f"--config.file={configuration}",
        f"--storage.path={tmp_path / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process)
            yield Alertmanager(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
                client.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the Alertmanager did not start")


@pytest.fixture(scope="session")
def planter_type() -> type[Planter]:
    """For tests with a store of their own."""
    return Planter
