"""A real ``serve`` with traffic sent over OTLP, and a real browser that looks at its page."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from playwright.sync_api import Browser, BrowserContext, sync_playwright

START_SECONDS_MAX = 60.0
PATIENCE_S = 30.0
REQUIRED = "ACCEPTFIRST_TEST_REQUIRE"
TOKEN = "a-token-for-tests"  # noqa: S105 - of a serve that only this test can reach
BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Step = tuple[str, str, str, float]
"""From, to, trigger, milliseconds in the state that was left."""

WENT_WELL: tuple[Step, ...] = (
    ("INITIALIZING", "HANDSHAKE_PENDING", "connect", 0.2),
    ("HANDSHAKE_PENDING", "CONNECTED", "accept", 2.0),
    ("CONNECTED", "READY_FOR_MESSAGES", "ready", 30.0),
    ("READY_FOR_MESSAGES", "CLOSED", "disconnect", 90.0),
)


def _attributes(values: dict[str, str | float]) -> list[KeyValue]:
    return [
        KeyValue(key=k, value=AnyValue(string_value=v) if isinstance(v, str) else AnyValue(double_value=v))
        for k, v in values.items()
    ]


@dataclass
class Collector:
    """A running ``serve``, and what was sent to it."""

    url: str
    data_dir: Path
    token: str = ""
    sent: int = 0
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=60))

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends along."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a path, with the token."""
        return self.client.get(self.url + path, headers=self.headers, **options)

    def handshake(
        self,
        *,
        route: str = "/ws",
        environment: str = "production",
        service: str = "chat",
        signature: str = "CAGRSDZ",
        steps: Sequence[Step] = WENT_WELL,
        age_s: float = 5.0,
        race: str = "",
        evidence: str = "",
        last: dict[str, str | float] | None = None,
        more: dict[str, str | float] | None = None,
    ) -> str:
        """Send one handshake as the library would, and give its id."""
        start_ns = time.time_ns() - int(age_s * 1e9)
        connection = f"{start_ns // 1_000_000:012x}{os.urandom(10).hex()}"
        shared: dict[str, str | float] = {
            "acceptfirst.connection.id": connection,
            "acceptfirst.environment": environment,
            "http.route": route,
            "acceptfirst.readiness.mode": "event",
            "acceptfirst.gate": "observe",
            "acceptfirst.policy.version": "default",
            "acceptfirst.sample.weight": 1.0,
            **(more or {}),
        }
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(_attributes({"service.name": service}))
        scope = resource.scope_spans.add()
        scope.scope.name = "acceptfirst"
        trace_id = os.urandom(16)

        def span(name: str, at_ns: int, end_ns: int, values: dict[str, str | float]) -> None:
            made = scope.spans.add(name=name, trace_id=trace_id, span_id=os.urandom(8))
            made.start_time_unix_nano, made.end_time_unix_nano = at_ns, end_ns
            made.attributes.extend(_attributes({**shared, **values}))

        at_ns = start_ns
        for sequence, (left, entered, trigger, lasted_ms) in enumerate(steps):
            end_ns = at_ns + int(lasted_ms * 1e6)
            values: dict[str, str | float] = {
                "acceptfirst.state.from": left,
                "acceptfirst.state.to": entered,
                "acceptfirst.transition.trigger": trigger,
                "acceptfirst.transition.sequence": float(sequence),
            }
            ended = {"acceptfirst.signature": signature, "acceptfirst.close.code": "1000", **(last or {})}
            span("websocket.transition", at_ns, end_ns, {**values, **(ended if entered == "CLOSED" else {})})
            at_ns = end_ns
        if race:
            kind: dict[str, str | float] = {"acceptfirst.pattern.type": race, "acceptfirst.pattern.severity": "warning"}
            span("websocket.violation", at_ns, at_ns, {**kind, "acceptfirst.pattern.evidence": evidence})
        answer = self.client.post(
            f"{self.url}/v1/traces",
            content=request.SerializeToString(),
            headers={**self.headers, "Content-Type": "application/x-protobuf"},
        )
        assert answer.status_code == 200, answer.text
        self.sent += 1
        return connection

    def settle(self, connection: str) -> None:
        """Wait until a handshake can be read."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self.get(f"/api/v1/handshakes/{connection}").status_code == 200:
                return
            time.sleep(0.05)
        pytest.fail("what was sent can't be read")


@contextlib.contextmanager
def _serving(data_dir: Path, *arguments: str) -> Iterator[Collector]:
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--port", "0", "--data-dir", str(data_dir), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCEPTFIRST_")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            collector = Collector(_url_of(data_dir / "serve.json", process), data_dir)
            yield collector
            collector.client.close()
        finally:
            process.send_signal(signal.SIGTERM)


def _url_of(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.05)
    raise AssertionError("serve did not start")


@pytest.fixture(scope="session")
def empty_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One that nothing is ever sent to."""
    with _serving(tmp_path_factory.mktemp("empty") / "data") as collector:
        yield collector


@pytest.fixture
def fresh_collector(tmp_path: Path) -> Iterator[Collector]:
    """One of the test's own, with nothing in it."""
    with _serving(tmp_path / "data") as collector:
        yield collector


@pytest.fixture(scope="session")
def guarded_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One that asks for a token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(TOKEN)
    with _serving(folder / "data", "--token-file", str(folder / "token")) as collector:
        collector.token = TOKEN
        yield collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """One with handshakes that went well, that raced, that are open and that are stuck, in two environments."""
    with _serving(tmp_path_factory.mktemp("page") / "data") as running:
        for i in range(60):
            running.handshake(age_s=60 + i, environment="production" if i % 3 else "staging")
        raced = (*WENT_WELL[:3], ("READY_FOR_MESSAGES", "CLOSED", "close", 12.0))
        for i in range(3):
            running.handshake(
                route="/ws/moderated",
                signature="CAGRX!RE",
                steps=raced,
                age_s=30 + i,
                race="receive_after_local_close",
                evidence="the application had closed it: close(4409) at chat.py:35; then came receive_text()",
            )
        running.handshake(route="/ws/stuck", steps=WENT_WELL[:1], age_s=45)
        running.settle(running.handshake(route="/ws/slow", steps=WENT_WELL[:2], age_s=2))
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window; the test is skipped where there is none, unless CI requires it.

    For a module and no longer: as long as it is there, its event loop runs in this thread, and nobody else's can.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed: apt-get install chromium"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=list(BROWSER_ARGUMENTS))
        yield launched
        launched.close()


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a fresh profile, light, and 1280 px wide unless told otherwise."""
    contexts: list[BrowserContext] = []

    def opened(address: str, *, width: int = 1280, script: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="light", java_script_enabled=script
        )
        contexts.append(context)
        page = context.new_page()
        page.goto(address, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def accessibility_problems() -> Callable[[Any], list[str]]:
    """What axe-core finds wrong with a page, light and dark: WCAG 2.2 A and AA, and its best practices."""
    source = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

    def problems(page: Any) -> list[str]:
        page.evaluate(source)
        told = []
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            found = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", tags)
            assert found["passes"], "axe looked at nothing"
            told += [f"{theme} {v['id']}: {node['html'][:160]}" for v in found["violations"] for node in v["nodes"]]
        return told

    return problems
