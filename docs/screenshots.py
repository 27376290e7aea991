"""Takes the pictures of the page and the report for the documentation: `make screenshots`.

A real `serve`, the demo's backend with its bugs, real clients, and Debian's Chromium. Nothing is painted by hand, so a
picture shows what there is; take them again when the page changes, and look at them.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from acceptfirst_chat.traffic import drive, plan

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "screenshots"
BYTES_MAX: Final = 150_000
START_SECONDS_MAX: Final = 60.0
THEMES: Final = ("light", "dark")
SIZES: Final = {1440: 1000, 390: 844}
CHROMIUM_ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
RACE: Final = "receive_after_local_close"


def main() -> int:
    """Take all of them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("chromium is needed: apt-get install chromium\n")
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        with _serve(Path(name) / "empty") as url:
            _take(browser, f"{url}/", "page-empty")
            _take(browser, _report(url, Path(name) / "report-empty.html"), "report-empty")
        with _serve(Path(name) / "demo") as url, _chat(url) as chat:
            _fill(url, chat)
            _take(browser, _report(url, Path(name) / "report.html"), "report")
            with _traffic(chat, 600):
                time.sleep(4.0)  # until some are there
                _take(browser, f"{url}/", "page")
            _take(browser, f"{url}/connections/{_raced(url)}", "connection")
            _take(browser, f"{url}/patterns/{RACE}", "race")
        browser.close()
    return 0


def _take(browser: Browser, address: str, name: str) -> None:
    """One picture for each theme and width."""
    for theme in THEMES:
        for width, height in SIZES.items():
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            page.goto(address, wait_until="load")
            page.wait_for_timeout(1500)  # the events bring what has changed since the page was drawn
            _without_places_of_this_machine(page)
            _write(page.screenshot(), FOLDER / f"{name}-{theme}-{width}.webp")
            context.close()


def _without_places_of_this_machine(page: Page) -> None:
    page.evaluate(
        """root => {
            const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walk.nextNode()) { walk.currentNode.data = walk.currentNode.data.replaceAll(root, ''); }
        }""",
        f"{ROOT}/",
    )


def _write(png: bytes, path: Path) -> None:
    with Image.open(io.BytesIO(png)) as image:
        for quality in (85, 70, 55):
            image.convert("RGB").save(path, "WEBP", quality=quality, method=6)
            if path.stat().st_size <= BYTES_MAX:
                break
    sys.stdout.write(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes\n")


@contextlib.contextmanager
def _serve(data_dir: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with _process(command) as process:
        address = data_dir / "serve.json"
        _wait(lambda: address.exists() or process.poll() is not None)
        yield str(json.loads(address.read_text())["url"])


@contextlib.contextmanager
def _chat(collector: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["--port", str(port), "--collector", collector, "--environment", "production", "--bugs", "all"]
    with _process([sys.executable, "-m", "acceptfirst_chat", *options]):
        _wait(lambda: _answers(f"http://127.0.0.1:{port}/healthz"))
        yield f"ws://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCEPTFIRST_")}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment) as process:  # noqa: S603 - our own modules
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _fill(url: str, chat: str) -> None:
    """Traffic with every bug, what is concluded from it, and a canary of what is recommended."""
    with _traffic(chat, 500):
        pass
    for job in ("classify", "recommend"):
        httpx.post(f"{url}/api/v1/jobs/{job}", timeout=100, trust_env=False).raise_for_status()
    policy = {"schema_version": 1, "environment": "production", "version": "gate-1", "readiness_mode": "event"}
    account = {"by": "demo", "reason": "cold starts: no delay within the guardrail is enough"}
    for step, values in (("propose", {"policy": {**policy, "gate": "hold"}}), ("promote", {"share": 0.1})):
        answer = httpx.post(f"{url}/api/v1/policy/production/{step}", json={**values, **account}, trust_env=False)
        answer.raise_for_status()


@contextlib.contextmanager
def _traffic(chat: str, clients: int) -> Iterator[None]:
    """Clients come meanwhile; all of them are waited for. In a thread: the browser's loop runs in this one."""
    thread = threading.Thread(target=lambda: asyncio.run(drive(chat, plan(clients, clients), lambda: None)))
    thread.start()
    yield
    thread.join()


def _report(url: str, path: Path) -> str:
    answer = httpx.post(f"{url}/api/v1/jobs/report", json={"format": "html"}, timeout=100, trust_env=False)
    path.write_text(answer.raise_for_status().json()["text"], encoding="utf-8")
    return path.as_uri()


def _raced(url: str) -> str:
    asked: dict[str, str] = {"route": f"/ws/bugs/{RACE}", "limit": "1"}
    rows: list[dict[str, Any]] = httpx.get(f"{url}/api/v1/handshakes", params=asked).json()["handshakes"]
    return str(rows[0]["connection_id"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _wait(is_true: Any) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while not is_true():
        if time.monotonic() > until:
            raise TimeoutError("expected it to start in time, but it did not")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
