"""The gate before everything: where a browser may ask from, who asks, what it may do, how often; a line for changes.

Answered before any body is read. The probes are open, so that a supervisor needs no token.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acceptfirst_collector.access.limits import Places, RateLimit
from acceptfirst_collector.access.tokens import ALL_SCOPES, Token, TokenKeeper
from acceptfirst_collector.access.tokens import Scope as TokenScope
from acceptfirst_collector.errors_http import OTLP_PREFIX, error_response
from acceptfirst_collector.otlp.refusal import RefusedError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
STATEMENTS = "/api/v1/statements/"
POLICIES = "/api/v1/policy/"
API = "/api/"
_INGEST = frozenset({TokenScope.INGEST})
_READ = frozenset({TokenScope.READ})
_INGEST_OR_READ = _INGEST | _READ
_ADMIN = frozenset({TokenScope.ADMIN})
ANYBODY = Token("anybody", ALL_SCOPES, b"")
#: One line about wrong tokens a second: a guesser must not fill the disk with them.
REFUSAL_LOG_SECONDS = 1.0

logger = logging.getLogger(__name__)
audit = logging.getLogger("acceptfirst.audit")


class Admission:
    """ASGI middleware.

    Args:
        app: what is guarded.
        tokens: whom to let in; everybody, where none is set.
        rate: of each caller.
        places: for readers at a time.
        local_only: whether only names of this host are a right Host header, since nobody else can reach it: a web page
            that renames its own host to 127.0.0.1 could otherwise read what it likes.
        origins: of web pages that may ask, beside our own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: TokenKeeper,
        rate: RateLimit,
        places: Places,
        local_only: bool,
        origins: tuple[str, ...],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._rate = rate
        self._places = places
        self._local_only = local_only
        self._origins = frozenset(origins)
        self._said_at = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or say why not."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            token = self._admit(scope)
            if needed_scopes(scope["method"], scope["path"]) is _ADMIN:
                await self._audited(token, scope, receive, send)
            elif scope["path"].startswith(API) and token.name != "internal":
                with self._places.one():
                    await self._app(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except RefusedError as refusal:
            response = error_response(refusal, scope["path"], Headers(scope=scope))
            if refusal.status == 401:  # noqa: PLR2004 - the status that asks for a token
                response.headers["WWW-Authenticate"] = "Bearer"
            await response(scope, receive, send)

    def _admit(self, scope: Scope) -> Token:
        headers = Headers(scope=scope)
        self._require_own_site(headers)
        token = self._identify(headers, scope)
        self._rate.take(token.name if token is not ANYBODY else _address(scope))
        needed = needed_scopes(scope["method"], scope["path"])
        if not token.scopes & needed:
            raise RefusedError(
                403, f"expected a token with the scope {' or '.join(sorted(needed))}; this one has it not"
            )
        return token

    def _identify(self, headers: Headers, scope: Scope) -> Token:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        found = self._tokens.find(given.strip()) if scheme.lower() == "bearer" and given else None
        if found is None and self._tokens.are_required:
            self._say_refused(scope)
            raise RefusedError(401, "expected the header Authorization: Bearer <token>; give a token of the collector")
        return found or ANYBODY

    def _require_own_site(self, headers: Headers) -> None:
        """Refuse what a foreign web page makes a browser send."""
        host = headers.get("host", "")
        if self._local_only and not is_local(host):
            raise RefusedError(
                403, f"expected a Host of this machine, since only it can reach the collector; got {host[:64]!r}"
            )
        origin = headers.get("origin")
        # By host alone: whoever ends TLS before us makes the page's scheme another than ours.
        if origin is not None and urlsplit(origin).netloc != host and not {origin, "*"} & self._origins:
            raise RefusedError(403, f"the origin {origin[:64]!r} may not ask; name it with --cors-origins")

    async def _audited(self, token: Token, scope: Scope, receive: Receive, send: Send) -> None:
        """Write down who changed what, and how it ended."""
        statuses: list[int] = []

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, look)
        finally:
            what = {
                "caller": token.name,
                "address": _address(scope),
                "action": f"{scope['method']} {scope['path'][:256]}",
                "status": statuses[0] if statuses else 0,
            }
            audit.info("%(caller)s from %(address)s: %(action)s: %(status)s", what, extra={"audit": what})

    def _say_refused(self, scope: Scope) -> None:
        now = time.monotonic()
        if now - self._said_at >= REFUSAL_LOG_SECONDS:
            self._said_at = now
            logger.warning("no right token from %s", _address(scope))


def needed_scopes(method: str, path: str) -> frozenset[TokenScope]:
    """The scopes of which one suffices; what is not known to only read needs admin."""
    if path.startswith(OTLP_PREFIX):
        return _INGEST
    if path.startswith(POLICIES) and method in READING_METHODS:
        return _INGEST_OR_READ  # a backend asks for its policy with what it sends with
    if method in READING_METHODS or path.startswith(STATEMENTS):
        return _READ
    return _ADMIN


@functools.lru_cache(maxsize=1024)
def is_local(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
