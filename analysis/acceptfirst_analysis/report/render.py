"""Renders a gathered report: one HTML file that needs nothing else, Markdown for a pull request, JSON for machines.

Routes, services and close reasons were chosen by strangers: in HTML the template engine escapes all of them, in
Markdown ``cell`` does. The HTML's policy allows its own style and its own script by their hashes and nothing more.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from markupsafe import Markup

from acceptfirst_analysis import rendering
from acceptfirst_analysis.report.model import SCHEMA_VERSION, Report

HTML_BYTES_MAX: Final = 300_000
MARKDOWN_CHARACTERS_MAX: Final = 65_536
ROWS_SHOWN_MAX: Final = 60
FIGURES_SHOWN_MAX: Final = 12


def to_document(report: Report) -> dict[str, Any]:
    """The report as JSON carries it."""
    return {
        "schema_version": SCHEMA_VERSION,
        **asdict(report),
        "recommendations": [row.to_row() for row in report.recommendations],
    }


def render_json(report: Report) -> str:
    """The report as indented JSON."""
    return json.dumps(to_document(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(report: Report) -> str:
    """The report as one HTML file of at most ``HTML_BYTES_MAX`` bytes, which asks the network for nothing."""
    page = _html(report, figures=FIGURES_SHOWN_MAX, rows=ROWS_SHOWN_MAX, data=to_document(report))
    if len(page.encode()) > HTML_BYTES_MAX:
        page = _html(report, figures=FIGURES_SHOWN_MAX, rows=ROWS_SHOWN_MAX, data=None)
    return page


def _html(report: Report, *, figures: int, rows: int, data: dict[str, Any] | None) -> str:
    style = rendering.style("report.css")
    script = rendering.source("report.js")
    return (
        rendering.templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            figures_shown=figures,
            rows_shown=rows,
            data=None if data is None else Markup(_inert_json(data)),  # noqa: S704 - made inert by _inert_json
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=rendering.content_hash(style),
            script_hash=rendering.content_hash(script),
        )
    )


def render_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown that fits into a comment."""
    for rows in (ROWS_SHOWN_MAX, 20, 5):
        text = rendering.templates().get_template("report.md.j2").render(report=report, rows_shown=rows)
        if len(text) < MARKDOWN_CHARACTERS_MAX:
            return text
    return text[: MARKDOWN_CHARACTERS_MAX - 64].rsplit("\n", 1)[0] + "\n\n(cut: too long for a comment)\n"


def _inert_json(data: dict[str, Any]) -> str:
    """JSON that can't close the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
