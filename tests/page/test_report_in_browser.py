"""The report as a file in a real browser: readable by everybody, on paper too, and quiet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PDF_PAGES_MAX = 40


@pytest.fixture(scope="module")
def report_file(collector: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of what the collector holds, hostile names included, as a file."""
    attack = "<script>window.owned=1</script>" + "w" * 300
    for _ in range(25):
        collector.handshake(route=f"/ws/{attack}", service=attack, environment="\u202eevil", signature="C!RE")
    collector.settle(collector.handshake(route="/ws/last"))
    for job in ("classify", "recommend"):
        collector.client.post(f"{collector.url}/api/v1/jobs/{job}", timeout=100)
    answer = collector.client.post(f"{collector.url}/api/v1/jobs/report", json={"format": "html"}, timeout=100)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(answer.json()["text"])
    return path


def test_axe_finds_nothing_in_the_report(
    report_file: Path, open_page: Any, accessibility_problems: Callable[[Any], list[str]]
) -> None:
    """With everything unfolded, light and dark."""
    page = open_page(report_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert accessibility_problems(page) == []


def test_report_fits_when_the_window_is_narrow(report_file: Path, open_page: Any) -> None:
    """Wide tables and figures scroll by themselves."""
    page = open_page(report_file.as_uri(), width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_report_loads_nothing_and_complains_about_nothing(report_file: Path, open_page: Any) -> None:
    """One request: the file itself."""
    page = open_page("about:blank")
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report_file.as_uri(), wait_until="load")
    assert (asked, complaints) == ([report_file.as_uri()], [])


def test_report_prints(report_file: Path, open_page: Any) -> None:
    """On A4, in light colours whatever the screen has, on a reasonable number of sheets."""
    page = open_page(report_file.as_uri())
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    pdf = page.pdf(prefer_css_page_size=True)
    pages = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type /Page")
    assert 1 <= pages <= PDF_PAGES_MAX
