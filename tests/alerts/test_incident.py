"""One incident, followed everywhere: whoever looks, wherever, sees the same number."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from acceptfirst_cli.errors import ExitCode
from acceptfirst_store.database import open_database
from acceptfirst_store.migrations import migrate

START_SECONDS_MAX = 90.0
BROKEN, FINE = 7, 63
ROUTE = "/ws/<b>room</b>"


class Serving:
    """A running ``serve``, asked over HTTP and by its commands."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """An answer of its API."""
        with httpx.Client(trust_env=False, timeout=120) as client:
            answer = client.request(method, f"{self.url}{path}", json=body)
            return answer.raise_for_status()

    def command(self, *arguments: str) -> tuple[int, Any]:
        """How a command ended, and the JSON that it printed."""
        command = [sys.executable, "-m", "acceptfirst_cli", *arguments, "--url", self.url]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, timeout=110, check=False)
        return done.returncode, json.loads(done.stdout)


def plant(planter: type[Any], dsn: str) -> None:
    """Seven connections of seventy in production were accepted twice, a minute and a half ago; staging is well."""
    with open_database(dsn) as database:
        migrate(database)
        planted = planter(database, dt.datetime.now(dt.UTC))
        planted.plant(FINE, age_s=90, route=ROUTE, signature="CAGRSD")
        planted.plant(BROKEN, "broken", age_s=90, route=ROUTE, signature="CA!AE", pattern="double_accept")
        planted.plant(FINE, age_s=90, environment="staging", signature="CAGRSD")


@contextlib.contextmanager
def serving(folder: Path, alerts_file: Path) -> Iterator[Serving]:
    """A ``serve`` that does nothing by itself, so that the test says when."""
    data_dir = folder / "data"
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--port", "0", "--no-jobs"]
    command += ["--data-dir", str(data_dir), "--alerts-file", str(alerts_file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCEPTFIRST_")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            yield Serving(_url_of(data_dir / "serve.json", process), folder)
        finally:
            process.send_signal(signal.SIGTERM)


def _url_of(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists():
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.05)
    raise AssertionError("serve did not start")


def seen(serve: Serving, alertmanager: Any, hook: Any) -> Mapping[str, float]:
    """Where one can look → how many connections were accepted twice, as it is told there."""
    classified = serve.command("classify", "--json")[1]["patterns"]
    serve.ask("POST", "/api/v1/jobs/alerts")
    [told] = [alert for body in hook.bodies for alert in body["alerts"] if alert["labels"]["rule"] == "AF-03"]
    [paged] = [alert for alert in alertmanager.alerts() if alert["labels"]["rule"] == "AF-03"]
    [listed] = [alert for alert in serve.ask("GET", "/api/v1/alerts").json()["alerts"] if alert["rule"] == "AF-03"]
    code, checked = serve.command("alerts", "check", "--since", "15m", "--json")
    assert code == ExitCode.FINDINGS
    [finding] = [finding for finding in checked["findings"] if finding["rule"] == "AF-03"]
    [pattern] = serve.ask("GET", "/api/v1/patterns").json()["patterns"]
    [reported] = serve.command("report", "--since", "1h", "--json")[1]["patterns"]
    return {
        "page, races": page_number(serve, "Accepted twice</bdi></a></th>.*?</span>(\\d+)</td>"),
        "page, users": page_number(serve, 'connections hit</th><td class="number">(\\d+)</td>'),
        "panel 3": panel(serve, "panel_violations")[0]["violations"],
        "panel 7": sum(row["failed"] for row in panel(serve, "panel_outcomes")),
        "panel 9": panel(serve, "panel_worst_routes")[0]["violations"],
        "panel 14": len(panel(serve, "panel_violation_list")),
        "panel 16": panel(serve, "panel_pattern_counts")[0]["connections"],
        "alert by webhook": float(told["annotations"]["value"]),
        "alert in Alertmanager": float(paged["annotations"]["value"]),
        "alert in the API": listed["value"],
        "alerts check": finding["value"],
        "classify": _count(classified),
        "patterns in the API": pattern["connections"],
        "report": reported["connections"],
    }


def page_number(serve: Serving, pattern: str) -> int:
    """A number on the live page of production, where it stands."""
    found = re.search(pattern, serve.ask("GET", "/?environment=production").text, re.DOTALL)
    assert found is not None
    return int(found[1])


def _count(patterns: Any) -> int:
    """How often the one pattern occurs in what ``classify`` printed."""
    return int(patterns["double_accept"] if isinstance(patterns, dict) else patterns[0]["occurrences"])


def panel(serve: Serving, name: str) -> Any:
    """What a panel's statement answers, about the last quarter of an hour."""
    now = dt.datetime.now(dt.UTC)
    anything = {name: [""] for name in ("environments", "services", "routes", "patterns")}
    times = {"since": f"{now - dt.timedelta(minutes=15):%Y-%m-%d %H:%M:%S}", "until": f"{now:%Y-%m-%d %H:%M:%S}"}
    parameters = {**anything, **times, "step_s": 60}
    return serve.ask("POST", f"/api/v1/statements/{name}", {"parameters": parameters}).json()["rows"]


@pytest.fixture
def incident(
    tmp_path: Path, planter_type: type[Any], web_receiver: Callable[[], Any], alertmanager: Any
) -> Iterator[tuple[Serving, Any]]:
    """A collector over the incident, with somebody to tell, and who was told."""
    hook = web_receiver()
    plant(planter_type, f"chdb://{tmp_path / 'data' / 'db'}")
    alerts_file = tmp_path / "told.toml"
    receivers = [("hook", "webhook", hook.url), ("pager", "alertmanager", alertmanager.url)]
    tables = [f'[[receivers]]\nname = "{name}"\nkind = "{kind}"\nurl = "{url}"\n' for name, kind, url in receivers]
    alerts_file.write_text('allowed_hosts = ["127.0.0.1"]\n' + "\n".join(tables))
    with serving(tmp_path, alerts_file) as serve:
        yield serve, hook


def test_incident_has_the_same_number_wherever_one_looks(incident: tuple[Serving, Any], alertmanager: Any) -> None:
    """Boards, alerts, API, commands and report; and the page names the alert, with the route as text."""
    serve, hook = incident
    counts = seen(serve, alertmanager, hook)
    assert counts == dict.fromkeys(counts, BROKEN)
    page = serve.ask("GET", "/").text
    assert f"{BROKEN} times double_accept" in page
    assert "/ws/&lt;b&gt;room&lt;/b&gt;" in page
    assert "<b>room</b>" not in page
