"""Which connection's code runs now: a context variable, so that tasks which that code starts inherit it.

Set by the middleware around the application, read by ``acceptfirst.logs``. OpenTelemetry's own context is left alone:
what the application traces, and what baggage it carries, is the same with and without us.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Final

from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe

_running: Final[ContextVar[Connection | None]] = ContextVar("acceptfirst_connection", default=None)

enter: Final = _running.set
"""Says that this connection's code runs from here on; gives what ``leave`` needs."""

running: Final = _running.get
"""The connection whose code runs now, ``None`` outside of any."""


@failsafe
def leave(token: Token[Connection | None]) -> None:
    """Says that it runs no longer; a server that steps one coroutine in several contexts is not our affair."""
    _running.reset(token)
