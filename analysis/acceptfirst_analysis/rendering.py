"""What the report and the live page are drawn with: one set of templates, words, figures and colours.

Both show strings that strangers chose (routes, services, close reasons), so escaping is on and ``told`` makes visible
what a reader would not see. Loads no statistics: the live page is drawn in the collector's process.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup

from acceptfirst_analysis.report import geometry, phrases
from acceptfirst_analysis.report.cells import cell, spark
from acceptfirst_analysis.units import count, duration, elapsed, milliseconds, per_cent

TEXT_SHOWN_MAX: Final = 200
ERROR_SHOWN_MAX: Final = 300

logger = logging.getLogger(__name__)


def told(text: object, length_max: int = TEXT_SHOWN_MAX) -> str:
    """A stranger's text as a person can read it: cut, and with every invisible character spelled out.

    Right-to-left letters stay as they are (the templates isolate them); overrides, joiners and controls, with which one
    name can pass for another, become ``⟨U+202E⟩``.
    """
    given = str(text)
    shown = "".join(_visible(character) for character in given[:length_max])
    return f"{shown}… ({len(given):,} characters)" if len(given) > length_max else shown


def breakable(text: str) -> Markup:
    """A path or a name with underscores that a narrow column may break where a reader would."""
    escaped = str(Markup.escape(text))
    return Markup(escaped.replace("/", "/<wbr>").replace("_", "_<wbr>"))  # noqa: S704 - escaped in the line above


def _visible(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return f"⟨U+{ord(character):04X}⟩"
    return character


@cache
def templates() -> jinja2.Environment:
    """The engine: HTML is escaped, a name that is not there is an error, filters are those of both surfaces."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(f"acceptfirst_analysis.{folder}", "templates") for folder in ("report", "page")]
        ),
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "told": told,
        "breakable": breakable,
        "ms": milliseconds,
        "per_cent": per_cent,
        "count": count,
        "duration": duration,
        "elapsed": elapsed,
        "delay_text": phrases.delay_text,
        "segments": geometry.segments,
        "histogram": geometry.histogram,
        "p_value": phrases.p_value,
        "cell": cell,
        "spark": spark,
    }
    environment.globals |= {
        "glyphs": phrases.GLYPHS,
        "status_words": phrases.STATUS_WORDS,
        "verdict_words": phrases.VERDICT_WORDS,
        "width": geometry.WIDTH,
    }
    return environment


@cache
def source(name: str) -> str:
    """The text of a file among the templates, as it is."""
    loader = templates().loader
    if loader is None:  # pragma: no cover - we set it above; this is for the type checker
        raise RuntimeError("the templates have no loader")
    return loader.get_source(templates(), name)[0]


@cache
def style(name: str) -> str:
    """A style sheet with the colours and rules that all surfaces share before its own."""
    return source("base.css") + source(name)


def content_hash(text: str) -> str:
    """How a Content-Security-Policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def part(name: str, values: Mapping[str, Any]) -> Markup:
    """One part of a surface; where it can't be drawn, a notice that says so, since the others still can.

    Args:
        name: of its template.
        values: what the template is given.
    """
    return guarded(name, lambda: Markup(templates().get_template(name).render(values)))  # noqa: S704 - escaped by the engine


def guarded(name: str, draw: Callable[[], Markup]) -> Markup:
    """What ``draw`` gives, else a notice. A user's template, a value that no test thought of: the page still stands."""
    try:
        return draw()
    except Exception as error:  # whatever it is, the reader wants the rest of the page
        logger.warning("%s can't be drawn", name, exc_info=error)
        what = told(f"{type(error).__name__}: {error}", ERROR_SHOWN_MAX)
        return notice(name.removesuffix(".html.j2"), what)


def notice(name: str, what: str) -> Markup:
    """What stands in the place of a part that can't be drawn."""
    return Markup('<p class="notice failed" role="note">This part cannot be drawn ({}): {}</p>').format(name, what)
