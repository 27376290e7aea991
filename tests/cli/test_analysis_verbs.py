"""classify, recommend, report and policy, as a person or a script runs them: output, exit codes, one line on errors."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

Run = Callable[..., Any]


@pytest.mark.parametrize("verb", ["classify", "recommend", "report"])
def test_verb_is_a_usage_error_when_the_environment_is_unknown(acceptfirst: Run, store: str, verb: str) -> None:
    """One line that names the four, and 2."""
    ended = acceptfirst(verb, "--store", store, "--environment", "prodd")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.count("\n") == 1
    assert "expected one of testing, development, staging, production" in ended.err


@pytest.mark.parametrize("verb", ["classify", "recommend", "report"])
def test_verb_says_unreachable_when_there_is_no_store(acceptfirst: Run, tmp_path: Path, verb: str) -> None:
    """5, one line, and nothing is created in its place."""
    ended = acceptfirst(verb, "--store", f"chdb://{tmp_path}/none/db")
    assert (ended.code, ended.err.count("\n"), "Traceback" in ended.err) == (5, 1, False)
    assert not (tmp_path / "none").exists()


def test_verb_says_unreachable_when_nothing_serves(acceptfirst: Run) -> None:
    """5, with the address."""
    ended = acceptfirst("recommend", "--url", "http://127.0.0.1:9")
    assert (ended.code, ended.err.count("\n")) == (5, 1)
    assert "nothing answers at http://127.0.0.1:9" in ended.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--week", "2026-47"), "such as 2026-W47"),
        (("--since", "yesterday"), "ISO 8601 time or an age"),
        (("--since", "2026-11-20", "--until", "2026-11-19"), "to lie before"),
        (("--week", "2026-W47", "--since", "1h"), "but got both"),
        (("--slo", "0"), "between 0 and 1"),
        (("--url", "http://127.0.0.1:9"), "either --store or --url"),
    ],
)
def test_recommend_is_a_usage_error_when_an_option_makes_no_sense(
    acceptfirst: Run, store: str, options: tuple[str, ...], words: str
) -> None:
    """2 and what was expected."""
    ended = acceptfirst("recommend", "--store", store, *options)
    assert ended.code == 2
    assert words in ended.err


def test_loop_is_closed_when_a_store_is_given(acceptfirst_process: Run, store: str, tmp_path: Path) -> None:
    """classify, recommend, propose, show: the gate that the data ask for is in the policy that comes out."""
    found = json.loads(acceptfirst_process("classify", "--store", store, "--json").out)
    assert found["patterns"] == {"receive_before_accept": 30}
    document = json.loads(acceptfirst_process("recommend", "--store", store, "--week", "2026-W47", "--json").out)
    verdicts = {row["route"]: row["verdict"] for row in document["recommendations"]}
    assert verdicts == {"/ws/bug": "code_fix", "/ws/chat": "gate"}
    assert document["window"]["week"] == "2026-W47"
    proposed = acceptfirst_process(
        "policy", "propose", "--store", store, "--environment", "prod", "--output", "policy.toml"
    )
    assert proposed.code == 0
    route = tomllib.loads((tmp_path / "policy.toml").read_text())["production"]["routes"]["/ws/chat"]
    assert (route["readiness_mode"], route["gate"]) == ("event", "hold")
    shown = json.loads(acceptfirst_process("policy", "show", "policy.toml", "--json").out)
    assert shown["policies"]["production"]["routes"]["/ws/chat"]["gate"] == "hold"


def test_recommend_says_not_enough_data_when_the_range_is_empty(acceptfirst: Run, store: str) -> None:
    """4, and JSON all the same."""
    ended = acceptfirst("recommend", "--store", store, "--week", "2026-W01", "--json")
    assert ended.code == 4
    assert json.loads(ended.out)["recommendations"] == []


def test_recommend_says_not_enough_data_when_a_known_environment_was_not_seen(acceptfirst: Run, store: str) -> None:
    """4, and the ones that were."""
    ended = acceptfirst("recommend", "--store", store, "--environment", "staging")
    assert ended.code == 4
    assert "(production)" in ended.err


@pytest.mark.parametrize(
    ("form", "beginning"),
    [
        ("toml", "schema_version = 1"),
        ("env", "ACCEPTFIRST_PRODUCTION_WS_CHAT_VERDICT=gate"),
        ("yaml", "schema_version: 1"),
    ],
)
def test_recommend_prints_what_can_be_applied(acceptfirst: Run, store: str, form: str, beginning: str) -> None:
    """A policy file, or shell assignments."""
    ended = acceptfirst("recommend", "--store", store, "--format", form)
    assert ended.code == 0
    assert ended.out.startswith(beginning)


def test_recommend_prints_the_same_policy_as_toml_and_yaml(acceptfirst: Run, store: str) -> None:
    """The versions are of the same day; the rest too."""
    toml, text = (acceptfirst("recommend", "--store", store, "--format", form).out for form in ("toml", "yaml"))
    assert yaml.safe_load(text) == tomllib.loads(toml)
    assert yaml.safe_load(text)["production"]["routes"]["/ws/chat"]["gate"] == "hold"


def test_recommend_prints_tabs_when_it_is_piped(acceptfirst: Run, store: str) -> None:
    """A head and a row each, nothing on standard error."""
    ended = acceptfirst("recommend", "--store", store)
    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert {len(line) for line in lines} == {10}
    assert (lines[0][0], ended.err) == ("environment", "")


@pytest.mark.parametrize(
    ("form", "beginning"), [("html", "<!doctype html>"), ("md", "# WebSocket handshakes, week 2026-W47"), ("json", "{")]
)
def test_report_is_written_to_standard_output(acceptfirst: Run, store: str, form: str, beginning: str) -> None:
    """In each form."""
    ended = acceptfirst("report", "--store", store, "--week", "2026-W47", "--format", form, "--output", "-")
    assert ended.code == 0
    assert ended.out.lstrip().startswith(beginning)


def test_report_is_written_to_a_file_whose_directory_is_made(acceptfirst: Run, store: str, tmp_path: Path) -> None:
    """And nothing on standard output."""
    ended = acceptfirst("report", "--store", store, "--output", "out/report.html")
    assert (ended.code, ended.out) == (0, "")
    assert "</html>" in (tmp_path / "out/report.html").read_text()


def test_report_fails_with_one_line_when_the_file_cannot_be_written(acceptfirst: Run, store: str) -> None:
    """A directory is no file."""
    ended = acceptfirst("report", "--store", store, "--output", ".")
    assert (ended.code, ended.err.count("\n")) == (1, 1)


def test_policy_proposes_nothing_when_nothing_can_be_applied(acceptfirst: Run, store: str) -> None:
    """Only the broken route's hours: a policy can't mend code."""
    options = ("--since", "2026-11-16T00:15:00Z", "--until", "2026-11-17")
    ended = acceptfirst("policy", "propose", "--store", store, *options)
    assert (ended.code, ended.out) == (4, "")


def test_policy_show_is_a_usage_error_when_the_file_is_none(acceptfirst: Run, tmp_path: Path) -> None:
    """It says what it expected."""
    (tmp_path / "bad.toml").write_text("gate = ")
    ended = acceptfirst("policy", "show", "bad.toml")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_verbs_ask_a_running_serve(acceptfirst: Run, serve_url: str) -> None:
    """The same questions over HTTP, and the recommendation is remembered there."""
    found = json.loads(acceptfirst("classify", "--url", serve_url, "--json").out)
    assert found["patterns"] == {"receive_before_accept": 30}
    document = json.loads(acceptfirst("recommend", "--url", serve_url, "--json").out)
    assert {row["verdict"] for row in document["recommendations"]} == {"code_fix", "gate"}
    assert "</html>" in acceptfirst("report", "--url", serve_url, "--output", "-").out
    stored = httpx.get(f"{serve_url}/api/v1/recommendations", trust_env=False).json()["recommendations"]
    assert {(row["route"], row["verdict"]) for row in stored} == {("/ws/chat", "gate"), ("/ws/bug", "code_fix")}


def test_serve_gives_the_weekly_report(serve_url: str) -> None:
    """As the file itself."""
    parameters = {"week": "2026-W47", "format": "html"}
    answer = httpx.get(f"{serve_url}/api/v1/reports/weekly", params=parameters, timeout=60, trust_env=False)
    assert answer.headers["content-type"].startswith("text/html")
    assert "week 2026-W47" in answer.text


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"environment": "prodd"}, 400),
        ({"week": "W47"}, 400),
        ({"slo": "a lot"}, 400),
        ({"unknown": 1}, 400),
        ({"environment": "staging"}, 409),
    ],
)
def test_serve_refuses_a_job_that_makes_no_sense(serve_url: str, asked: dict[str, Any], status: int) -> None:
    """With a message, and it goes on serving."""
    answer = httpx.post(f"{serve_url}/api/v1/jobs/recommend", json=asked, timeout=60, trust_env=False)
    assert answer.status_code == status
    assert "expected" in answer.json()["message"]


def test_verb_says_usage_when_serve_refuses_the_question(acceptfirst: Run, serve_url: str) -> None:
    """The same exit codes as with a store."""
    assert acceptfirst("recommend", "--url", serve_url, "--environment", "staging").code == 4


def test_verify_says_not_enough_data_when_no_setting_changed(acceptfirst: Run, store: str) -> None:
    """4, one line, and JSON all the same."""
    ended = acceptfirst("verify", "--store", store, "--json")
    assert (ended.code, json.loads(ended.out)["changes"]) == (4, [])
    assert "no setting changed" in ended.err


@pytest.mark.parametrize(("early", "code"), [(0, 0), (180, 3)])
def test_verify_says_whether_the_change_worked(
    acceptfirst_process: Run, changed_store: Callable[[int], str], early: int, code: int
) -> None:
    """0 when it did, 3 when it became worse; the table names both settings."""
    ended = acceptfirst_process("verify", "--store", changed_store(early), "--environment", "production")
    head, row = (line.split("\t") for line in ended.out.splitlines())
    assert (ended.code, row[head.index("effect")]) == (code, "worse" if code else "worked")
    assert (row[head.index("late before")], row[head.index("late after")]) == ("60 of 200", f"{early} of 200")


@pytest.mark.parametrize(("job", "key"), [("drift", "deploys"), ("value", "weeks")])
def test_serve_answers_what_the_report_asks(serve_url: str, job: str, key: str) -> None:
    """What drifts, and what it meant for users: a document each."""
    question = {"week": "2026-W47", "environment": "production"}
    answer = httpx.post(f"{serve_url}/api/v1/jobs/{job}", json=question, timeout=100, trust_env=False)
    assert (answer.status_code, answer.json()["schema_version"]) == (200, 1)
    assert key in answer.json()


def test_verify_asks_a_running_serve(acceptfirst: Run, serve_url: str) -> None:
    """The same answer over HTTP."""
    ended = acceptfirst("verify", "--url", serve_url, "--json")
    assert (ended.code, json.loads(ended.out)["changes"]) == (4, [])


def test_classify_is_a_usage_error_when_a_pattern_is_no_regular_expression(
    acceptfirst: Run, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hand-edited catalogue: the file, the line and what is wrong, before the store is opened."""
    (tmp_path / "own.toml").write_text(
        'schema_version = 1\n[[pattern]]\nnumber = 900\nname = "own_race"\nseverity = "warning"\ntitle = "t"\n'
        'cause = "c"\nremedy = "r"\ndelay_helps = "useless"\nfixed_by = "code"\n[[pattern.match]]\nsignature = "C(A"\n'
    )
    monkeypatch.setenv("ACCEPTFIRST_PATTERNS", str(tmp_path / "own.toml"))
    ended = acceptfirst("classify", "--store", store)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "own.toml" in ended.err
    assert "own_race" in ended.err


def test_classify_says_that_nothing_is_there_when_the_store_is_empty(acceptfirst: Run, tmp_path: Path) -> None:
    """No handshakes is an answer, not a failure."""
    dsn = f"chdb://{tmp_path}/db"
    acceptfirst("simulate", "--connections", "0", "--store", dsn)
    ended = acceptfirst("classify", "--store", dsn, "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "schema_version": 1,
        "connections": 0,
        "occurrences": 0,
        "patterns": {},
        "unclassified": [],
    }
