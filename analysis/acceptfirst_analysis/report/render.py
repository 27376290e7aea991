"""Renders a gathered report: one HTML file that needs nothing else, Markdown for a pull request, JSON for machines.

Routes, services and close reasons were chosen by strangers: in HTML the template engine escapes all of them, in
Markdown ``cell`` does. The HTML's policy allows its own style and its own script by their hashes and nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup

from acceptfirst_analysis.report import geometry, phrases
from acceptfirst_analysis.report.model import SCHEMA_VERSION, Report
from acceptfirst_analysis.wording import milliseconds, per_cent

HTML_BYTES_MAX: Final = 300_000
MARKDOWN_CHARACTERS_MAX: Final = 65_536
ROWS_SHOWN_MAX: Final = 60
FIGURES_SHOWN_MAX: Final = 12

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_SPARKS_WIDTH_MAX: Final = 32


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
    environment = _templates()
    style = _source("report.css")
    script = _source("report.js")
    return environment.get_template("report.html.j2").render(
        report=report,
        figures_shown=figures,
        rows_shown=rows,
        data=None if data is None else Markup(_inert_json(data)),  # noqa: S704 - made inert by _inert_json
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def render_markdown(report: Report) -> str:
    """The report as GitHub-flavoured Markdown that fits into a comment."""
    for rows in (ROWS_SHOWN_MAX, 20, 5):
        text = _templates().get_template("report.md.j2").render(report=report, rows_shown=rows)
        if len(text) < MARKDOWN_CHARACTERS_MAX:
            return text
    return text[: MARKDOWN_CHARACTERS_MAX - 64].rsplit("\n", 1)[0] + "\n\n(cut: too long for a comment)\n"


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("acceptfirst_analysis.report", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ms": milliseconds,
        "per_cent": per_cent,
        "count": phrases.count,
        "delay_text": phrases.delay_text,
        "segments": geometry.segments,
        "histogram": geometry.histogram,
        "duration": geometry.duration_text,
        "cell": cell,
        "spark": spark,
        "p_value": phrases.p_value,
    }
    environment.globals |= {
        "glyphs": phrases.GLYPHS,
        "status_words": phrases.STATUS_WORDS,
        "verdict_words": phrases.VERDICT_WORDS,
        "width": geometry.WIDTH,
    }
    return environment


def cell(text: object) -> str:
    """Text for a cell of a Markdown table: on one line, without anything that Markdown or HTML would act on."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]|<>#~" else "&amp;" if c == "&" else c for c in flat)


def spark(counts: tuple[int, ...]) -> str:
    """A histogram as a line of blocks, its bins joined until it is short enough."""
    values = list(counts)
    while len(values) > _SPARKS_WIDTH_MAX:
        values = [sum(values[i : i + 2]) for i in range(0, len(values), 2)]
    tallest = max(values, default=0) or 1
    return "".join(_SPARKS[min(len(_SPARKS) - 1, -(-value * (len(_SPARKS) - 1) // tallest))] for value in values)


def _source(name: str) -> str:
    loader = _templates().loader
    if loader is None:  # pragma: no cover - we set it above; this is for the type checker
        raise RuntimeError("the templates have no loader")
    return loader.get_source(_templates(), name)[0]


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _inert_json(data: dict[str, Any]) -> str:
    """JSON that can't close the element it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
