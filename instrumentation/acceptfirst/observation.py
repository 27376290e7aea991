"""What is told about connections, and to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from acceptfirst.catalogue import Pattern
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.lifecycle import Trigger

if TYPE_CHECKING:
    from acceptfirst.connection import Connection


class Transition(NamedTuple):
    """One step of the lifecycle; times are Unix nanoseconds."""

    sequence: int
    old: State
    new: State
    entered_ns: int
    left_ns: int
    trigger: Trigger


class Violation(NamedTuple):
    """A pattern that this connection showed; times are Unix nanoseconds."""

    pattern: Pattern
    caused_ns: int
    at_ns: int


class Observers(Protocol):
    """What is told about a connection. Implementations may fail: the connection goes on."""

    def opened(self, connection: Connection) -> None:
        """The server handed the connection over; it is to be attended to (``attended``) when there is a moment."""

    def moved(self, connection: Connection) -> None:
        """Transitions happened; told once until the connection is attended to."""

    def violated(self, connection: Connection, violation: Violation) -> None:
        """A pattern was found, once for each pattern and connection."""

    def finished(self, connection: Connection) -> None:
        """The application returned, or CLOSED is some seconds ago: the signature is as long as it gets."""
