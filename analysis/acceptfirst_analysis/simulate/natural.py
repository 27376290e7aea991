"""Connections on which nothing is broken: they become ready or don't, and their clients wait or don't.

Whether one is a race is a matter of times alone: an impatient client's message against the moment of readiness, and
readiness against the handshake timeout. So a policy can be tried on them, since the truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from acceptfirst_analysis.simulate.climate import Climate
from acceptfirst_analysis.simulate.course import Course
from acceptfirst_analysis.simulate.group import Arrivals, Bool, Float64, Group, Int64, Truth
from acceptfirst_analysis.simulate.plan import NS_PER_MS, Place

EVENTS: Final = {"C": "C", "A": "A", "T": "T", "P": "P", "G": "G", "R": "R", "S": "S", "M": "R", "W": "S"}
"""What may happen, as this module calls it, and its letter: M is the second message and W the last reply."""
ENDS: Final = {"D": "D", "X": "X", "Z": "Z"}
NEVER: Final = np.iinfo(np.int64).max
CONNECT_NS: Final = 20_000
RETURN_NS: Final = 50_000
ACCEPT_MEDIAN_MS: Final = 1.5
FIRST_MESSAGE_MEDIAN_MS: Final = 40.0
NOTICED_MS: Final = 0.3
"""From readiness until a client that waits to be told knows of it."""
BROKEN_LIVES_MS_MAX: Final = 25_000.0
"""A client that breaks off without a close frame for no fault of anybody's does so before a ping could be missed: later
it could not be told from one that did not answer (pattern 17)."""

BROKEN_OFF: Final = 1005
"""The first of the two codes that stand for an end without a close frame."""

_CODES: Final = np.array([1000, 1001, 1005, 1006])
_CODE_SHARES: Final = (0.55, 0.35, 0.07, 0.03)
_CLOSED_BY_APPLICATION: Final = 0.2
_SILENT: Final = 0.1
_TALKS_ON: Final = 0.7


@dataclass(frozen=True)
class Draws:
    """What chance, the climate and the clients decided, before anybody says what came first.

    Times are milliseconds, and count from accept returned where nothing else is said.

    Attributes:
        started_ns: when each began, Unix nanoseconds.
        accept_ms: handed over to accept returned.
        ready_ms: the application is ready; infinite for never.
        cold: the service was cold.
        message_ms: the client's first message arrives; infinite for never.
        leaves_ms: the client leaves unless it has heard from a ready application.
        reply_ms: message delivered to reply sent.
        lives_ms: ready to the end.
        talk: how much of its life a chat fills.
        closes: the application ends it.
        close_code: where the client does.
        messages: how many, where there is more than the first.
    """

    started_ns: Int64
    accept_ms: Float64
    ready_ms: Float64
    cold: Bool
    message_ms: Float64
    leaves_ms: Float64
    reply_ms: Float64
    lives_ms: Float64
    talk: Float64
    closes: Bool
    close_code: Int64
    messages: Int64


@dataclass(frozen=True)
class Times:
    """When what happened under a policy, nanoseconds since each began; ``NEVER`` where it did not.

    Attributes:
        at: by the names of ``EVENTS`` and ``ENDS``.
        early: the first message met an application that was not ready, as far as the library can tell.
        held_ms: how long the gate kept the first message back, NaN where it kept none.
        close_code: of the end.
    """

    at: dict[str, Int64]
    early: Bool
    held_ms: Float64
    close_code: Int64


def natural_groups(climate: Climate, place: Place, arrivals: Arrivals, rng: np.random.Generator) -> list[Group]:
    """Natural connections of one place.

    Args:
        climate: cold starts, drift, versions.
        place: where.
        arrivals: the connections.
        rng: random numbers; the same state, the same connections.

    Returns:
        One group for each course that somebody took.
    """
    return play(climate, place, arrivals, draw(climate, place, arrivals.started_ns, rng)) if len(arrivals) else []


def draw(climate: Climate, place: Place, started_ns: Int64, rng: np.random.Generator) -> Draws:
    """Draw everything that does not depend on the policy."""
    n, plan = len(started_ns), climate.plan
    ready_ms = climate.ready_ms(place, started_ns, rng)
    eager = rng.random(n) < plan.impatient
    think_ms = FIRST_MESSAGE_MEDIAN_MS * np.exp(0.8 * rng.standard_normal(n))
    # Who waits to be told that it may speak hears of readiness a network's way later.
    message_ms = np.where(eager, think_ms, ready_ms + NOTICED_MS + think_ms)
    close_code = rng.choice(_CODES, n, p=_CODE_SHARES)
    lives_ms = 200.0 + rng.exponential(20_000.0, n)
    messages = np.where(rng.random(n) < _TALKS_ON, 2 + rng.poisson(6.0, n), 1)
    return Draws(
        started_ns=started_ns,
        accept_ms=0.2 + ACCEPT_MEDIAN_MS * np.exp(0.4 * rng.standard_normal(n)),
        ready_ms=ready_ms,
        cold=climate.is_cold(started_ns),
        message_ms=np.where(rng.random(n) < _SILENT, np.inf, message_ms),
        leaves_ms=np.where(eager, plan.leave_ms * np.exp(0.5 * rng.standard_normal(n)), np.inf),
        reply_ms=0.3 + rng.exponential(2.0, n),
        lives_ms=np.where(close_code >= BROKEN_OFF, np.minimum(lives_ms, BROKEN_LIVES_MS_MAX), lives_ms),
        talk=rng.random(n) ** (1.0 / (2 * messages)),  # the last of so many that are spread over its life
        closes=rng.random(n) < _CLOSED_BY_APPLICATION,
        close_code=close_code,
        messages=messages,
    )


def said_ready(place: Place, drawn: Draws) -> Int64:
    """When the library holds the application for ready, nanoseconds since it began."""
    policy, accept = place.policy, _ns(drawn.accept_ms)
    if place.mode == "blind":
        return accept + int(policy.delay_ms(0) * NS_PER_MS)
    if place.mode == "polled":
        return _after(accept, np.ceil(drawn.ready_ms / policy.poll_interval_ms) * policy.poll_interval_ms)
    return _after(accept, drawn.ready_ms)


def timed(place: Place, drawn: Draws, *, shadow: bool) -> Times:
    """What comes when, under the place's policy.

    Args:
        place: its policy decides.
        drawn: what the policy does not decide.
        shadow: in mode ``blind``, whether the application says when it is ready.
    """
    accept, ready = _ns(drawn.accept_ms), said_ready(place, drawn)
    truly_ready = _after(accept, drawn.ready_ms)
    timeout = np.full(len(accept), int(place.policy.handshake_timeout_ms * NS_PER_MS))
    arrives = _after(accept, drawn.message_ms)
    delivered = np.maximum(arrives, _opens(place, ready, timeout))
    reply = _after(delivered, drawn.reply_ms)
    end, leaves = _ends(drawn, accept, np.minimum(ready, truly_ready), reply)
    at = {
        "C": np.full(len(accept), CONNECT_NS),
        "A": accept,
        "T": timeout if place.mode in ("event", "polled") else np.full(len(accept), NEVER),
        "P": truly_ready if place.mode == "blind" and shadow else np.full(len(accept), NEVER),
        "G": ready,
        "R": delivered,
        "S": reply,
    }
    at["T"] = np.where(at["T"] < ready, at["T"], NEVER)
    at = {name: np.where(times < end, times, NEVER) for name, times in at.items()}
    at |= _talk(drawn, at, end)
    closes = drawn.closes & ~leaves
    at |= {"D": np.where(closes, NEVER, end), "X": np.where(closes, end, NEVER), "Z": end + RETURN_NS}
    meets = np.where(at["P"] != NEVER, at["P"], ready)
    held = np.where((place.gate == "hold") & (arrives < at["R"]) & (at["R"] != NEVER), at["R"] - arrives, -1)
    return Times(
        at=at,
        early=(at["R"] < meets) & (place.mode != "auto"),
        held_ms=np.where(held >= 0, held / NS_PER_MS, np.nan),
        close_code=np.where(closes, 1000, np.where(leaves, 1001, drawn.close_code)),
    )


def play(climate: Climate, place: Place, arrivals: Arrivals, drawn: Draws) -> list[Group]:
    """Say what came first for each connection, and put those together that took the same course."""
    times = timed(place, drawn, shadow=climate.plan.shadow)
    letters = {**EVENTS, **ENDS}
    names = tuple(letters)
    matrix = np.column_stack([times.at[name] for name in names])
    order = np.argsort(matrix, axis=1, kind="stable")
    event_ns = np.take_along_axis(matrix, order, axis=1)
    order[event_ns == NEVER] = len(names)
    key = (order * (len(names) + 1) ** np.arange(len(names), dtype=np.int64)).sum(axis=1)
    groups = []
    for one in np.unique(key):
        rows = np.flatnonzero(key == one)
        taken = [names[index] for index in order[rows[0]] if index < len(names)]
        course = Course(tuple(letters[name] for name in taken))
        group = _Played(climate, place, drawn, times, rows).group(course, event_ns[rows, : len(taken)], arrivals)
        groups.append(group)
    return groups


def _opens(place: Place, ready: Int64, timeout: Int64) -> Int64:
    """From when messages are delivered: where readiness IS the first receive, or a gate keeps them back, not before."""
    if place.mode == "auto":
        return _later(ready, 1000)
    if place.gate == "hold":  # whose timeout opens it
        return _later(np.minimum(ready, timeout), 1000)
    return np.zeros(len(ready), np.int64)


def _ends(drawn: Draws, accept: Int64, ready: Int64, reply: Int64) -> tuple[Int64, Bool]:
    """When each ends, and whether that is because the client had waited long enough."""
    lives = _after(np.where(ready == NEVER, accept, ready), drawn.lives_ms)
    gives_up = _after(accept, drawn.leaves_ms)
    leaves = gives_up < np.minimum(np.minimum(ready, reply), lives)
    end = np.where(leaves, gives_up, np.where(reply == NEVER, lives, np.maximum(lives, _later(reply, NS_PER_MS))))
    return end, leaves


def _talk(drawn: Draws, at: dict[str, Int64], end: Int64) -> dict[str, Int64]:
    """The second message, when everything else has been settled, and the last reply."""
    known = [np.where(at[name] == NEVER, 0, at[name]) for name in "ATPGRS"]
    settled = np.maximum.reduce(known) + NS_PER_MS
    talks = (drawn.messages > 1) & (at["S"] != NEVER) & (at["G"] != NEVER) & (settled + 2 * NS_PER_MS < end)
    last = settled + 1000 + (drawn.talk * np.maximum(end - settled - 2000, 0)).astype(np.int64)
    return {"M": np.where(talks, settled, NEVER), "W": np.where(talks, last, NEVER)}


@dataclass(frozen=True)
class _Played:
    """Connections that took one course, as rows of all that were drawn together."""

    climate: Climate
    place: Place
    drawn: Draws
    times: Times
    rows: npt.NDArray[np.intp]

    def group(self, course: Course, event_ns: Int64, arrivals: Arrivals) -> Group:
        times, rows = self.times, self.rows
        n, early = len(rows), bool(times.early[rows[0]])
        received, sent = self._messages(course)
        frames = [event_ns[:, index] for index, event in enumerate(course.events) if event in "ARS"]
        own = arrivals.chosen(rows)
        return Group(
            course=course,
            place=self.place,
            started_ns=own.started_ns,
            event_ns=event_ns,
            tail=own.tail,
            version=self.climate.version_at(own.started_ns),
            truth=self._truth(course, early=early),
            last_frame_ns=np.maximum.reduce(frames),
            received=received.astype(np.int64),
            sent=sent.astype(np.int64),
            early=np.full(n, int(early)),
            close_code=times.close_code[rows].astype(np.int64),
            held_ms=times.held_ms[rows],
            user=own.user,
        )

    def _messages(self, course: Course) -> tuple[Int64, Int64]:
        if self.times.at["M"][self.rows[0]] != NEVER:
            return self.drawn.messages[self.rows], self.drawn.messages[self.rows]
        n = len(self.rows)
        return np.full(n, int("R" in course.first)), np.full(n, int("S" in course.first))

    def _truth(self, course: Course, *, early: bool) -> Truth:
        patterns = ("early_message_before_ready",) * early + ("handshake_stalled",) * ("T" in course.first)
        seen_ready = ("G" in course.first and self.place.mode != "blind") or "P" in course.first
        return Truth(
            cause="race" if patterns else "clean",
            patterns=patterns,
            ready_ms=self.drawn.ready_ms[self.rows],
            cold=self.drawn.cold[self.rows],
            censored=np.full(len(self.rows), not seen_ready),
        )


def _ns(ms: Float64) -> Int64:
    finite = np.isfinite(ms)
    return np.where(finite, (np.minimum(np.where(finite, ms, 0.0), 1e12) * NS_PER_MS).astype(np.int64), NEVER)


def _later(at_ns: Int64, by_ns: int) -> Int64:
    return np.where(at_ns == NEVER, NEVER, np.where(at_ns == NEVER, 0, at_ns) + by_ns)


def _after(base_ns: Int64, ms: Float64) -> Int64:
    """So many milliseconds after; never where either is never."""
    added = _ns(ms)
    never = (base_ns == NEVER) | (added == NEVER)
    return np.where(never, NEVER, np.where(never, 0, base_ns) + np.where(never, 0, added))
