"""Which connection's code runs now: a context variable, so that tasks which that code starts inherit it.

Set by the middleware around the application where somebody has asked for it, read by ``acceptfirst.logs``.
OpenTelemetry's own context is left alone: what the application traces, and what baggage it carries, is the same with
and without us.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from acceptfirst.connection import Connection

_running: Final[ContextVar[Connection | None]] = ContextVar("acceptfirst_connection", default=None)

is_asked_for = False
"""Whether anybody wants to know: a context that holds a variable takes memory for as long as the connection is open."""


def ask() -> None:
    """Know it of every connection that begins from now on."""
    global is_asked_for  # noqa: PLW0603 - the process's own, like its loggers
    is_asked_for = True


enter: Final = _running.set
"""Says that this connection's code runs from here on. Whoever says so keeps what ran around it (``running``) and enters
that again at the end: a ``Token`` would say the same, and be kept for as long as the connection is open."""

running: Final = _running.get
"""The connection whose code runs now, ``None`` outside of any."""
