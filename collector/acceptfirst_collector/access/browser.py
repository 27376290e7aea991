"""What a browser must be told: not to guess, not to keep, not to frame; and, where asked for, who else may ask."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CORS_HEADERS = ("Authorization", "Content-Encoding", "Content-Type", "X-Requested-With")
CORS_METHODS = ("GET", "POST")
CORS_SECONDS = 7200

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
#: A page says itself what it may load; that nobody frames it holds for all.
_OF_PAGES = (*_ALWAYS, (b"content-security-policy", b"frame-ancestors 'none'"))
_OF_DATA = (*_ALWAYS, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))


class SecurityHeaders:
    """ASGI middleware that adds what an answer does not say itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete its answer."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = dict(message["headers"])  # raw, in lower case: this runs for each request
                is_page = said.get(b"content-type", b"").startswith(b"text/html")
                missing = [pair for pair in (_OF_PAGES if is_page else _OF_DATA) if pair[0] not in said]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        await self._app(scope, receive, complete if scope["type"] == "http" else send)


class CrossOrigin(CORSMiddleware):
    """Starlette's, but a preflight of an origin that is not allowed is answered as any other request is.

    Args:
        app: what is asked.
        origins: that may ask; `*` for any. Credentials are never allowed: tokens travel in a header.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=CORS_METHODS, allow_headers=CORS_HEADERS, max_age=CORS_SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight before anybody is asked for a token: browsers send none with it."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is not None and not self.is_allowed_origin(origin):
            await self.app(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
