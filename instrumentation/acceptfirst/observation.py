"""What is told about connections, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

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


Steps = tuple[Any, ...]
"""The transitions of a connection in one tuple, for the sake of memory: of each the state that it led to, its trigger
and its time in Unix nanoseconds. Where it began is where the one before it ended; at the longest there are five."""

STEP: Final = 3
"""How much of ``Steps`` one transition takes."""


def transitions_of(started_ns: int, steps: Steps) -> Iterator[Transition]:
    """The transitions that are written down in ``steps``, of a connection that began at this time."""
    old, entered_ns = State.INITIALIZING, started_ns
    for sequence, (new, trigger, left_ns) in enumerate(zip(steps[::STEP], steps[1::STEP], steps[2::STEP], strict=True)):
        yield Transition(sequence, old, new, entered_ns, left_ns, trigger)
        old, entered_ns = new, left_ns


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
        """Transitions happened on a connection that has been attended to; told once until it is attended to again."""

    def violated(self, connection: Connection, violation: Violation) -> None:
        """A pattern was found, once for each pattern and connection."""

    def finished(self, connection: Connection) -> None:
        """The application returned, or CLOSED is some seconds ago: the signature is as long as it gets."""
