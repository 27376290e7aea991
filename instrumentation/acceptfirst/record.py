"""What is known of one connection, and what follows from it; what makes it known is ``connection``.

A server holds one of these for each connection that is open, so what it costs counts in thousands: each value is a slot
that begins with something that all records share, and what few connections need (places in the code, phases, a gate) is
made when it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter_ns, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from acceptfirst.asgi import Scope
from acceptfirst.catalogue import EVIDENCE_FIELDS, Catalogue, Evidence, Pattern
from acceptfirst.connection_id import is_drawn, new_connection_id
from acceptfirst.deadlines import Deadlines, Lane
from acceptfirst.diagnosis.sites import Site
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.lifecycle import Trigger
from acceptfirst.live_evidence import NS_PER_MS, dwell_ms, idle_ms, since_ms
from acceptfirst.observation import STEP, Observers, Steps, Transition, transitions_of
from acceptfirst.policy import Policy
from acceptfirst.unread import NOTABLE_NS, notable_unread_ms

if TYPE_CHECKING:
    from acceptfirst.connection import Connection


class Keeper(Protocol):
    """Whoever observes a connection: the middleware."""

    @property
    def automatic(self) -> bool:
        """Whether it gives way to one of the application's author's."""

    def coordinator(self, connection: Connection) -> Any:
        """The connection's coordinator, made when somebody asks for it."""


