"""What the three spans of a connection say: the names of ``docs/telemetry.md``, made from settled values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from acceptfirst.connection import Connection
from acceptfirst.diagnosis.note import evidence_text
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.lifecycle import Trigger
from acceptfirst.live_evidence import dwell_ms, idle_ms, since_ms
from acceptfirst.observation import STEP, Violation
from acceptfirst.record import outcome_of, route_of
from acceptfirst.signature import SIGNATURE_VERSION
from acceptfirst.unread import notable_unread_ms

HANDSHAKE_SPAN: Final = "websocket.handshake"
TRANSITION_SPAN: Final = "websocket.transition"
VIOLATION_SPAN: Final = "websocket.violation"

Attributes = dict[str, Any]
_TEXT: Final[dict[str, str]] = {name: str(name) for name in (*State, *Trigger)}
"""States and triggers as plain text, which is cheaper to encode than a member of an enumeration."""
_INITIALIZING: Final = str(State.INITIALIZING)

HANDSHAKE_OVER: Final = frozenset({State.READY_FOR_MESSAGES, State.ERROR, State.CLOSED})
_FAILED_OUTCOMES: Final = frozenset({"failed", "timed_out"})


class Settled:
    """What the spans of a connection that go out together are made of: nothing of it changes afterwards.

    Attributes:
        identity: the writer's own affair.
        handshake_started_ns: connect delivered.
        steps: the transitions so far.
        closed: what the last of them says beside the others; ``None`` while the connection is not finished.
    """

    __slots__ = (
        "_attempt",
        "_connection_id",
        "_delay_applied_ms",
        "_error_type",
        "_gate_mode",
        "_handshake_context",
        "_policy",
        "_readiness_mode",
        "_route",
        "_spelt",
        "_started_ns",
        "_user_hash",
        "_weight",
        "closed",
        "handshake_started_ns",
        "identity",
        "steps",
    )

    def __init__(self, connection: Connection, weight: float) -> None:
        self._connection_id = connection.id
        self._policy = connection.policy
        self._route = route_of(connection.scope)
        self._readiness_mode = connection.readiness_mode
        self._gate_mode = connection.gate_mode
        seldom = connection.seldom
        self._attempt = 0 if seldom.coordinator is None else connection.attempt
        self._user_hash = seldom.user_hash
        self._weight = weight
        self._started_ns = connection.started_ns
        self._delay_applied_ms = seldom.delay_applied_ms
        self._error_type = seldom.error_type
        self._spelt: Attributes | None = None
        self.handshake_started_ns = connection.moments.get("C", connection.started_ns)
        self.steps = connection.steps
        self.closed = closing(connection) if connection.finished else None
        self.identity: Any = None
        self._handshake_context: Any = None

    @property
    def handshake_context(self) -> Any:
        """The parent of all spans but the handshake's, made once for all of them."""
        context = self._handshake_context
        if context is None:
            self._handshake_context = context = self.identity.context(0)
        return context

    def common(self) -> Attributes:
        """What every span says, spelt out once for all of them; whoever adds to it makes a copy."""
        if self._spelt is None:
            spelt: Attributes = {
                "acceptfirst.connection.id": self._connection_id.hex(),
                "acceptfirst.environment": self._policy.environment,
                "http.route": self._route,
                "acceptfirst.attempt": self._attempt,
                "acceptfirst.readiness.mode": self._readiness_mode,
                "acceptfirst.gate": self._gate_mode,
                "acceptfirst.policy.version": self._policy.version,
                "acceptfirst.policy.arm": self._policy.arm,
                "acceptfirst.sample.weight": self._weight,
            }
            if self._user_hash is not None:
                spelt["acceptfirst.user.hash"] = self._user_hash
            self._spelt = spelt
        return self._spelt

    def transition_times(self, number: int) -> tuple[int, int]:
        """When the state was entered that a transition left, and when it left it, Unix nanoseconds."""
        place = number * STEP
        return self.steps[place - 1] if place else self._started_ns, self.steps[place + 2]

    def transition(self, number: int) -> Attributes:
        """The attributes of the span of one transition, 0-based."""
        steps, place = self.steps, number * STEP
        attributes = {
            **self.common(),
            "acceptfirst.state.from": _TEXT[steps[place - STEP]] if number else _INITIALIZING,
            "acceptfirst.state.to": _TEXT[steps[place]],
            "acceptfirst.transition.sequence": number,
            "acceptfirst.transition.trigger": _TEXT[steps[place + 1]],
            "acceptfirst.delay.applied_ms": self._delay_applied_ms,
        }
        if self.closed is not None and steps[place] is State.CLOSED:
            attributes |= _closing_attributes(self.closed)
        return attributes

    @property
    def handshake_ended_ns(self) -> int | None:
        """When the handshake was over, ``None`` where it is not."""
        for place in range(0, len(self.steps), STEP):
            if self.steps[place] in HANDSHAKE_OVER:
                ended_ns: int = self.steps[place + 2]
                return ended_ns
        return None

    @property
    def handshake_failed(self) -> bool:
        """Whether the handshake's span has the status ERROR."""
        return outcome_of(self.steps) in _FAILED_OUTCOMES

    def handshake(self) -> Attributes:
        """The attributes of the handshake's span."""
        attributes = {**self.common(), "acceptfirst.handshake.outcome": outcome_of(self.steps)}
        if self.handshake_failed and self._error_type is not None:
            attributes["error.type"] = self._error_type
        return attributes

    def violation(self, connection: Connection, violation: Violation) -> Attributes:
        """The attributes of a violation's span, as things stand now."""
        unread_ms = notable_unread_ms(connection)  # so that the store sees it while the connection is still open
        return {
            **self.common(),
            **({} if unread_ms is None else {"acceptfirst.unread_ms": unread_ms}),
            "acceptfirst.pattern.type": violation.pattern.name,
            "acceptfirst.pattern.severity": violation.pattern.severity,
            "acceptfirst.pattern.evidence": evidence_text(connection, violation.pattern),
            "acceptfirst.signature": connection.signature,
            "acceptfirst.signature.version": SIGNATURE_VERSION,
            "error.type": violation.pattern.name,
        }


