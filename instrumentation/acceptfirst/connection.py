"""The events of one connection: what each of them means for its state, and who is told.

One object for each connection, made by the middleware and reached through the connection's own copy of the scope;
nothing here is shared between connections but the ``Observers`` that are told.

Rule 1: an event is recorded after it happened (accept *returned*, send *failed*), never before.
Rule 2: nothing here awaits, and nothing here raises into the application: what the application calls is fail-safe
itself, what the wire tells is guarded there.

Most of this object's life is messages going to and fro when everything has been settled; ``Wire`` counts those by
itself. What is not needed before the next event is put off until there is a moment: most handshakes are over before the
event loop has one, so only those that are not by then are timed.
"""

from __future__ import annotations

import asyncio
from sys import intern
from time import perf_counter_ns
from typing import Any, Final

from acceptfirst.catalogue import Pattern
from acceptfirst.connection_id import is_drawn
from acceptfirst.deadlines import Deadlines, FallDue
from acceptfirst.diagnosis.error_kind import kind_of_error
from acceptfirst.diagnosis.tidying import framework_tidies_up
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS, TransitionError, Trigger
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.live_evidence import NS_PER_MS
from acceptfirst.observation import STEP, Violation
from acceptfirst.otel_context import current_context
from acceptfirst.policy import Policy
from acceptfirst.readiness.acting_task import acts_for
from acceptfirst.record import Record
from acceptfirst.signature import GUARD, LENGTH_MAX, RUNS, lengthened
from acceptfirst.unread import longest_unread_ns

SCOPE_KEY: Final = "acceptfirst.connection"
BOTH_WAYS: Final = 2
MS_PER_S: Final = 1000
FLUSH_AFTER_CLOSED_S: Final = 5.0
"""The last transition is exported when the application returns, but no later than this after CLOSED."""

_SERVER_CLOSE_CODES: Final = frozenset({1011, 1012})

# A member of an enumeration is looked for in its class each time, a global is at hand.
_INITIALIZING, _HANDSHAKE_PENDING, _CONNECTED, _READY, _ERROR, _CLOSED = State
_CONNECT_DELIVERED, _ACCEPT_RETURNED, _BECAME_READY, _DISCONNECT_DELIVERED = (
    Trigger.CONNECT,
    Trigger.ACCEPT,
    Trigger.READY,
    Trigger.DISCONNECT,
)


