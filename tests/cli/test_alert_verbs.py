"""``acceptfirst alerts`` on a store and through a running ``serve``: what it prints and how it ends."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from acceptfirst_cli.errors import ExitCode

WEEK = ("--since", "2026-11-16", "--until", "2026-11-17")
"""The day of the histories."""


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes what it is sent, and keeps it with its server."""

    def do_POST(self) -> None:
        """Keep it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)  # type: ignore[attr-defined]  # set below
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Any]:
    """A webhook; ``bodies`` is what came."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.bodies = []  # type: ignore[attr-defined]  # kept where the handler finds it
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def alerts_file(tmp_path: Path, port: int) -> str:
    """A file with one webhook."""
    path = tmp_path / "told.toml"
    url = f"http://127.0.0.1:{port}/"
    receiver = f'[[receivers]]\nname = "hook"\nkind = "webhook"\nurl = "{url}"\n'
    path.write_text(f'allowed_hosts = ["127.0.0.1"]\n{receiver}', encoding="utf-8")
    return str(path)


def test_rules_are_listed_without_a_store(acceptfirst: Callable[..., Any]) -> None:
    """With their thresholds and runbooks."""
    ended = acceptfirst("alerts", "list", "--rules", "--json")
    rules = json.loads(ended.out)
    assert (ended.code, rules["schema_version"], len(rules["rules"])) == (0, 1, 8)
    table = acceptfirst("alerts", "list", "--rules").out
    assert "AF-01\tHandshakeBudgetBurnFast\tcritical\t1h\t> 14.4\t120 s\tdocs/runbooks/AF-01.md" in table


def test_check_finds_the_outage_in_a_range(acceptfirst: Callable[..., Any], outage: str) -> None:
    """Exit code 3, and which rules held where, since when."""
    ended = acceptfirst("alerts", "check", "--store", outage, *WEEK, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["schema_version"], document["handshakes"]) == (ExitCode.FINDINGS, 1, 120)
    assert [(finding["rule"], finding["window"], finding["route"]) for finding in document["findings"]] == [
        ("AF-01", "1h", "/ws/chat"),
        ("AF-01", "6h", "/ws/chat"),
        ("AF-02", "1d", "/ws/chat"),
        ("AF-02", "3d", "/ws/chat"),
    ]
    assert document["findings"][0]["first_at"].startswith("2026-11-16T00:05")


def test_check_looks_once_without_a_start(acceptfirst: Callable[..., Any], outage: str) -> None:
    """At the end of the range, with the windows of the rules."""
    ended = acceptfirst("alerts", "check", "--store", outage, "--until", "2026-11-16T00:04:00", "--json")
    findings = json.loads(ended.out)["findings"]
    found = {(finding["rule"], finding["window"]) for finding in findings}
    assert found == {("AF-01", "1h"), ("AF-01", "6h"), ("AF-02", "1d"), ("AF-02", "3d")}


def test_check_is_content_with_a_healthy_history(acceptfirst: Callable[..., Any], store: str) -> None:
    """Exit code 0; 30 of 30 failures on a route decide nothing."""
    ended = acceptfirst("alerts", "check", "--store", store, *WEEK)
    assert (ended.code, ended.out.count("\n")) == (ExitCode.OK, 1)


def test_check_says_when_there_are_no_handshakes(acceptfirst: Callable[..., Any], store: str) -> None:
    """Exit code 4, and the JSON all the same."""
    ended = acceptfirst("alerts", "check", "--store", store, "--since", "2020-01-01", "--until", "2020-01-02", "--json")
    assert (ended.code, json.loads(ended.out)["enough_data"]) == (ExitCode.NOT_ENOUGH_DATA, False)


