"""Counts what is answered on OTLP's paths, whoever answers it: a receiver, the framework or a guard before both."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acceptfirst_collector.errors_http import OTLP_PREFIX
from acceptfirst_collector.metrics import CollectorMetrics


class Metering:
    """ASGI middleware; the outermost, so that no answer passes it by."""

    def __init__(self, app: ASGIApp, metrics: CollectorMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and look at the status of its answer."""
        if scope["type"] != "http" or not scope["path"].startswith(OTLP_PREFIX) or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_answer("http", message["status"])
            await send(message)

        await self._app(scope, receive, look)
