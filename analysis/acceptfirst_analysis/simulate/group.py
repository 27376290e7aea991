"""Connections that took the same course, as columns: what each one showed, and what the library would say of it.

Times of events are nanoseconds since the server handed the connection over.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from acceptfirst.catalogue import Catalogue, Condition, Match, Pattern
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst_analysis.simulate.course import Course
from acceptfirst_analysis.simulate.plan import NS_PER_MS, Place

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_ENDED: Final = frozenset({State.ERROR, State.CLOSED})
SERVER_CLOSE_CODES: Final = (1011, 1012)
ID_BYTES: Final = 16


def identities(started_ns: Int64, tail: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Connection ids, one row of 16 bytes each: 48 bits of Unix milliseconds, then the tail's 80."""
    high = (started_ns // NS_PER_MS).astype(np.uint64) << np.uint64(16) | tail[:, 0]
    return np.column_stack([high, tail[:, 1]]).astype(">u8").view(np.uint8).reshape(len(started_ns), ID_BYTES)


@dataclass(frozen=True)
class Arrivals:
    """Connections that come in, before anything has happened to them.

    Attributes:
        started_ns: when the server hands each over, Unix nanoseconds.
        tail: the low 80 bits of each identity, as two columns of 16 and 64 bits.
        user: number of the user, 0 where nobody is identified.
    """

    started_ns: Int64
    tail: npt.NDArray[np.uint64]
    user: Int64

    def __len__(self) -> int:
        return len(self.started_ns)

    def chosen(self, rows: npt.NDArray[np.intp]) -> Arrivals:
        """Only some of them."""
        return Arrivals(self.started_ns[rows], self.tail[rows], self.user[rows])


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What nobody but the simulator knows.

    Attributes:
        cause: what made the connection go as it went: ``clean``, or the name of a fault or an episode.
        patterns: the races that it is an instance of, by how it was made and not by what finds it.
        ready_ms: accept to the moment at which the application was, or would have been, ready; infinite for never, NaN
            where nothing was ever accepted.
        cold: the service was cold at that time.
        censored: it ended before it was ready, so that nobody could see when it would have been.
    """

    cause: str
    patterns: tuple[str, ...]
    ready_ms: Float64
    cold: Bool
    censored: Bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some connections of one place and one course.

    Attributes:
        course: what happened, in which order.
        place: where.
        started_ns: when the server handed each over, Unix nanoseconds.
        event_ns: when each event happened, one row a connection and one column an event.
        tail: the low 80 bits of each identity, as two columns of 16 and 64 bits.
        version: which of the plan's versions served each.
        truth: the labels.
        last_frame_ns: the last frame either way, 0 where there was none.
        received: messages.
        sent: messages.
        early: messages handled before the application was ready.
        close_code: 0 where there is none.
        unread: nobody ever receives, from accept to the end; otherwise somebody always does.
        held_ms: how long the gate kept the first message back, NaN where it held none.
        user: number of the user, 0 where nobody was identified.
        error_type: class of the exception that left the application, empty where none did.
        error_kind: of that exception.
    """

    course: Course
    place: Place
    started_ns: Int64
    event_ns: Int64
    tail: npt.NDArray[np.uint64]
    version: Int64
    truth: Truth
    last_frame_ns: Int64
    received: Int64
    sent: Int64
    early: Int64
    close_code: Int64
    held_ms: Float64
    user: Int64
    unread: bool = False
    error_type: str = ""
    error_kind: str = ""

    def __len__(self) -> int:
        return len(self.started_ns)

    def at(self, letter: str) -> Int64 | None:
        """When the first event of this letter happened to each, ``None`` where the course has none."""
        place = self.course.first.get(letter)
        return None if place is None else self.event_ns[:, place]

    @functools.cached_property
    def ids(self) -> npt.NDArray[np.uint8]:
        """The identities, one row of 16 bytes each."""
        return identities(self.started_ns, self.tail)

    @functools.cached_property
    def drawn(self) -> Bool:
        """Whether each is in the sample, told as ``acceptfirst.connection_id.is_drawn`` tells it."""
        rate = self.place.policy.sample_rate
        return np.ones(len(self), bool) if rate >= 1 else self.tail[:, 1].astype(np.float64) < rate * 2.0**64

    @property
    def weight(self) -> Float64:
        """How many connections each stands for; 0 where it was not drawn and is there for its violation."""
        rate = self.place.policy.sample_rate
        return np.where(self.drawn, 1.0 / rate if rate else 0.0, 0.0)

    @functools.cached_property
    def connect_ns(self) -> Int64 | None:
        """When connect was delivered; where the application sent before that, when it first did."""
        connected = self.at("C")
        if connected is None and self.course.events[0][0] in "AXaxSsN":
            return self.event_ns[:, 0]
        return connected

    @functools.cached_property
    def dwell_ms(self) -> Float64:
        """Accept returned to the end, NaN where one of the two is missing."""
        ends = [at for letter in "XD" if (at := self.at(letter)) is not None]
        accepted = self.at("A")
        if accepted is None or not ends:
            return np.full(len(self), np.nan)
        dwell_ms: Float64 = (np.minimum.reduce(ends) - accepted) / NS_PER_MS
        return dwell_ms

    @functools.cached_property
    def idle_ms(self) -> Float64:
        """Last frame either way to disconnect delivered, NaN where one of the two is missing."""
        gone = self.at("D")
        if gone is None:
            return np.full(len(self), np.nan)
        return np.where(self.last_frame_ns > 0, (gone - self.last_frame_ns) / NS_PER_MS, np.nan)

    @property
    def delay_applied_ms(self) -> float:
        """The delay that stood in for readiness."""
        is_delayed = self.place.mode == "blind" and "A" in self.course.first
        return self.place.policy.delay_ms(0) if is_delayed else 0.0

    @functools.cached_property
    def shadow_ready_ms(self) -> Float64:
        """Readiness that was said although nobody waited for it, since accept; NaN where it was not."""
        accepted, said = self.at("A"), self.at("P")
        return np.full(len(self), np.nan) if accepted is None or said is None else (said - accepted) / NS_PER_MS

    @functools.cached_property
    def unread_ms(self) -> Float64:
        """The longest time without a pending receive, NaN where that is not notable."""
        return self.unread_until_ms(np.full(len(self), np.iinfo(np.int64).max))

    def unread_until_ms(self, at_ns: Int64) -> Float64:
        """The same as it was at a moment of each connection."""
        accepted = self.at("A")
        if accepted is None or not self.unread:
            return np.full(len(self), np.nan)
        ended = self.event_ns[:, next(step.event for step in self.course.steps if step.new in _ENDED)]
        unread_ms: Float64 = (np.minimum(at_ns, ended) - accepted) / NS_PER_MS
        return unread_ms

    @functools.cached_property
    def accept_ms(self) -> Float64:
        """Handed over to accept returned, NaN where it never did."""
        accepted = self.at("A")
        return np.full(len(self), np.nan) if accepted is None else accepted / NS_PER_MS

    @functools.cached_property
    def first_message_ms(self) -> Float64:
        """Connect delivered to first message delivered, NaN where one of the two is missing."""
        first, connected = self.at("R"), self.connect_ns
        return np.full(len(self), np.nan) if first is None or connected is None else (first - connected) / NS_PER_MS

    @property
    def close_initiator(self) -> npt.NDArray[np.str_]:
        """Who ended each."""
        if "D" not in self.course.first and "X" not in self.course.first:
            return np.full(len(self), "none")
        if self.course.first.get("X", len(self.course.events)) < self.course.first.get("D", len(self.course.events)):
            return np.full(len(self), "application")
        return np.where(np.isin(self.close_code, SERVER_CLOSE_CODES), "server", "client")

    @functools.cached_property
    def boundaries_ns(self) -> Int64:
        """When the states changed, since the connection began: column 0 is its beginning, then each step."""
        return np.column_stack([np.zeros(len(self), np.int64), *(self.event_ns[:, s.event] for s in self.course.steps)])

    def reported(self, catalogue: Catalogue) -> dict[str, Bool]:
        """The patterns that the library reports, each with which of the connections it reports them of."""
        patterns = catalogue.of_scope("connection")
        found = {pattern.name: self._shows(pattern) for pattern in patterns}
        unexplained = dict(found)
        for pattern in patterns:
            for name in set(pattern.supersedes) & set(found):
                unexplained[name] = unexplained[name] & ~found[pattern.name]
        return {name: mask for name, mask in unexplained.items() if mask.any()}

    def _shows(self, pattern: Pattern) -> Bool:
        shown = np.zeros(len(self), bool)
        for match in pattern.matches:
            if _found(match, self.course.signature):
                shown |= np.logical_and.reduce([np.ones(len(self), bool), *map(self._meets, match.conditions)])
        return shown

    def _meets(self, condition: Condition) -> Bool:
        values = self._known(condition.field)
        if isinstance(values, str):
            return np.full(len(self), values in condition.one_of if values else condition.when_unknown)
        unknown = np.isnan(values)
        if condition.one_of:
            met = np.isin(values, [choice for choice in condition.one_of if not isinstance(choice, str)])
        else:
            low = -np.inf if condition.minimum is None else condition.minimum
            high = np.inf if condition.maximum is None else condition.maximum
            met = (values >= low) & (values <= high)
        return np.where(unknown, condition.when_unknown, met)

    def _known(self, name: str) -> Float64 | str:
        if name == "readiness_mode":
            return self.place.mode
        if name == "error_kind":
            return self.error_kind
        if name == "close_code":
            return np.where(self.close_code > 0, self.close_code, np.nan)
        if name == "messages_early":
            return self.early.astype(np.float64)
        values: Float64 = getattr(self, name)
        return values


def _found(match: Match, signature: str) -> bool:
    return _search(match.signature, signature)


@functools.lru_cache(maxsize=65_536)
def _search(expression: str, signature: str) -> bool:
    return re.search(expression, signature) is not None
