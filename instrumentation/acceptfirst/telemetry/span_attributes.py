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
from acceptfirst.observation import STEP, Steps, Violation
from acceptfirst.policy import Policy
from acceptfirst.signature import SIGNATURE_VERSION
from acceptfirst.unread import notable_unread_ms

HANDSHAKE_SPAN: Final = "websocket.handshake"
TRANSITION_SPAN: Final = "websocket.transition"
VIOLATION_SPAN: Final = "websocket.violation"

Attributes = dict[str, Any]
_TEXT: Final[dict[str, str]] = {name: str(name) for name in (*State, *Trigger)}
"""States and triggers as plain text, which is cheaper to encode than a member of an enumeration."""
_INITIALIZING: Final = str(State.INITIALIZING)

FAILED_OUTCOMES: Final = frozenset({"failed", "timed_out"})


class Common:
    """What every span of a connection says as it stands now, spelt out once for all spans that go out together."""

    __slots__ = ("_spelt", "_values")

    def __init__(self, connection: Connection, weight: float) -> None:
        self._values: tuple[bytes, Policy, str, str, str, int, float, str | None] = (
            connection.id,
            connection.policy,
            connection.route,
            connection.readiness_mode,
            connection.gate_mode,
            connection.attempt,
            weight,
            connection.user_hash,
        )
        self._spelt: Attributes | None = None

    def attributes(self) -> Attributes:
        """The attributes; whoever adds to them makes a copy."""
        if self._spelt is None:
            connection_id, policy, route, readiness_mode, gate_mode, attempt, weight, user_hash = self._values
            spelt: Attributes = {
                "acceptfirst.connection.id": connection_id.hex(),
                "acceptfirst.environment": policy.environment,
                "http.route": route,
                "acceptfirst.attempt": attempt,
                "acceptfirst.readiness.mode": readiness_mode,
                "acceptfirst.gate": gate_mode,
                "acceptfirst.policy.version": policy.version,
                "acceptfirst.policy.arm": policy.arm,
                "acceptfirst.sample.weight": weight,
            }
            if user_hash is not None:
                spelt["acceptfirst.user.hash"] = user_hash
            self._spelt = spelt
        return self._spelt


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
    return _closing(
        (
            connection.signature.text,
            connection.moments.copy(),
            connection.last_frame_ns,
            connection.close_code,
            connection.close_initiator,
            connection.messages_received,
            connection.messages_sent,
            connection.messages_early,
            connection.phases_ms,
            connection.error_type,
            connection.error_kind,
            notable_unread_ms(connection),
            None if connection.gate is None else (connection.gate.held, connection.gate.longest_wait_ms),
        )
    )


_closing: Final[Callable[[tuple[Any, ...]], Closing]] = partial(tuple.__new__, Closing)


TransitionValues = tuple[Common, Steps, int, float, Closing | None]
"""What all spans say, the transitions, the number of this one, the delay applied in milliseconds, and on the last one
what it closes with."""


def transition_attributes(values: TransitionValues) -> Attributes:
    """The attributes of a transition span."""
    common, steps, number, delay_applied_ms, closed = values
    place = number * STEP
    attributes = {
        **common.attributes(),
        "acceptfirst.state.from": _TEXT[steps[place - STEP]] if number else _INITIALIZING,
        "acceptfirst.state.to": _TEXT[steps[place]],
        "acceptfirst.transition.sequence": number,
        "acceptfirst.transition.trigger": _TEXT[steps[place + 1]],
        "acceptfirst.delay.applied_ms": delay_applied_ms,
    }
    if closed is not None:
        attributes |= _closing_attributes(closed)
    return attributes


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


HandshakeValues = tuple[Common, str, str | None]
"""What all spans say, the outcome, and the class of the exception where it failed by one."""


def handshake_attributes(values: HandshakeValues) -> Attributes:
    """The attributes of a handshake span."""
    common, outcome, error_type = values
    attributes = {**common.attributes(), "acceptfirst.handshake.outcome": outcome}
    if outcome in FAILED_OUTCOMES and error_type is not None:
        attributes["error.type"] = error_type
    return attributes


def violation_attributes(common: Common, connection: Connection, violation: Violation) -> Attributes:
    """The attributes of a violation span, as things stand now."""
    unread_ms = notable_unread_ms(connection)  # so that the store sees it while the connection is still open
    return {
        **common.attributes(),
        **({} if unread_ms is None else {"acceptfirst.unread_ms": unread_ms}),
        "acceptfirst.pattern.type": violation.pattern.name,
        "acceptfirst.pattern.severity": violation.pattern.severity,
        "acceptfirst.pattern.evidence": evidence_text(connection, violation.pattern),
        "acceptfirst.signature": connection.signature.text,
        "acceptfirst.signature.version": SIGNATURE_VERSION,
        "error.type": violation.pattern.name,
    }
