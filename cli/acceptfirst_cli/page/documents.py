"""Pages and what they load as responses: what the browser may do with them is said here, once."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from acceptfirst_analysis.page import render

ASSET_SECONDS: Final = 31_536_000  # a year: its address changes with it
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def document(html: str, status: int = 200) -> Response:
    """An HTML page that loads nothing from elsewhere, runs no script in itself and is kept by nobody."""
    # A lone half of a character can't be encoded; the store gives none, a template's argument might.
    body = html.encode("utf-8", "replace")
    return Response(body, status, {**HEADERS, "Cache-Control": "no-store"}, "text/html")


def asset(name: str) -> Response:
    """The style sheet or the script; the same for everybody, and no secret."""
    if name not in render.ASSETS:
        return Response("no such file", 404, media_type="text/plain")
    headers = {**HEADERS, "Cache-Control": f"public, max-age={ASSET_SECONDS}, immutable"}
    return Response(render.asset(name), headers=headers, media_type=render.ASSETS[name])


def report_file(text: str, media_type: str) -> Response:
    """A report as the file that it is: it brings its own policy, and is kept apart from this origin besides."""
    policy = "sandbox allow-scripts; frame-ancestors 'none'"
    headers = {**HEADERS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return Response(text, headers=headers, media_type=media_type)
