"""The server's protocol with the time-outs that it lacks: for a request's head, and for an answer that nobody reads.

A connection that is late is closed without an answer. A 408 would be one, and clients must not send again what got a
408; upon a closed connection they do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_SECONDS_MAX = 10.0
UNREAD_SECONDS_MAX = 30.0


class PunctualProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen when the server is imported
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the rest of a later request's head, with its first byte."""
        super().data_received(data)
        if self._is_between_requests():
            self._await_head()
        else:
            self._stop(self._head_timer)
            self._head_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop(self._head_timer)
        self._stop(self._unread_timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stop(self._unread_timer)
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        self._stop(self._unread_timer)
        super().resume_writing()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_between_requests() and self.transport is not None:
            self.transport.close()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
