"""Waits until one connection is ready, for an application that wants to say "now handle messages".

The stabilisation of the incident slept a fixed time and called that success. This coordinator waits for the
connection's own events; only in ``blind`` mode, where nobody can tell, a delay stands in for them. Bound to no
connection it has nothing to wait for: it walks the sequence, validates it and returns True at once.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from acceptfirst.connection import Connection
from acceptfirst.detector import RaceConditionDetector
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS, Trigger, require_transition
from acceptfirst.lifecycle import ApplicationConnectionState as State

StateChange = tuple[State, State, datetime]

ATTEMPTS_MAX: Final = 5
"""Readiness waits of one handshake; more would be a loop, not a recovery."""

_READY_SEQUENCE: Final = (State.HANDSHAKE_PENDING, State.CONNECTED, State.READY_FOR_MESSAGES)
_NS_PER_S: Final = 1_000_000_000


class HandshakeCoordinator:
    """Coordinates one connection's handshake; belongs to that connection alone.

    Args:
        environment: one of the four, or an alias.
        detector: where violations are kept; one of its own where none is given.
    """

    def __init__(self, environment: str, detector: RaceConditionDetector | None = None) -> None:
        self.detector = detector or RaceConditionDetector(environment)
        self.environment = self.detector.environment
        self.attempt = 0
        self._connection: Connection | None = None
        self._walked: list[StateChange] = []
        self._state = State.INITIALIZING

    def bind(self, connection: Connection) -> None:
        """Take a connection on; from here on it tells the states.

        Raises:
            RuntimeError: when another connection is bound: a coordinator belongs to one.
        """
        if self._connection is not None and self._connection is not connection:
            raise RuntimeError(
                "expected a coordinator of its own for each connection, but this one is bound to another"
            )
        self._connection = connection

    @property
    def state_transitions(self) -> list[StateChange]:
        """Every change so far: old state, new state, aware UTC time."""
        if self._connection is None:
            return list(self._walked)
        return [
            (t.old, t.new, datetime.fromtimestamp(t.left_ns / _NS_PER_S, UTC)) for t in self._connection.transitions
        ]

    async def coordinate_handshake(self) -> bool:
        """Wait until messages may be handled.

        Returns:
            True once the connection is ready; False when it ended first, or was not ready within the handshake
            timeout of the policy. A retry waits again by the ladder: it changes no state and accepts nothing.
        """
        if self._connection is None:
            return self._walk()
        try:
            async with asyncio.timeout(self._connection.policy.handshake_timeout_ms / 1000):
                return await self._wait(self._connection)
        except TimeoutError:
            return False  # the connection's own timer has reported it

    async def _wait(self, connection: Connection) -> bool:
        moved = asyncio.Event()
        connection.on_move(moved.set)
        while not self._is_decided(connection):
            moved.clear()
            try:
                async with asyncio.timeout(self._attempt_s(connection)):
                    await moved.wait()
            except TimeoutError:
                self.attempt += 1
        return connection.state.is_operational and not connection.timed_out

    def _attempt_s(self, connection: Connection) -> float | None:
        """How long this attempt waits; the last one waits for whatever the handshake timeout leaves."""
        last = self.attempt + 1 >= ATTEMPTS_MAX or connection.readiness_mode in ("auto", "blind")
        return None if last else connection.policy.delay_ms(self.attempt) / 1000

    @staticmethod
    def _is_decided(connection: Connection) -> bool:
        """In ``auto`` mode the first receive is the readiness, so accept is all there is to wait for."""
        if connection.timed_out:
            return True
        if connection.state is State.CONNECTED:
            return connection.readiness_mode == "auto"
        return connection.state not in (State.INITIALIZING, State.HANDSHAKE_PENDING)

    def is_ready_for_messages(self) -> bool:
        """Whether messages may be handled now."""
        return self.get_current_state().is_ready_for_messages

    def get_current_state(self) -> State:
        """The state of the bound connection, or of the sequence that was walked."""
        return self._state if self._connection is None else self._connection.state

    def get_handshake_duration(self) -> float | None:
        """Seconds from the start of the handshake to READY, ``None`` while it is not ready."""
        changes = self.state_transitions
        started = [at for _, new, at in changes if new is State.HANDSHAKE_PENDING]
        ready = [at for _, new, at in changes if new is State.READY_FOR_MESSAGES]
        # Bound to no connection it has the wall clock's times only, which may run backwards.
        return max((ready[0] - started[0]).total_seconds(), 0.0) if started and ready else None

    def get_state_history(self) -> list[StateChange]:
        """The same as ``state_transitions``."""
        return self.state_transitions

    def validate_state_sequence(self) -> bool:
        """Whether every change so far is allowed by the table and joins on to the one before."""
        expected = State.INITIALIZING
        for old, new, _ in self.state_transitions:
            if old is not expected or new not in ALLOWED_TRANSITIONS[old]:
                return False
            expected = new
        return True

    def reset(self) -> None:
        """Begin again.

        Raises:
            RuntimeError: when a connection is bound: what has happened to it can't be undone.
        """
        if self._connection is not None:
            raise RuntimeError("expected a coordinator without a connection, but this one is bound; make a new one")
        self._walked.clear()
        self._state = State.INITIALIZING
        self.attempt = 0

    def force_error_state(self, reason: str) -> None:
        """Give the handshake up.

        Args:
            reason: kept with the pattern ``forced_error``.
        """
        self.detector.add_detected_pattern("forced_error", "warning", {"reason": reason})
        if self._connection is not None:
            self._connection.fail(Trigger.EXCEPTION)
        elif State.ERROR in ALLOWED_TRANSITIONS[self._state]:
            self._change(State.ERROR)

    def get_coordination_summary(self) -> dict[str, Any]:
        """State, duration, number of changes, and whether their sequence is valid."""
        return {
            "environment": self.environment,
            "current_state": str(self.get_current_state()),
            "is_ready_for_messages": self.is_ready_for_messages(),
            "handshake_duration_seconds": self.get_handshake_duration(),
            "attempt": self.attempt,
            "transition_count": len(self.state_transitions),
            "sequence_is_valid": self.validate_state_sequence(),
            "connection_id": None if self._connection is None else self._connection.id.hex(),
        }

    def _walk(self) -> bool:
        if self._state is State.INITIALIZING:
            for state in _READY_SEQUENCE:
                self._change(state)
        return self.is_ready_for_messages() and self.validate_state_sequence()

    def _change(self, new: State) -> None:
        require_transition(self._state, new)
        self._walked.append((self._state, new, datetime.now(UTC)))
        self._state = new