class Closing(NamedTuple):
    """What the last transition says beside the others, taken when the connection was finished."""

    signature: str
    moments: Mapping[str, int]
    last_frame_ns: int
    close_code: int | None
    close_initiator: str
    received: int
    sent: int
    early: int
    phases_ms: Mapping[str, float]
    error_type: str | None
    error_kind: str | None
    unread_ms: float | None
    gate: tuple[int, float] | None


def closing(connection: Connection) -> Closing:
    """Take the values of a connection that is finished."""
    seldom = connection.seldom
    return _closing(
        (
            connection.signature,
            connection.moments.copy(),
            connection.last_frame_monotonic_ns and connection.clock_ns + connection.last_frame_monotonic_ns,
            connection.close_code,
            connection.close_initiator,
            connection.messages_received,
            connection.messages_sent,
            connection.messages_early,
            seldom.phases_ms,
            seldom.error_type,
            seldom.error_kind,
            connection.unread_ms,
            None if seldom.gate is None else (seldom.gate.held, seldom.gate.longest_wait_ms),
        )
    )


_closing: Final[Callable[[tuple[Any, ...]], Closing]] = partial(tuple.__new__, Closing)


def _closing_attributes(closed: Closing) -> Attributes:
    first_message_ns = closed.moments.get("R")
    optional: Attributes = {
        "acceptfirst.close.code": closed.close_code,
        "acceptfirst.dwell_ms": dwell_ms(closed.moments),
        "acceptfirst.idle_ms": idle_ms(closed.moments, closed.last_frame_ns),
        "acceptfirst.unread_ms": closed.unread_ms,
        "acceptfirst.first_message_ms": None
        if first_message_ns is None
        else since_ms(closed.moments, "C", first_message_ns),
        "error.type": closed.error_type,
        "acceptfirst.error.kind": closed.error_kind,
        "acceptfirst.gate.held": closed.gate and closed.gate[0],
        "acceptfirst.gate.wait_ms": closed.gate and closed.gate[1],
    }
    phases = {f"acceptfirst.phase.{name}.duration_ms": ms for name, ms in closed.phases_ms.items()}
    return {
        "acceptfirst.signature": closed.signature,
        "acceptfirst.signature.version": SIGNATURE_VERSION,
        "acceptfirst.close.initiator": closed.close_initiator,
        "acceptfirst.messages.received": closed.received,
        "acceptfirst.messages.sent": closed.sent,
        "acceptfirst.messages.early": closed.early,
        **{key: value for key, value in optional.items() if value is not None},
        **phases,
    }