class Connection(Record):
    """One WebSocket connection, from the server's call to the application's return."""

    __slots__ = ()

    # -- when there is a moment ---------------------------------------------------------------------------------------

    def attended(self) -> int:
        """The observers have a moment for this connection: it sees to its deadlines, and they will be told of the next.

        Returns:
            How many of its transitions there were at the last call.
        """
        taken, self._taken = self._taken, len(self.steps) // STEP
        self.was_attended, self._told = True, False
        if self._lane is None and not self.finished:
            self._time_what_goes_on()
        return taken

    def _time_what_goes_on(self) -> None:
        """What has not come by now may take longer than it should: the end of the handshake, or of the application."""
        if self.state is _CLOSED:
            self._wait(FLUSH_AFTER_CLOSED_S, Connection.finish)
        elif self.state is _CONNECTED and self.readiness_mode in ("auto", "blind"):
            return  # ready is when the application receives, or when the delay is over, which is timed already
        elif self.state in _HANDSHAKING and not self.timed_out:
            elapsed_ms = (self.now_ns() - self.started_ns) / NS_PER_MS
            # To the millisecond, so that connections share a lane.
            left_ms = max(round(self.policy.handshake_timeout_ms - elapsed_ms), 0)
            self._wait(left_ms / MS_PER_S, Connection.time_is_up)

    # -- receive ------------------------------------------------------------------------------------------------------

    def receive_began(self) -> None:
        """The application called ``receive()``."""
        self.asgi_calls += 1
        self.receives_pending += 1
        if self.receives_pending > 1:
            self._happened("O")
            self._detect()
        if self.state is _CONNECTED and self.readiness_mode == "auto":
            self._become_ready()

    def receive_raised(self) -> None:
        """``receive()`` raised or was cancelled: nothing was delivered."""
        self.asgi_calls += 1
        self.receives_pending -= 1
        self.unread_since_monotonic_ns = perf_counter_ns()
        self.unread_after_messages = self.messages_received
        if self.state is _INITIALIZING:
            self._move(_HANDSHAKE_PENDING, Trigger.CONNECT, self.now_ns())

    def received(self, kind: str, code: Any = None) -> None:
        """``receive()`` returned a message of this ASGI type; ``code`` is a disconnect's close code."""
        self.receives_pending -= 1
        if kind == "websocket.connect":
            if self.state is not _INITIALIZING:
                self._happened("C")
                return
            self._advance("C", _HANDSHAKE_PENDING, _CONNECT_DELIVERED)
        elif kind == "websocket.receive":
            self._message_received()
        elif kind == "websocket.disconnect":
            self._disconnect_delivered(code)

    def take_policy(self, own: Policy) -> None:
        """Hold another policy from now on: the canary's, or a route's; what it leaves open stays as it is."""
        self.policy = own
        self.readiness_mode = own.readiness_mode or self.readiness_mode
        self.gate_mode = own.gate or self.gate_mode
        if self.trace is None:  # nothing has gone out under another weight
            self.drawn = is_drawn(self.id, own.sample_rate)

    def _take_policy_of_route(self) -> None:
        """The route is known from here on: what its own policy says of readiness and gate holds for this connection."""
        own = self.policy.for_route(self.route)
        if own is not self.policy:
            self.take_policy(own)
            self._wait_no_longer()
            self._time_what_goes_on()

    def _message_received(self) -> None:
        self.messages_received += 1
        self.last_frame_monotonic_ns = self.unread_since_monotonic_ns = perf_counter_ns()
        self.unread_after_messages = self.messages_received
        self.spoke("R")
        if self.readiness_mode != "auto" and not self.ready_said:
            self._message_before_ready()

    def spoke(self, letter: str) -> None:
        """Write a message down, R or S: its letter where the run of messages does not hold it yet."""
        try:  # not by the decorator: the first message each way comes here from the wire
            if letter not in self.run:
                self.run = RUNS[self.run + letter]
                # Shared by all that have the same: distinct signatures are few, connections are many.
                signature = self.signature
                self.signature = intern(
                    signature + letter if len(signature) < LENGTH_MAX else lengthened(signature, letter)
                )
            self._innocent = None
            self.unspoken = len(self.run) < BOTH_WAYS
            if letter not in self.moments:
                self.moments[letter] = self.clock_ns + self.last_frame_monotonic_ns
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            record_failure("Connection.spoke", error)

    def _message_before_ready(self) -> None:
        if self.admitted and any(acts_for(asyncio.current_task(), principal) for principal in self.admitted):
            return  # the application asked for this one while it was getting ready: an authentication message
        if self.state is _CONNECTED or self.open_phases:
            self.messages_early += 1
            self._detect()
        else:
            self._unconfirmed += 1  # only a later ready() can tell that it was too early

    def _disconnect_delivered(self, code: Any) -> None:
        again = "D" in self.moments
        if again and self._told_together:  # it waited beside the one that was told first: nobody asked for more
            self._told_together -= 1
            return
        self._told_together = self.receives_pending
        now_ns = self._happened("D")
        self.unread_since_monotonic_ns = now_ns - self.clock_ns
        self.unread_after_messages = self.messages_received
        if not again and "X" not in self.moments and self.close_initiator != "server":  # else the gate closed it
            self.close_code = code if isinstance(code, int) else 1005
            self.close_initiator = "server" if self.close_code in _SERVER_CLOSE_CODES else "client"
        if self.state is not _CLOSED:  # as in ``_close``
            if self._lane is not None:
                self._wait_no_longer()
            self._move(_CLOSED, _DISCONNECT_DELIVERED, now_ns)
        self._detect()

    # -- send ---------------------------------------------------------------------------------------------------------

    def send_began(self, kind: str) -> None:
        """The application called ``send()`` with a message of this ASGI type."""
        self.asgi_calls += 1
        if self.state is _INITIALIZING:
            self._move(_HANDSHAKE_PENDING, Trigger.CONNECT, self.now_ns())
            self.moments.setdefault("C", self.steps[-1])
        if kind == "websocket.http.response.start":
            self._happened("N")

    def sent(self, kind: str, message: Any) -> None:
        """``send()`` returned."""
        if kind == "websocket.send":
            self.messages_sent += 1
            self.last_frame_monotonic_ns = perf_counter_ns()
            self.spoke("S")
            if self.state in _ENDED or "A" not in self.moments:
                self._detect()
        elif kind == "websocket.accept":
            self._accept_returned()
        elif kind == "websocket.close":
            self._close_returned(message.get("code", 1000))
        elif kind == "websocket.http.response.body" and not message.get("more_body", False):
            self._close(Trigger.DENIAL, self.now_ns())

    def send_failed(self, kind: object) -> None:
        """``send()`` raised; a cancellation is not a failure and is not told."""
        self.asgi_calls += 1
        letter = _FAILED.get(kind) if isinstance(kind, str) else None
        if letter and not (letter == "x" and self._client_has_left() and framework_tidies_up()):
            self._happened(letter)
            self._detect()

    def _accept_returned(self) -> None:
        if self.state is not _HANDSHAKE_PENDING:
            self._happened("A")
            self._detect()
            return
        now_ns = self._advance("A", _CONNECTED, _ACCEPT_RETURNED)
        self.last_frame_monotonic_ns = self.unread_since_monotonic_ns = now_ns - self.clock_ns
        if self.readiness_mode == "auto":
            if self._lane is not None:
                self._wait_no_longer()
        elif self.readiness_mode == "blind":
            self.delay_applied_ms = self.policy.delay_ms(self.attempt)
            self._wait(self.delay_applied_ms / MS_PER_S, Connection.delay_is_over)
        elif self.ready_said:
            self._become_ready()

    def _close_returned(self, code: Any) -> None:
        if self._client_has_left() and framework_tidies_up():
            return
        if self.state not in _ENDED and "D" not in self.moments:
            self.close_code = code if isinstance(code, int) else 1000
            self.close_initiator = "application"
        self._close(Trigger.CLOSE, self._happened("X"))
        self._detect()

    # -- readiness ----------------------------------------------------------------------------------------------------

    def say_ready(self) -> None:
        """The application says that it can handle messages now."""
        if self.ready_said:
            return
        self.ready_said = True
        try:  # not by the decorator, which costs more than the rest
            if self.readiness_mode in _IN_THE_SHADOW:
                self._ready_in_the_shadow()
                self._settle()
            elif self.state is _CONNECTED:
                self._become_ready()
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            record_failure("Connection.say_ready", error)

    def _ready_in_the_shadow(self) -> None:
        """Nobody waits for this readiness, but it tells how long waiting would have had to be."""
        now_ns = self.now_ns()
        self.phases_ms = {**self.phases_ms, "ready": self.since_ms("A", now_ns) or 0.0}
        self._happened("P")
        if self.readiness_mode == "blind" and self._unconfirmed:
            self.messages_early += self._unconfirmed
            self._detect()

    @failsafe
    def phase_began(self, task: asyncio.Task[Any] | None) -> None:
        """A phase of the application's own getting ready began; one that receives admits the task it runs in.

        Args:
            task: the one that is admitted, ``None`` where the phase does not receive.
        """
        self.phases_seen = True
        if task is not None:
            self.admitted = (*self.admitted, task)
        else:
            self.open_phases += 1

    @failsafe
    def phase_ended(self, name: str, duration_ms: float, task: asyncio.Task[Any] | None) -> None:
        """A phase ended, whether well or not; phases of one name add up, and one inside another ends alone."""
        if task in self.admitted:
            place = self.admitted.index(task)
            self.admitted = self.admitted[:place] + self.admitted[place + 1 :]
        else:
            self.open_phases -= 1
        self.phases_ms = {**self.phases_ms, name: self.phases_ms.get(name, 0.0) + duration_ms}
        self._happened("P")

    def _become_ready(self) -> None:
        if self._lane is not None:
            self._wait_no_longer()
        self._advance("G", _READY, _BECAME_READY)
        self._settle()

    def _settle(self) -> None:
        self.settled = (
            self.state is _READY and self.gate_mode == "observe" and (self.ready_said or self.readiness_mode == "auto")
        )

    def delay_is_over(self) -> None:
        """In ``blind`` mode: the delay that stands in for readiness has passed."""
        if self.state is _CONNECTED:
            self._become_ready()

    def time_is_up(self) -> None:
        """The handshake timeout ran out."""
        if self.state in _HANDSHAKING:
            self.timed_out = True
            self._happened("T")
            self._detect()
            self._notify_moved()

    @failsafe
    def fail(self, trigger: Trigger) -> None:
        """The handshake is given up: ERROR; whoever gives it up also ends it."""
        if self.state not in _ENDED:
            self._move(_ERROR, trigger, self.now_ns())

    @failsafe
    def closed_for_the_application(self, code: int, trigger: Trigger = Trigger.TIMEOUT) -> None:
        """A gate closed the connection in the application's place, as a rule since it was not ready in time."""
        self.fail(trigger)
        self.close_code = code
        self.close_initiator = "server"
        self._close(trigger, self.now_ns())

    # -- the framework's guards ---------------------------------------------------------------------------------------

    def guard_refused(self, letter: str) -> tuple[Pattern, ...]:
        """The framework refused an attempt before any ASGI call.

        Args:
            letter: of the attempt: R, S, A or X.

        Returns:
            The patterns that this guard has shown; where it shows nothing new, all that hold.
        """
        before = self.patterns_now()
        self.signature = lengthened(lengthened(self.signature, GUARD), letter)
        self.run = ""
        self.unspoken = True
        self._innocent = None
        after = self._detect()
        return tuple(pattern for pattern in after if pattern not in before) or after

    @failsafe
    def look_again(self) -> None:
        """Time has passed without an event: report what that shows."""
        self._detect()

    # -- the end ------------------------------------------------------------------------------------------------------

    def returned(self) -> None:
        """The application returned."""
        try:  # not by the decorator: this ends every connection that is in order
            innocent = self._innocent
            now_ns = self._happened("Z")
            if self.state is not _CLOSED:
                self._close(Trigger.RETURN, now_ns)
            if innocent is not None and innocent is self._catalogue.suspects(self.signature):
                self._innocent = innocent  # that it returned points to nothing that was not asked before
            self.finish()
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            record_failure("Connection.returned", error)

    @failsafe
    def raised(self, error: BaseException) -> None:
        """An exception left the application."""
        self.error_type = type(error).__name__
        self.error_kind = kind_of_error(error, dependency_down="G" not in self.moments and self.describe_down() != "")
        now_ns = self._happened("E")
        if self.state not in _ENDED:
            self._move(_ERROR, Trigger.EXCEPTION, now_ns)
        self._close(Trigger.EXCEPTION, now_ns)
        self.finish()

    def finish(self) -> None:
        """Judge the whole signature and let the last transition go; the second call does nothing but judge."""
        if self._lane is not None:
            self._wait_no_longer()
        if self._innocent is None:
            self._detect(final=True)
        if self.finished:
            return
        self.finished = True
        self.observers.finished(self)
        # Scope and gate hold this record: without the circles all are gone with the last reference to them. A guard
        # that fires after the end may still ask for these two of the scope; nothing moves any more.
        scope = self.scope
        self.gate, self._moved = None, ()
        self.scope = {"route": scope.get("route"), "headers": scope.get("headers", ())}

    # -- inside -------------------------------------------------------------------------------------------------------

    def _happened(self, letter: str) -> int:
        """Write the event down; gives its time."""
        now_ns = self.clock_ns + perf_counter_ns()
        signature = self.signature
        self.signature = signature + letter if len(signature) < LENGTH_MAX else lengthened(signature, letter)
        self.run = ""
        self.unspoken = True  # a run of messages begins anew
        self._innocent = None
        if letter not in self.moments:
            self.moments[letter] = now_ns
        return now_ns

    def _advance(self, letter: str, new: State, trigger: Trigger) -> int:
        """An event of the handshake that goes well, to the next state: ``_happened`` and ``_move``; gives its time.

        Written out, since three of these stand before the application's first message.
        """
        at_ns = self.clock_ns + perf_counter_ns()
        signature = self.signature
        self.signature = signature + letter if len(signature) < LENGTH_MAX else lengthened(signature, letter)
        self.run = ""
        self.unspoken = True
        self._innocent = None
        moments = self.moments
        if letter not in moments:
            moments[letter] = at_ns
        old = self.state
        if new not in ALLOWED_TRANSITIONS[old]:
            raise TransitionError(old, new)
        if old is _INITIALIZING:
            if self.policy.routes:
                self._take_policy_of_route()
            self.first_called_in = current_context()
        self.steps += (new, trigger, at_ns)
        self.state = new
        self.settled = False
        if not self._told or self._moved:
            self._tell_moved()
        return at_ns

    def _client_has_left(self) -> bool:
        return "D" in self.moments and "X" not in self.moments

    def _close(self, trigger: Trigger, at_ns: int) -> None:
        if self.state is not _CLOSED:
            if self._lane is not None:
                self._wait_no_longer()
            self._move(_CLOSED, trigger, at_ns)

    def _move(self, new: State, trigger: Trigger, at_ns: int) -> None:
        old = self.state
        if old is _INITIALIZING and new in _NEEDS_PENDING:
            self._move(_HANDSHAKE_PENDING, Trigger.CONNECT, at_ns)  # of zero length: a failure before any event
            old = self.state
        if new not in ALLOWED_TRANSITIONS[old]:
            raise TransitionError(old, new)
        if new in _ENDED:
            self.unread_longest_ns = longest_unread_ns(self)
        if old is _INITIALIZING:
            self.first_called_in = current_context()  # in the application's first receive or send: who is around shows
        self.steps += (new, trigger, at_ns)
        self.state = new
        self.settled = False
        if not self._told or self._moved:
            self._tell_moved()

    def _tell_moved(self) -> None:
        if not self._told:
            self._told = True
            try:
                self.observers.moved(self)
            except Exception as error:  # noqa: BLE001 - the record goes on without whoever fails to hear
                record_failure("Observers.moved", error)
        self._notify_moved()

    def _notify_moved(self) -> None:
        for callback in self._moved:
            callback()

    def _detect(self, *, final: bool = False) -> tuple[Pattern, ...]:
        """Report what the events show now; what a later event may explain away waits for the end."""
        patterns = self._catalogue.match(self)
        if not patterns and self.state is _CLOSED:
            self._innocent = self._catalogue.suspects(self.signature)
        for pattern in patterns:
            if pattern.name not in self._reported and (final or pattern.name not in self._catalogue.supersedable):
                self._reported |= {pattern.name}
                self._tell_violation(self._violation(pattern))
        return patterns

    @failsafe
    def _tell_violation(self, violation: Violation) -> None:
        self.observers.violated(self, violation)

    def _violation(self, pattern: Pattern) -> Violation:
        at_ns = self.now_ns()
        causes = [self.moments[letter] for letter in pattern.caused_by if letter in self.moments]
        return Violation(pattern, min(causes, default=self.started_ns), at_ns)

    def _wait(self, wait_s: float, fall_due: FallDue) -> None:
        """Wait for one deadline, and for no other any more."""
        if self._lane is not None:
            self._lane.remove(self)
        if self._deadlines is None:
            self._deadlines = Deadlines()
        self._lane = self._deadlines.wait(self, wait_s, fall_due)

    def _wait_no_longer(self) -> None:
        if self._lane is not None:  # asked here too: most callers have asked already, to spare the call
            self._lane.remove(self)
            self._lane = None


_IN_THE_SHADOW: Final = frozenset({"auto", "blind"})
_HANDSHAKING: Final = frozenset({_INITIALIZING, _HANDSHAKE_PENDING, _CONNECTED})
_NEEDS_PENDING: Final = frozenset({_CONNECTED, _ERROR})
_ENDED: Final = frozenset({_ERROR, _CLOSED})
_FAILED: Final = {"websocket.accept": "a", "websocket.send": "s", "websocket.close": "x"}
