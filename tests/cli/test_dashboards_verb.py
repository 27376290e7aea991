"""``acceptfirst dashboards``: what it writes, and that it finds what is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_cli.errors import ExitCode


def test_export_writes_what_check_finds_right(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """Three boards, the rules and the provisioning."""
    written = json.loads(acceptfirst("dashboards", "export", "--output", str(tmp_path / "g"), "--json").out)
    assert (written["schema_version"], len(written["files"])) == (1, 6)
    assert acceptfirst("dashboards", "check", str(tmp_path / "g")).code == ExitCode.OK


def test_check_finds_a_board_that_was_changed(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 3, with its name."""
    acceptfirst("dashboards", "export", "--output", str(tmp_path))
    (tmp_path / "grafana" / "acceptfirst-overview.json").write_text("{}")
    ended = acceptfirst("dashboards", "check", str(tmp_path), "--json")
    assert (ended.code, json.loads(ended.out)["differing_files"]) == (3, ["grafana/acceptfirst-overview.json"])


def test_export_puts_the_place_of_the_runbooks_into_the_rules(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """For people who read the alert elsewhere."""
    acceptfirst("dashboards", "export", "--output", str(tmp_path), "--runbook-base", "https://wiki.example/rb/")
    rules = (tmp_path / "provisioning" / "alerting" / "acceptfirst.yaml").read_text()
    assert "https://wiki.example/rb/AF-01.md" in rules
    assert acceptfirst("dashboards", "check", str(tmp_path)).code == ExitCode.FINDINGS


def test_check_asks_a_store_every_panel(acceptfirst: Callable[..., Any], store: str) -> None:
    """Twenty answers, none an error."""
    ended = acceptfirst("dashboards", "check", "--store", store, "--json")
    panels = json.loads(ended.out)["panels"]
    assert (ended.code, len(panels), [panel["error"] for panel in panels if panel["error"]]) == (0, 20, [])


def test_check_asks_a_running_serve_every_panel(acceptfirst: Callable[..., Any], serve_url: str) -> None:
    """Over its API, as the rest."""
    assert acceptfirst("dashboards", "check", "--url", serve_url).code == ExitCode.OK


def test_check_wants_something_to_check(acceptfirst: Callable[..., Any]) -> None:
    """A usage error."""
    assert acceptfirst("dashboards", "check").code == ExitCode.USAGE


@pytest.mark.parametrize("verb", ["export", "check"])
def test_folder_that_can_not_be_used_is_no_traceback(
    acceptfirst: Callable[..., Any], tmp_path: Path, verb: str
) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    option = ("--output", str(tmp_path / "file")) if verb == "export" else (str(tmp_path / "file"),)
    ended = acceptfirst("dashboards", verb, *option)
    assert ended.code == (ExitCode.FAILURE if verb == "export" else ExitCode.USAGE)
    assert "Traceback" not in ended.err


def test_check_says_when_the_folder_is_not_there(acceptfirst: Callable[..., Any], tmp_path: Path) -> None:
    """Nothing differs in a folder that nobody made; and how it is made."""
    ended = acceptfirst("dashboards", "check", str(tmp_path / "no where"))
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert f"acceptfirst dashboards export --output '{tmp_path}/no where'" in ended.err
