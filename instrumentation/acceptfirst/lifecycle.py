"""The lifecycle of one WebSocket connection, as a literal table.

Rule 1: every transition that can happen stands in ``ALLOWED_TRANSITIONS``; there is no other place.
Rule 2: this file does not know who asks. Clocks, spans and ASGI live elsewhere; a refused transition changes nothing.

Diagrams and documentation are made from the table, so a state or an arrow that is missing here is missing everywhere.
"""

from __future__ import annotations

import enum
from typing import Final


class ApplicationConnectionState(enum.StrEnum):
    """Where a connection stands, as the application sees it. The value is the name that spans and tables carry."""

    INITIALIZING = "INITIALIZING"
    HANDSHAKE_PENDING = "HANDSHAKE_PENDING"
    CONNECTED = "CONNECTED"
    READY_FOR_MESSAGES = "READY_FOR_MESSAGES"
    ERROR = "ERROR"
    CLOSED = "CLOSED"

    __hash__ = str.__hash__  # an enum's own hash is written in Python; this one is looked up with every transition

    @property
    def is_ready_for_messages(self) -> bool:
        """Whether a client message may be handled now."""
        return self is ApplicationConnectionState.READY_FOR_MESSAGES

    @property
    def is_operational(self) -> bool:
        """Whether accept returned and nothing has ended the connection yet."""
        return self in _OPERATIONAL

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return not ALLOWED_TRANSITIONS[self]


class Trigger(enum.StrEnum):
    """What moved a connection from one state to the next: the values of ``acceptfirst.transition.trigger``."""

    CONNECT = "connect"
    ACCEPT = "accept"
    READY = "ready"
    CLOSE = "close"
    DISCONNECT = "disconnect"
    DENIAL = "denial"
    TIMEOUT = "timeout"
    EXCEPTION = "exception"
    RETURN = "return"

    __hash__ = str.__hash__  # as above


_S = ApplicationConnectionState

ALLOWED_TRANSITIONS: Final[dict[ApplicationConnectionState, frozenset[ApplicationConnectionState]]] = {
    _S.INITIALIZING: frozenset({_S.HANDSHAKE_PENDING, _S.ERROR, _S.CLOSED}),
    _S.HANDSHAKE_PENDING: frozenset({_S.CONNECTED, _S.ERROR, _S.CLOSED}),
    _S.CONNECTED: frozenset({_S.READY_FOR_MESSAGES, _S.ERROR, _S.CLOSED}),
    _S.READY_FOR_MESSAGES: frozenset({_S.ERROR, _S.CLOSED}),
    _S.ERROR: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
}

_OPERATIONAL: Final = frozenset({_S.CONNECTED, _S.READY_FOR_MESSAGES})


class TransitionError(ValueError):
    """A transition that is not in the table was asked for; the state was left as it was.

    Attributes:
        old: the state the connection is in.
        new: the state that was asked for.
    """

    def __init__(self, old: ApplicationConnectionState, new: ApplicationConnectionState) -> None:
        self.old = old
        self.new = new
        allowed = ", ".join(sorted(ALLOWED_TRANSITIONS[old])) or "nothing, it is terminal"
        super().__init__(f"expected one of [{allowed}] after {old}, but got {new}")


def require_transition(old: ApplicationConnectionState, new: ApplicationConnectionState) -> None:
    """Raise unless ``old -> new`` is in the table.

    Raises:
        TransitionError: with both states, when the table has no such arrow.
    """
    if new not in ALLOWED_TRANSITIONS[old]:
        raise TransitionError(old, new)
