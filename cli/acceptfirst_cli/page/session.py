"""Lets a browser show the token: it is asked for once, kept here, and stands in for the header on the page's own paths.

A browser can't be told to send ``Authorization``. So whoever logs in gets a cookie with a random name for a session of
this process; on a page's path, and only there and only for reading, the session's token is put into the header that the
collector asks for. Which tokens are good is not known here: the collector behind is asked, at each request.

    no cookie, no header, a page's path --> the form
    cookie of a session                 --> the request with the session's token; where that is refused, the form
    anything else                       --> as it came
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acceptfirst_analysis.page import render
from acceptfirst_cli.page.documents import asset, document

COOKIE: Final = "acceptfirst_session"
SESSION_SECONDS_MAX: Final = 12 * 3600
SESSIONS_MAX: Final = 1000
FORM_BYTES_MAX: Final = 4096
PAGE_PATHS: Final = ("/connections/", "/patterns", "/reports", "/events")
ASSETS_PATH: Final = "/assets/"
READING: Final = frozenset({"GET", "HEAD"})
UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class _Session:
    token: str = field(repr=False)
    ends_at: float


class Sessions:
    """Who logged in; gone when the process ends. The oldest makes room where there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Session] = {}

    def begin(self, token: str) -> str:
        """Remember a token; gives the cookie's value."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._held) >= SESSIONS_MAX:
                self._held.pop(next(iter(self._held)))
            self._held[name] = _Session(token, time.monotonic() + SESSION_SECONDS_MAX)
        return name

    def token(self, name: str) -> str:
        """The token of a session, empty where there is none any more."""
        with self._lock:
            held = self._held.get(name)
            if held is None:
                return ""
            if held.ends_at < time.monotonic():
                del self._held[name]
                return ""
            return held.token

    def end(self, name: str) -> None:
        """Forget a session."""
        with self._lock:
            self._held.pop(name, None)


def is_page(path: str) -> bool:
    """Whether a path is one of the page's own, where a cookie may stand in for the header."""
    return path == "/" or path.startswith(PAGE_PATHS)


class PageSession:
    """ASGI middleware around the whole collector; does nothing where no token is asked for."""

    def __init__(self, app: ASGIApp, *, asks_token: bool) -> None:
        self._app = app
        self._asks_token = asks_token
        self._sessions = Sessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with the session's token where it has one, or ask for it."""
        if scope["type"] != "http" or not self._asks_token:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if scope["path"] in ("/login", "/logout"):
            await (await self._form(request))(scope, receive, send)
        elif scope["path"].startswith(ASSETS_PATH):  # the form is drawn with them
            await asset(scope["path"].removeprefix(ASSETS_PATH))(scope, receive, send)
        elif is_page(scope["path"]) and scope["method"] in READING and "authorization" not in request.headers:
            await self._page(request, send)
        else:
            await self._app(scope, receive, send)

    async def _page(self, request: Request, send: Send) -> None:
        token = self._sessions.token(request.cookies.get(COOKIE, ""))
        if not token:
            await self._ask(request)(request.scope, request.receive, send)
            return
        refused = False

        async def watch(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == UNAUTHORIZED:
                refused = True  # the token was taken back since
            if not refused:
                await send(message)

        await self._with_token(request.scope, request.receive, watch, token)
        if refused:
            self._sessions.end(request.cookies.get(COOKIE, ""))
            await self._ask(request)(request.scope, request.receive, send)

    def _ask(self, request: Request) -> Response:
        if request.url.path == "/events":
            return Response("log in again", UNAUTHORIZED, media_type="text/plain")
        return document(render.login(is_wrong=False), UNAUTHORIZED)

    async def _with_token(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        inner = {**scope, "headers": list(scope["headers"])}
        MutableHeaders(scope=inner)["Authorization"] = f"Bearer {token}"
        inner["state"] = {**scope.get("state", {}), "has_session": True}
        await self._app(inner, receive, send)

    async def _form(self, request: Request) -> Response:
        if request.method == "POST" and not _is_same_origin(request.headers):
            return document(render.message("Refused", "This form was sent from another page."), 403)
        if request.method == "POST" and request.url.path == "/logout":
            self._sessions.end(request.cookies.get(COOKIE, ""))
            response: Response = RedirectResponse("/", 303)
            response.delete_cookie(COOKIE, path="/")
            return response
        if request.method == "POST":
            return await self._log_in(request)
        return document(render.login(is_wrong=False))

    async def _log_in(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES_MAX:
                return document(render.login(is_wrong=True), 413)
        token = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not token.isascii() or not token.isprintable() or not await self._is_good(request, token):
            return document(render.login(is_wrong=True), UNAUTHORIZED)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self._sessions.begin(token),
            max_age=SESSION_SECONDS_MAX,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def _is_good(self, request: Request, token: str) -> bool:
        """Ask the collector, in the way that a page would."""
        status = UNAUTHORIZED

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]

        async def nothing() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        if not token:
            return False
        scope = {**request.scope, "method": "GET", "path": "/patterns", "raw_path": b"/patterns", "query_string": b""}
        scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] == b"host"]
        await self._with_token(scope, nothing, watch, token)
        return status < 400  # noqa: PLR2004 - refused, for whichever reason


def _is_same_origin(headers: Headers) -> bool:
    """What every current browser says of a form; one that says nothing is no browser, and has no cookie to abuse."""
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
