"""Weekly reports as files: whole, listed, and nothing else is given out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from acceptfirst_cli.kept_reports import kept_report_routes, kept_reports, write_report
from acceptfirst_collector.errors_http import install_error_handlers


@pytest.fixture
def get(tmp_path: Path) -> Callable[[str], httpx.Response]:
    """Asks an application that has the routes and nothing else."""
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(kept_report_routes(tmp_path / "reports"))

    async def ask(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(path)

    return lambda path: asyncio.run(ask(path))


def test_reports_are_listed_with_the_newest_week_first(tmp_path: Path) -> None:
    """With the forms that are there; half a file and other people's files are none."""
    folder = tmp_path / "reports"
    assert kept_reports(folder) == []
    for name, form in (("2026-W46", "html"), ("2026-W47", "md"), ("2026-W47", "html")):
        write_report(folder, name, form, "text")
    (folder / ".2026-W48.html.new").write_text("half")
    (folder / "notes.txt").write_text("mine")
    rows = kept_reports(folder)
    assert [(row["week"], row["formats"]) for row in rows] == [("2026-W47", ["html", "md"]), ("2026-W46", ["html"])]


def test_report_is_given_out_as_it_was_written(tmp_path: Path, get: Callable[[str], httpx.Response]) -> None:
    """To be read in the browser."""
    write_report(tmp_path / "reports", "2026-W47", "html", "<!doctype html>ü")
    answer = get("/reports/2026-W47.html")
    assert (answer.status_code, answer.text) == (200, "<!doctype html>ü")
    assert answer.headers["content-type"].startswith("text/html")
    assert "attachment" not in answer.headers.get("content-disposition", "")


@pytest.mark.parametrize("name", ["2026-W48.html", "..%2Fserve.json", "2026-W47.html.new", "%2e%2e", "2026-W47.exe"])
def test_nothing_but_reports_is_given_out(tmp_path: Path, get: Callable[[str], httpx.Response], name: str) -> None:
    """However it is asked for."""
    (tmp_path / "serve.json").write_text("{}")
    write_report(tmp_path / "reports", "2026-W47", "html", "text")
    assert get(f"/reports/{name}").status_code == 404
