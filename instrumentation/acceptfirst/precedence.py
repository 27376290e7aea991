"""Which of several middlewares around one application observes a connection.

The outermost does, since it saw the connection first; an inner one finds its record in the scope and keeps out. But one
that was put there automatically gives way to one that the application's author put inside of it, whose options are the
better ones, as long as nothing has happened on the connection yet (ADR 0010).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from acceptfirst.asgi import Scope
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.observation import Violation


def is_observed(scope: Scope) -> bool:
    """Whether an outer middleware observes this connection and keeps it; an automatic one is made to give way."""
    record = scope.get(SCOPE_KEY)
    if record is None:
        return False
    if not getattr(record.keeper, "automatic", False) or not _is_untouched(record):
        return True
    _withdraw(record)
    return False


def _is_untouched(record: Connection) -> bool:
    return record.state is State.INITIALIZING and not record.asgi_calls and not record.signature


def _withdraw(record: Connection) -> None:
    """From now on this record is nobody's: it tells nothing and holds nothing back."""
    withdrawn: Any = getattr(record.observers, "withdrawn", None)
    if withdrawn is not None:
        withdrawn(record)
    record.observers = _NOBODY
    record.policy = replace(record.policy, routes={})  # a route's own policy could bring a gate of its own back
    record.readiness_mode, record.gate_mode = "auto", "observe"


class _Nobody:
    """Observers that hear nothing."""

    def opened(self, connection: Connection) -> None:
        """See ``Observers``."""

    def moved(self, connection: Connection) -> None:
        """See ``Observers``."""

    def violated(self, connection: Connection, violation: Violation) -> None:
        """See ``Observers``."""

    def finished(self, connection: Connection) -> None:
        """See ``Observers``."""


_NOBODY: Final = _Nobody()
