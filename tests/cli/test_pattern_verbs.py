"""patterns list, show, explain and classify."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_list_names_every_pattern(acceptfirst: Run) -> None:
    """As lines and as JSON."""
    document = json.loads(acceptfirst("patterns", "list", "--json").out)
    names = [pattern["name"] for pattern in document["patterns"]]
    lines = acceptfirst("patterns", "list").out.splitlines()
    assert document["schema_version"] == 1
    assert len(names) >= 16
    assert [line.split("\t")[1] for line in lines[1:]] == names


def test_show_tells_cause_and_remedy(acceptfirst: Run) -> None:
    """And how the pattern is told."""
    out = acceptfirst("patterns", "show", "double_accept").out
    assert "Accept in one place." in out
    assert "told by\t" in out


def test_show_is_a_usage_error_when_there_is_no_such_pattern(acceptfirst: Run) -> None:
    """It says where to look."""
    ended = acceptfirst("patterns", "show", "no_such")
    assert ended.code == 2
    assert "acceptfirst patterns list" in ended.err


def test_explain_spells_out_and_names_the_cause(acceptfirst: Run) -> None:
    """Events in order, and the race."""
    document = json.loads(acceptfirst("patterns", "explain", "CAGRX!RE", "--json").out)
    assert document["events"][:2] == ["connect delivered", "accept returned"]
    assert [pattern["name"] for pattern in document["patterns"]] == ["receive_after_local_close"]


def test_explain_says_what_else_it_would_need_to_know(acceptfirst: Run) -> None:
    """Without timings an accept into the void is only possible; with them it is there."""
    possible = json.loads(acceptfirst("patterns", "explain", "CAD", "--json").out)["possible"]
    assert "accept_after_client_gone" in [entry["name"] for entry in possible]
    timings = ("--accept-ms", "600", "--dwell-ms", "3", "--close-code", "1006")
    document = json.loads(acceptfirst("patterns", "explain", "CAD", *timings, "--json").out)
    assert [pattern["name"] for pattern in document["patterns"]] == ["accept_after_client_gone"]


@pytest.mark.parametrize("signature", ["CAQ", "hello", "C!G"])
def test_explain_is_a_usage_error_when_a_letter_is_unknown(acceptfirst: Run, signature: str) -> None:
    """It says which one and where."""
    ended = acceptfirst("patterns", "explain", signature)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "at position" in ended.err


def test_classify_answers_every_line(acceptfirst: Run) -> None:
    """Signatures and objects with timings, one JSON line each."""
    lines = ["C!RE", "CAGRSD", '{"signature": "CAD", "accept_ms": 600, "dwell_ms": 3, "close_code": 1006}', ""]
    ended = acceptfirst("patterns", "classify", "--json", stdin="\n".join(lines) + "\n")
    found = [json.loads(line)["patterns"] for line in ended.out.splitlines()]
    assert ended.code == 0
    assert found == [["receive_before_accept"], [], ["accept_after_client_gone"]]


def test_classify_goes_on_when_a_line_is_bad(acceptfirst: Run) -> None:
    """Each bad line says why, the good ones are answered, and the exit code tells."""
    bad = ["Q?", '{"signature": 1}', '{"signature": "C", "who": 1}', '{"signature": "C", "close_code": "x"}', "{", "[]"]
    ended = acceptfirst("patterns", "classify", "--json", stdin="\n".join([*bad, "C!RE"]))
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 2
    assert ["error" in answer for answer in answers] == [True] * 6 + [False]
    assert "6 lines could not be read" in ended.err


OWN = """schema_version = 1
[[pattern]]
number = 101
name = "chatty_client"
severity = "warning"
title = "More than one message"
cause = "c"
remedy = "r"
delay_helps = "useless"
fixed_by = "client"
[[pattern.match]]
signature = "RSG?X"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with one pattern of a user's."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_patterns_of_a_file_are_listed_shown_and_found(acceptfirst: Run, own: Path) -> None:
    """Behind the shipped ones, by every verb."""
    listed = acceptfirst("patterns", "list", "--patterns", str(own)).out
    shown = acceptfirst("patterns", "show", "chatty_client", "--patterns", str(own)).out
    explained = json.loads(acceptfirst("patterns", "explain", "CAGRSX", "--patterns", str(own), "--json").out)
    classified = json.loads(acceptfirst("patterns", "classify", "--patterns", str(own), "--json", stdin="CAGRSX").out)
    assert listed.splitlines()[-1].split("\t")[1] == "chatty_client"
    assert "More than one message" in shown
    assert [pattern["name"] for pattern in explained["patterns"]] == classified["patterns"] == ["chatty_client"]


def test_patterns_are_those_of_the_environment_when_none_are_given(
    acceptfirst: Run, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ACCEPTFIRST_PATTERNS names the file."""
    monkeypatch.setenv("ACCEPTFIRST_PATTERNS", str(own))
    assert "chatty_client" in acceptfirst("patterns", "list").out


@pytest.mark.parametrize("verb", [("list",), ("show", "double_accept"), ("explain", "C"), ("classify",)])
def test_every_verb_tells_the_line_when_a_file_is_wrong(acceptfirst: Run, own: Path, verb: tuple[str, ...]) -> None:
    """A usage error in one line, with file, line, what was expected and what came."""
    own.write_text(OWN.replace('"warning"', "5"))
    ended = acceptfirst("patterns", *verb, "--patterns", str(own))
    assert ended.code == 2
    assert ended.err == (
        f"acceptfirst: {own}:5: pattern 1 (chatty_client): expected severity to be one of warning, critical, fatal, "
        "but got 5\n"
    )


def test_show_says_which_statement_finds_a_fleet_pattern(acceptfirst: Run) -> None:
    """No regular expression could."""
    assert "occurrences_reconnect_storm" in acceptfirst("patterns", "show", "reconnect_storm").out