def test_check_finds_an_outage_before_the_range_when_a_window_still_holds_it(
    acceptfirst: Callable[..., Any], outage: str
) -> None:
    """Nobody connects any more, and the budget is burnt all the same: 3, not 4."""
    later = ("--since", "2026-11-16T02:00", "--until", "2026-11-16T02:30")
    ended = acceptfirst("alerts", "check", "--store", outage, *later, "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["handshakes"], bool(document["findings"])) == (ExitCode.FINDINGS, 0, True)


def test_check_of_another_environment_has_nothing_to_judge(acceptfirst: Callable[..., Any], store: str) -> None:
    """The handshakes of production say nothing about staging."""
    assert acceptfirst("alerts", "check", "--store", store, *WEEK, "--environment", "staging").code == 4


def test_check_answers_the_same_through_serve(acceptfirst: Callable[..., Any], store: str, serve_url: str) -> None:
    """One evaluator."""
    here = acceptfirst("alerts", "check", "--store", store, *WEEK, "--json")
    there = acceptfirst("alerts", "check", "--url", serve_url, *WEEK, "--json")
    assert (json.loads(there.out), there.code) == (json.loads(here.out), here.code)


def test_list_is_empty_before_anything_was_evaluated(acceptfirst: Callable[..., Any], store: str) -> None:
    """No alert, no error."""
    ended = acceptfirst("alerts", "list", "--store", store, "--json")
    assert (ended.code, json.loads(ended.out)["alerts"]) == (0, [])


@pytest.mark.parametrize("arguments", [("--since", "yesterdayish"), ("--environment", "moon"), ("--state", "asleep")])
def test_list_refuses_what_it_does_not_understand(
    acceptfirst: Callable[..., Any], store: str, arguments: tuple[str, ...]
) -> None:
    """A usage error, no traceback."""
    ended = acceptfirst("alerts", "list", "--store", store, *arguments)
    assert ended.code == ExitCode.USAGE
    assert "Traceback" not in ended.err


def test_test_send_says_who_took_it(acceptfirst: Callable[..., Any], tmp_path: Path, hook: Any) -> None:
    """The message says that nothing is wrong."""
    ended = acceptfirst("alerts", "test-send", "--alerts-file", alerts_file(tmp_path, hook.server_port))
    assert (ended.code, ended.out) == (0, "receiver\tkind\tresult\nhook\twebhook\ttaken\n")
    assert hook.bodies[0]["alerts"][0]["annotations"]["description"].endswith("Nothing is wrong.")


def test_test_send_fails_when_a_receiver_does(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 1, with the reason."""
    ended = acceptfirst("alerts", "test-send", "--alerts-file", alerts_file(tmp_path, 9), "--json")
    assert ended.code == ExitCode.FAILURE
    assert json.loads(ended.out)["deliveries"][0]["error"].startswith("ConnectError")


@pytest.mark.parametrize("arguments", [(), ("--receiver", "nobody")], ids=["no file", "no such receiver"])
def test_test_send_wants_a_receiver(
    acceptfirst: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], hook: Any
) -> None:
    """A usage error that says what is missing."""
    file = ("--alerts-file", alerts_file(tmp_path, hook.server_port)) if arguments else ()
    assert acceptfirst("alerts", "test-send", *file, *arguments).code == ExitCode.USAGE


# -- the API -----------------------------------------------------------------------------------------------------------


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    """An answer of the collector."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        return client.request(method, url, **options)


def evaluated(url: str) -> Any:
    """What a round found; the timetable's own may be under way."""
    for _ in range(100):
        answer = ask("POST", f"{url}/api/v1/jobs/alerts")
        if answer.status_code != 503:
            return answer.json()
        time.sleep(0.1)
    raise AssertionError("the round before never ended")


def test_job_evaluates_and_the_api_lists_what_it_found(acceptfirst: Callable[..., Any], serve_url: str) -> None:
    """Nothing has come for days: data are stale, pending at first."""
    answer = evaluated(serve_url)
    assert (answer["schema_version"], [alert["rule"] for alert in answer["alerts"]]) == (1, ["AF-07"])
    listed = ask("GET", f"{serve_url}/api/v1/alerts", params={"state": "active"}).json()
    assert [alert["rule"] for alert in listed["alerts"]] == ["AF-07"]
    assert listed["alerts"][0]["state"] in {"pending", "firing"}
    verb = json.loads(acceptfirst("alerts", "list", "--url", serve_url, "--json").out)
    assert [alert["fingerprint"] for alert in verb["alerts"]] == [alert["fingerprint"] for alert in listed["alerts"]]


def test_list_of_alerts_goes_on_behind_its_cursor(serve_url: str) -> None:
    """The page after the last one is empty."""
    evaluated(serve_url)
    first = ask("GET", f"{serve_url}/api/v1/alerts", params={"limit": 1}).json()
    second = ask("GET", f"{serve_url}/api/v1/alerts", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert (len(first["alerts"]), second) == (1, {"schema_version": 1, "alerts": [], "next_cursor": None})


def test_list_of_alerts_is_narrowed_by_its_filters(serve_url: str) -> None:
    """One that began today is none of last year, and none of an environment."""
    evaluated(serve_url)
    for filters in ({"until": "2025-01-01"}, {"environment": "production"}, {"route": "/x"}, {"state": "resolved"}):
        assert ask("GET", f"{serve_url}/api/v1/alerts", params=filters).json()["alerts"] == []
    today = {"since": datetime.now(UTC).replace(hour=0).isoformat()}
    assert len(ask("GET", f"{serve_url}/api/v1/alerts", params=today).json()["alerts"]) == 1


def test_silence_is_set_seen_and_lifted_through_serve(acceptfirst: Callable[..., Any], serve_url: str) -> None:
    """By the commands; the API and the alert itself say so meanwhile."""
    evaluated(serve_url)
    made = json.loads(
        acceptfirst(
            *("alerts", "silence", "--rule", "AF-07", "--for", "2h", "--reason", "moving house"),
            *("--by", "alice", "--url", serve_url, "--json"),
        ).out
    )["silence"]
    assert (made["active"], made["by"], made["reason"]) == (True, "alice", "moving house")
    [alert] = ask("GET", f"{serve_url}/api/v1/alerts", params={"state": "active"}).json()["alerts"]
    assert alert["silenced"].startswith("moving house (alice, until ")
    assert made["id"] in acceptfirst("alerts", "silences", "--url", serve_url).out
    lifted = acceptfirst("alerts", "lift", made["id"], "--by", "bob", "--reason", "moved", "--url", serve_url)
    assert (lifted.code, "rule=AF-07" in lifted.out, "bob moved" in lifted.out) == (0, True, True)
    assert ask("GET", f"{serve_url}/api/v1/silences").json()["silences"] == []
    [ended] = ask("GET", f"{serve_url}/api/v1/silences", params={"all": True}).json()["silences"]
    assert (ended["lifted_by"], ended["lift_reason"], ended["active"]) == ("bob", "moved", False)


def test_silence_is_set_in_a_store_directly(acceptfirst: Callable[..., Any], store: str) -> None:
    """And listed from it; a mistake is a usage error with one line."""
    place = ("--store", store)
    assert acceptfirst("alerts", "silence", "--route", "/x", "--for", "5m", "--reason", "r", *place).code == 0
    listed = acceptfirst("alerts", "silences", *place)
    assert (listed.code, "route=/x" in listed.out) == (0, True)
    refused = acceptfirst("alerts", "silence", "--for", "5m", "--reason", "r", *place)
    assert (refused.code, refused.err.count("\n")) == (ExitCode.USAGE, 1)
    assert "it would silence every alert" in refused.err


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "alerts?limit=0", None),
        ("GET", "alerts?cursor=x", None),
        ("GET", "alerts?state=asleep", None),
        ("POST", "jobs/alerts", {"since": "1h"}),
        ("POST", "jobs/alerts", {"check": "yes"}),
        ("POST", "jobs/alerts", {"check": True, "since": "soon"}),
        ("POST", "jobs/alerts", {"check": True, "environment": "moon"}),
        ("POST", "jobs/alerts", {"colour": "red"}),
        ("POST", "silences", {"for": "2h", "reason": "r", "by": "a"}),
        ("POST", "silences", {"rule": "AF-03", "for": "2h", "by": "a"}),
        ("POST", "silences/0123456789ab/lift", {"by": "a"}),
        ("GET", "silences?all=maybe", None),
    ],
    ids=str,
)
def test_api_refuses_what_it_does_not_understand(serve_url: str, request_: tuple[str, str, Any]) -> None:
    """400 with a message."""
    method, path, body = request_
    answer = ask(method, f"{serve_url}/api/v1/{path}", json=body)
    assert (answer.status_code, bool(answer.json()["message"])) == (400, True)


def test_serve_refuses_an_alerts_file_that_it_can_not_use(
    acceptfirst_process: Callable[..., Any], tmp_path: Path
) -> None:
    """Told when it starts, not when somebody should have been woken."""
    (tmp_path / "bad.toml").write_text("[[receivers]]\nname = 'a'\nkind = 'pigeon'\n")
    ended = acceptfirst_process("serve", "--port", "0", "--alerts-file", str(tmp_path / "bad.toml"))
    assert (ended.code, "pigeon" in ended.err, "Traceback" in ended.err) == (ExitCode.USAGE, True, False)
