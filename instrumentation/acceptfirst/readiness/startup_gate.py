"""The start-up gate: refuses a new WebSocket while a required dependency is down, before the application sees it.

What a refusal looks like is the server's affair (ADR 0012): one that knows the denial response extension answers 503
with Retry-After; elsewhere the connection is accepted and closed with 1013, "try again later", or refused with the
server's own 403, as the user chose. It is a connection like any other in the record, rejected, with its pattern.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Literal, NamedTuple

from acceptfirst.asgi import ASGIApplication, Receive, Scope, Send
from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe
from acceptfirst.lifecycle import Trigger
from acceptfirst.readiness.monitor import DependencyMonitor
from acceptfirst.readiness.try_again_later import TRY_AGAIN_LATER, close_try_again_later

WhenUnready = Literal["observe", "reject"]
UnreadyClose = Literal["after_accept", "before_accept"]

DENIAL_EXTENSION: Final = "websocket.http.response"
REASON: Final = "try again later"
_BODY: Final = b"not ready, try again later\n"


class DownThen(NamedTuple):
    """What was down when a connection was refused; it may be up again before that is told."""

    text: str

    def describe_down(self) -> str:
        """See ``DependencyMonitor``."""
        return self.text


class StartupGate:
    """Decides who answers a new connection: the application, or a refusal.

    Args:
        monitor: knows what is down.
        when_unready: ``observe`` refuses nobody.
        unready_close: what is done where the server knows no denial response.
    """

    def __init__(self, monitor: DependencyMonitor, when_unready: WhenUnready, unready_close: UnreadyClose) -> None:
        self.monitor = monitor
        self.rejects = when_unready == "reject"
        self._unready_close = unready_close

    async def run_lifespan(self, app: ASGIApplication, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application's lifespan; one that rejects lets the server begin only when it knows what is down."""
        await self.monitor.run_lifespan(app, scope, receive, send, wait=self.rejects)

    @failsafe
    def refusal(self, connection: Connection) -> ASGIApplication | None:
        """What answers this connection in the application's place, ``None`` where the application does."""
        self.monitor.start()
        connection.dependencies = self.monitor
        if not self.rejects or not self.monitor.down():
            return None
        connection.dependencies = DownThen(self.monitor.describe_down())
        connection.error_kind = "dependency"
        return _Refusal(connection, self.monitor.retry_after_s(), self._unready_close).answer


class _Refusal:
    """Refuses one connection."""

    def __init__(self, connection: Connection, retry_after_s: int, unready_close: UnreadyClose) -> None:
        self._connection = connection
        self._retry_after_s = retry_after_s
        self._unready_close = unready_close

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application that says no.

        A client that is gone already, or a server that minds, stops it silently: the record has the failure, and there
        is nobody else to tell.
        """
        with suppress(Exception):
            if (await receive())["type"] != "websocket.connect":
                return
            if DENIAL_EXTENSION in (scope.get("extensions") or {}):
                await self._deny(send)
            elif self._unready_close == "before_accept":
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": REASON})
            else:
                await self._close_after_accept(send)
        if self._connection.close_initiator != "client":
            self._connection.close_initiator = "server"  # not the application, which never saw it

    async def _deny(self, send: Send) -> None:
        headers = [
            (b"retry-after", str(self._retry_after_s).encode()),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(_BODY)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": _BODY})

    async def _close_after_accept(self, send: Send) -> None:
        await send({"type": "websocket.accept"})
        # At once, so that no readiness of any mode comes between the two.
        self._connection.closed_for_the_application(TRY_AGAIN_LATER, Trigger.CLOSE)
        self._connection.close_code = await close_try_again_later(send, REASON)
