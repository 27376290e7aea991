"""Whoever wants to be told about every connection of this process, whichever application instrumented it.

A test run watches in this way: it sees the applications that instrument themselves as well as its own.
"""

from __future__ import annotations

from typing import Protocol

from acceptfirst.connection import Connection
from acceptfirst.observation import Violation


class Watcher(Protocol):
    """Told in the application's path, by whichever thread runs it: it must be quick, and may fail."""

    def opened(self, connection: Connection) -> None:
        """A server handed a connection over."""

    def violated(self, connection: Connection, violation: Violation) -> None:
        """A connection showed a pattern."""


watching: tuple[Watcher, ...] = ()
"""Those that are told now; replaced as a whole, since other threads go through it meanwhile."""


def add_watcher(watcher: Watcher) -> None:
    """Tell it from now on."""
    global watching  # noqa: PLW0603 - the process's own, like its loggers
    watching = (*watching, watcher)


def remove_watcher(watcher: Watcher) -> None:
    """Tell it no more; harmless where it was not told."""
    global watching  # noqa: PLW0603 - as above
    watching = tuple(other for other in watching if other is not watcher)
