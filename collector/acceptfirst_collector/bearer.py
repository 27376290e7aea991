"""Asks for a bearer token on everything but the probes, before any body is read."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from acceptfirst_collector.errors_http import error_response
from acceptfirst_collector.otlp.refusal import RefusedError

OPEN_PATHS = frozenset({"/healthz", "/readyz"})


class BearerToken:
    """ASGI middleware; does nothing when no token is set."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "http" and self._expected and scope["path"] not in OPEN_PATHS:
            given = Headers(scope=scope).get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                await self._refusal(scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    @staticmethod
    def _refusal(scope: Scope) -> Response:
        refusal = RefusedError(401, "expected the header Authorization: Bearer <token>; give the collector's token")
        response = error_response(refusal, scope["path"], Headers(scope=scope))
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