class Record:
    """The state of one WebSocket connection, from the server's call to the application's return."""

    __slots__ = (
        "_catalogue",
        "_deadlines",
        "_innocent",
        "_lane",
        "_moved",
        "_reported",
        "_taken",
        "_told",
        "_told_together",
        "_unconfirmed",
        "admitted",
        "asgi_calls",
        "clock_ns",
        "close_code",
        "close_initiator",
        "coordinator",
        "delay_applied_ms",
        "dependencies",
        "drawn",
        "error_kind",
        "error_type",
        "finished",
        "first_called_in",
        "gate",
        "gate_mode",
        "id",
        "keeper",
        "last_frame_monotonic_ns",
        "messages_early",
        "messages_received",
        "messages_sent",
        "metered",
        "moments",
        "observers",
        "open_phases",
        "phases_ms",
        "phases_seen",
        "policy",
        "readiness_mode",
        "ready_said",
        "receives_pending",
        "run",
        "scope",
        "settled",
        "signature",
        "sites",
        "started_ns",
        "state",
        "steps",
        "surroundings",
        "timed_out",
        "trace",
        "unread_after_messages",
        "unread_longest_ns",
        "unread_since_monotonic_ns",
        "unspoken",
        "user_hash",
        "was_attended",
    )

    def __init__(
        self,
        *,
        scope: Scope,
        policy: Policy,
        readiness_mode: str,
        gate_mode: str,
        catalogue: Catalogue,
        observers: Observers,
        deadlines: Deadlines | None = None,
        surroundings: Any = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.started_ns = started_ns = time_ns()
        self.clock_ns = started_ns - perf_counter_ns()  # what a monotonic time lacks to a Unix time
        self.id = new_connection_id(started_ns)
        self.scope = scope
        self.policy = policy
        self.readiness_mode = readiness_mode
        self.gate_mode = gate_mode
        self.surroundings = surroundings  # the OTel context of the server's call, for whoever traces
        self.first_called_in: Any = None  # likewise that of the application's first receive or send
        self.trace: Any = None  # what an observer keeps about this connection
        rate = policy.sample_rate
        self.drawn = rate >= 1.0 or is_drawn(self.id, rate)
        self.state = _INITIALIZING
        self.metered = self.settled = False  # settled: nothing waits for messages, they are only counted
        self.unspoken = True  # the next message may have to be written down
        self.signature = self.run = ""  # run: which of R and S stand in it since the last other letter
        self.steps: Steps = ()
        self._taken = 0  # how many of them the observers have
        self._told = True  # they know that there are some, or will be: ``opened`` told them
        self.was_attended = False  # they have had a moment for it
        self.moments: dict[str, int] = {}
        self.sites: Mapping[str, Site] = _NONE
        self.phases_ms: Mapping[str, float] = _NONE
        self.open_phases = 0
        self.phases_seen = False
        self.admitted: tuple[asyncio.Task[Any], ...] = ()  # the tasks that are in a phase that receives
        self.asgi_calls = self.receives_pending = 0
        self.messages_received = self.messages_sent = self.messages_early = 0
        self.last_frame_monotonic_ns = 0
        # These three: see acceptfirst.unread.
        self.unread_since_monotonic_ns = self.unread_after_messages = self.unread_longest_ns = 0
        self.close_code: int | None = None
        self.close_initiator = "none"
        self.delay_applied_ms = 0.0
        # Not the exception itself: its traceback holds every frame of the application for as long as we live.
        self.error_type: str | None = None
        self.error_kind: str | None = None
        self.ready_said = self.timed_out = self.finished = False
        self.user_hash: str | None = None
        self.coordinator: Any = None
        self.keeper = keeper
        self.gate: Any = None
        self.dependencies: Any = None  # tells which of the application's dependencies are down, where some are declared
        self._catalogue = catalogue
        self.observers = observers  # who is told about this connection
        self._deadlines = deadlines
        self._reported: frozenset[str] = _NOTHING
        self._lane: Lane | None = None  # where it waits for the one deadline that it has at a time
        self._innocent: object = None  # of what it was found innocent when it was closed, and nothing happened since
        self._moved: tuple[Callable[[], None], ...] = ()
        self._unconfirmed = 0
        self._told_together = 0  # receives that were pending when the disconnect was delivered to another

    # -- time ---------------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """Unix nanoseconds that never run backwards within this connection, whatever the wall clock does."""
        return self.clock_ns + perf_counter_ns()

    @property
    def last_frame_ns(self) -> int:
        """When the last frame went either way, accept included; 0 where none has."""
        frame_ns = self.last_frame_monotonic_ns
        return frame_ns and self.clock_ns + frame_ns

    def since_ms(self, letter: str, until_ns: int) -> float | None:
        """Milliseconds from the first event of this letter, ``None`` where there was none."""
        return since_ms(self.moments, letter, until_ns)

    # -- the lifecycle so far -----------------------------------------------------------------------------------------

    @property
    def transitions(self) -> list[Transition]:
        """Every step so far, in order."""
        return list(transitions_of(self.started_ns, self.steps))

    @property
    def outcome(self) -> str:
        """How the handshake ended, or ``open``."""
        return outcome_of(self.steps)

    @property
    def attempt(self) -> int:
        """The readiness attempt that is under way, 0-based."""
        coordinator = self.coordinator
        return 0 if coordinator is None else int(getattr(coordinator, "attempt", 0))

    @property
    def route(self) -> str:
        """The route's template (``/ws/{room}``), empty where the framework tells none: a path may hold secrets."""
        return route_of(self.scope)

    # -- what it means ------------------------------------------------------------------------------------------------

    # The fields of acceptfirst.catalogue.Evidence, worked out when a pattern asks for them: nearly every connection is
    # innocent and asked for one or two. Those that are not here are slots.

    @property
    def accept_ms(self) -> float | None:
        """The server's call to accept returned."""
        accepted_ns = self.moments.get("A")
        return accepted_ns and (accepted_ns - self.started_ns) / NS_PER_MS

    @property
    def dwell_ms(self) -> float | None:
        """Accept returned to the end."""
        return dwell_ms(self.moments)

    @property
    def idle_ms(self) -> float | None:
        """Last frame to disconnect delivered."""
        return idle_ms(self.moments, self.last_frame_ns)

    @property
    def unread_ms(self) -> float | None:
        """The longest time without a pending receive, where it is notable."""
        if self.state in _ENDED and self.unread_longest_ns < NOTABLE_NS:
            return None  # nearly every connection, asked at its end: without the calls
        return notable_unread_ms(self)

    def evidence(self) -> Evidence:
        """What this connection has shown so far."""
        return Evidence(self.signature, **{name: getattr(self, name) for name in EVIDENCE_FIELDS})

    def patterns_now(self) -> tuple[Pattern, ...]:
        """The patterns that the events so far show."""
        return self._catalogue.match(self)

    def describe_down(self) -> str:
        """Which dependencies are down, since when and why, in words; empty where none is or none is declared."""
        return "" if self.dependencies is None else str(self.dependencies.describe_down())

    # -- who is told, and of what else --------------------------------------------------------------------------------

    def on_move(self, callback: Callable[[], None]) -> None:
        """Call back after each further transition; the callback must not raise."""
        self._moved = (*self._moved, callback)

    def remember_site(self, letter: str, site: Site) -> None:
        """Keep where in the application's code the first event of this letter came from."""
        if letter not in self.sites:
            self.sites = {**self.sites, letter: site}


def outcome_of(steps: Steps) -> str:
    """How the handshake ended whose transitions these are, or ``open``."""
    if State.READY_FOR_MESSAGES in steps:
        return "ready"
    return _OUTCOMES[steps[-2]] if steps and steps[-STEP] in _ENDED else "open"


def route_of(scope: Scope) -> str:
    """The route's template that a framework has left in a scope, empty where there is none."""
    route = scope.get("route")
    if route is None and "path_template" not in scope:
        return ""
    return str(getattr(route, "path", "") or scope.get("path_template") or "")


_INITIALIZING: Final = State.INITIALIZING
_ENDED: Final = frozenset({State.ERROR, State.CLOSED})
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
"""What a connection has of places and phases until it has some; never written to."""
_NOTHING: Final[frozenset[str]] = frozenset()

_OUTCOMES: Final = {
    Trigger.TIMEOUT: "timed_out",
    Trigger.EXCEPTION: "failed",
    Trigger.RETURN: "failed",
    Trigger.DENIAL: "rejected",
    Trigger.CLOSE: "rejected",
    Trigger.DISCONNECT: "abandoned",
}
