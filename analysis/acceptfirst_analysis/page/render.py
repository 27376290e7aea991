"""Draws the live page's documents. Each is a whole page without any script; the script only keeps it fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from markupsafe import Markup

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis import rendering
from acceptfirst_analysis.examples import code_fixes
from acceptfirst_analysis.page.board import Part
from acceptfirst_analysis.page.model import Connection, EnvironmentSeen, PatternSeen

ASSETS: Final[dict[str, str]] = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
"""What a page loads, from the same origin alone."""

BARE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>AcceptFirst</title></head><body><main>'
    "<h1>AcceptFirst</h1><p>This page cannot be drawn; the log of the collector says why. What is stored can be read "
    "at <code>/api/v1/handshakes</code>.</p></main></body></html>"
)


@cache
def asset(name: str) -> str:
    """The text of one of ``ASSETS``."""
    return rendering.style(name) if name.endswith(".css") else rendering.source(name)


@cache
def asset_version() -> str:
    """Changes with what the assets hold, so that a browser keeps no old ones."""
    return hashlib.blake2b("".join(map(asset, ASSETS)).encode(), digest_size=6).hexdigest()


def home(
    parts: Mapping[str, Part],
    environments: Sequence[EnvironmentSeen],
    environment: str,
    *,
    address: str,
    is_paused: bool,
    has_session: bool,
    racing_only: bool = False,
) -> str:
    """The live page.

    Args:
        parts: of the board.
        environments: to choose from.
        environment: that is shown; empty for all.
        address: where applications send their spans.
        is_paused: whether it should not reload itself where there is no script.
        has_session: whether somebody logged in and can log out.
        racing_only: whether lanes are shown of those alone that raced.
    """
    return _page(
        "home.html.j2",
        title=f"{environment or 'AcceptFirst'}: live",
        parts=parts,
        environments=environments,
        environment=environment,
        address=address,
        is_paused=is_paused,
        racing_only=racing_only,
        has_session=has_session,
    )


def connection(found: Connection, *, has_session: bool) -> str:
    """A connection's page."""
    return _page(
        "connection.html.j2",
        title=f"Connection {found.connection}",
        c=found,
        code=code_fixes(),
        has_session=has_session,
    )


def patterns(catalogue: Catalogue, counts: Mapping[str, int], *, has_session: bool) -> str:
    """All races that can be named, with how many connections showed each within a day."""
    return _page("patterns.html.j2", title="Races", catalogue=catalogue, counts=counts, has_session=has_session)


def pattern(seen: PatternSeen, environment: str, *, has_session: bool) -> str:
    """A race's page."""
    values = {"seen": seen, "p": seen.pattern, "environment": environment, "has_session": has_session}
    return _page("pattern.html.j2", title=seen.pattern.title, code=code_fixes().get(seen.pattern.name), **values)


def reports(kept: Sequence[Mapping[str, Any]], *, has_session: bool) -> str:
    """The weekly reports that are kept."""
    return _page("reports.html.j2", title="Weekly reports", kept=kept, has_session=has_session)


def login(*, is_wrong: bool) -> str:
    """Asks for the collector's token."""
    return _page("login.html.j2", title="AcceptFirst: token", is_wrong=is_wrong, has_session=False)


def message(title: str, text: str, *, has_session: bool = False) -> str:
    """Says in words what is the matter."""
    return _page("message.html.j2", title=title, text=text, has_session=has_session)


def _page(template: str, **values: Any) -> str:
    def draw() -> Markup:
        engine = rendering.templates()
        return Markup(engine.get_template(template).render(version=asset_version(), **values))  # noqa: S704 - escaped by the engine

    drawn = rendering.guarded(template, draw)
    return str(drawn) if drawn.lstrip().startswith("<!doctype") else BARE
