"""Weekly reports are kept in the data directory, listed by the API, and read in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from acceptfirst_cli.jobs.kept_reports import ReportShelf


def ask(serve_url: str, path: str, **options: Any) -> httpx.Response:
    """Ask a serve."""
    return httpx.get(serve_url + path, timeout=90, trust_env=False, **options)


@pytest.fixture(scope="module")
def kept(serve_url: str) -> str:
    """A serve that was asked for the report of a complete week."""
    answer = httpx.post(f"{serve_url}/api/v1/jobs/report", json={"week": "2026-W47"}, timeout=90, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"schema_version", "format", "week", "text"}
    return serve_url


def test_weekly_reports_are_listed_with_the_newest_document(kept: str) -> None:
    """JSON with a schema's version."""
    document = ask(kept, "/api/v1/reports/weekly").json()
    assert document["schema_version"] == 1
    assert document["reports"][0]["week"] == "2026-W47"
    assert document["reports"][0]["formats"] == ["html", "md", "json", "email"]
    assert document["newest"]["window"]["week"] == "2026-W47"


@pytest.mark.parametrize(
    ("form", "media_type", "beginning"),
    [
        ("html", "text/html", "<!doctype html>"),
        ("md", "text/markdown", "# WebSocket"),
        ("json", "application/json", "{"),
        ("email", "message/rfc822", "Subject: [AcceptFirst] W47"),
    ],
)
def test_kept_report_is_given_in_each_form(kept: str, form: str, media_type: str, beginning: str) -> None:
    """As the file that it is."""
    answer = ask(kept, "/api/v1/reports/weekly", params={"week": "2026-W47", "format": form})
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.text.lstrip().startswith(beginning)


def test_kept_report_can_be_read_on_the_page(kept: str) -> None:
    """Listed, and shown under a policy of its own: it is a file, not a part of the page."""
    assert 'href="/reports/2026-W47.html"' in ask(kept, "/reports").text
    answer = ask(kept, "/reports/2026-W47.html")
    assert "<h1>WebSocket handshakes, week 2026-W47</h1>" in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize("file", ["2026-W46.html", "..%2f..%2fserve.json", "2026-W47.eml", "x", "2026-W47.html.new"])
def test_report_that_is_not_kept_is_answered_with_a_page(kept: str, file: str) -> None:
    """404, and nothing but reports is ever read."""
    assert ask(kept, f"/reports/{file}").status_code == 404


def test_report_of_a_running_week_is_not_kept(kept: str) -> None:
    """It would be another one tomorrow."""
    answer = ask(kept, "/api/v1/reports/weekly", params={"week": "2199-W02", "format": "md"})
    assert answer.status_code in (200, 400)
    weeks = {row["week"] for row in ask(kept, "/api/v1/reports/weekly").json()["reports"]}
    assert weeks == {"2026-W47"}


def test_weekly_report_is_refused_when_the_week_is_none(kept: str) -> None:
    """In words."""
    answer = ask(kept, "/api/v1/reports/weekly", params={"week": "47"})
    assert (answer.status_code, "2026-W47" in answer.json()["message"]) == (400, True)


def test_shelf_lists_the_newest_week_first_and_ignores_strangers(tmp_path: Path) -> None:
    """Files that somebody put there are theirs."""
    shelf = ReportShelf(tmp_path / "reports")
    assert shelf.reports() == []
    for week, environment in (("2026-W09", ""), ("2026-W47", "production"), ("2026-W47", "")):
        shelf.keep(week, environment, {"json": json.dumps({"week": week})})
    (tmp_path / "reports" / "notes.txt").write_text("mine")
    assert [report.name for report in shelf.reports()] == ["2026-W47", "2026-W47.production", "2026-W09"]


def test_shelf_replaces_a_report_whole(tmp_path: Path) -> None:
    """Made again, there is one; no half of a file is ever seen under its name."""
    shelf = ReportShelf(tmp_path / "reports")
    for text in ("first", "second"):
        shelf.keep("2026-W47", "", {"md": text})
    assert shelf.read("2026-W47", "md") == "second"
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["2026-W47.md"]


@pytest.mark.parametrize("name", ["../serve", "2026-W47/..", "", "2026-W47.PRODUCTION", "2026-W47\n"])
def test_shelf_reads_nothing_but_reports(tmp_path: Path, name: str) -> None:
    """Whatever a path says."""
    (tmp_path / "serve.json").write_text("{}")
    assert ReportShelf(tmp_path / "reports").read(name, "json") is None
