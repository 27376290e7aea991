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
from acceptfirst_analysis.examples import code_fixes
from acceptfirst_analysis.report.cells import cell
from acceptfirst_analysis.report.model import SCHEMA_VERSION, Report
from acceptfirst_store.statements import statement

HTML_BYTES_MAX: Final = 300_000
MARKDOWN_CHARACTERS_MAX: Final = 65_536
ROWS_SHOWN_MAX: Final = 60
FIGURES_SHOWN_MAX: Final = 12

PARTS: Final = (
    "verdicts",
    "changes",
    "comparisons",
    "value",
    "patterns",
    "distributions",
    "recommendations",
    "alerts",
    "quality",
    "method",
)
"""Of the HTML, in reading order. Each is drawn by itself: one that fails says so, and the others still stand."""

MARKDOWN_PARTS: Final = ("verdicts", "changes", "comparisons", "patterns", "distributions", "appendix")
STATEMENTS: Final = (
    "handshake_summary",
    "readiness_times",
    "pattern_counts",
    "handshake_timelines",
    "handshake_quality",
)
"""What the report was read with; it shows them, so that anybody can do the same."""


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
    if len(page.encode()) > HTML_BYTES_MAX:
        page = _html(report, figures=FIGURES_SHOWN_MAX // 3, rows=ROWS_SHOWN_MAX // 4, data=None)
    return page


def _html(report: Report, *, figures: int, rows: int, data: dict[str, Any] | None) -> str:
    style = rendering.style("report.css")
    script = rendering.source("report.js")
    values = {
        "report": report,
        "figures_shown": figures,
        "rows_shown": rows,
        "code": code_fixes(),
        "statements": {name: statement(name) for name in STATEMENTS},
    }
    return (
        rendering.templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            parts={name: rendering.part(f"report_{name}.html.j2", values) for name in PARTS},
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
        values = {"report": report, "rows_shown": rows}
        parts = {name: _markdown_part(name, values) for name in MARKDOWN_PARTS}
        text = rendering.templates().get_template("report.md.j2").render(report=report, parts=parts)
        if len(text) < MARKDOWN_CHARACTERS_MAX:
            return text
    return text[: MARKDOWN_CHARACTERS_MAX - 64].rsplit("\n", 1)[0] + "\n\n(cut: too long for a comment)\n"


def _markdown_part(name: str, values: dict[str, Any]) -> str:
    try:
        return rendering.templates().get_template(f"report_{name}.md.j2").render(values)
    except Exception as error:  # the same as in rendering.guarded: the rest is still worth reading  # noqa: BLE001
        rendering.logger.warning("%s can't be drawn", name, exc_info=error)
        return f"_This part cannot be drawn ({name}): {cell(f'{type(error).__name__}: {error}')}_\n"


def _inert_json(data: dict[str, Any]) -> str:
    """JSON that can't close the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
