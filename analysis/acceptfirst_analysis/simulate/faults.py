"""What can go wrong on one connection, as courses: one or more for each pattern that one connection shows.

A fault says which races it is an instance of, from how it was made; it never asks the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from acceptfirst_analysis.simulate.climate import Climate
from acceptfirst_analysis.simulate.course import Course
from acceptfirst_analysis.simulate.group import Arrivals, Float64, Group, Int64, Truth
from acceptfirst_analysis.simulate.plan import NS_PER_MS, Place

Range = tuple[float, float]
UNCLASSIFIED: Final = "unclassified"
"""The label of misbehaviour that the catalogue has no name for."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way in which a connection goes wrong.

    Attributes:
        cause: what it is called.
        course: the events, written with blanks between them.
        patterns: the races that it is an instance of.
        gaps_ms: before the event at this place of the course, a time in this range; elsewhere a few milliseconds.
        close_code: 0 where nothing ended it properly.
        unread: nobody ever receives.
        error: class and kind of the exception that leaves the application.
        messages: how many each way, where there are any.
    """

    cause: str
    course: Course
    patterns: tuple[str, ...]
    gaps_ms: dict[int, Range] = field(default_factory=dict)
    close_code: int = 1000
    unread: bool = False
    error: tuple[str, str] = ("", "")
    messages: int = 3


_LEFT = ("WebSocketDisconnect", "client_gone")
_RUNTIME = ("RuntimeError", "application")
_REDIS = ("ConnectionError", "dependency")


def _fault(cause: str, course: str, *more: str, **own: object) -> Fault:
    error = own.pop("error", _RUNTIME if "E" in course.split() else ("", ""))
    return Fault(cause=cause, course=Course.of(course), patterns=(cause, *more), error=error, **own)  # type: ignore[arg-type] # checked where it is read


FAULTS: Final[tuple[Fault, ...]] = (
    _fault("receive_before_accept", "!R E", close_code=0),
    _fault("receive_before_accept", "C !R E", close_code=0),
    _fault("receive_after_local_close", "C A G R S X !R E"),
    _fault("receive_after_local_close", "C A G X !R E", close_code=4403),
    _fault("receive_after_failed_send", "C A G R S s !R E", close_code=0, error=_LEFT),
    _fault("receive_after_failed_send", "C A G s !R E", close_code=0, error=_LEFT),
    _fault("receive_after_disconnect", "C A G R S D !R E", close_code=1001),
    _fault("receive_after_disconnect", "C A G D !R Z", close_code=1005),
    _fault("send_before_accept", "!S E", close_code=0),
    _fault("send_before_accept", "C !S E", close_code=0),
    _fault("double_accept", "C A !A E", close_code=0),
    _fault("double_accept", "C A G R !A E", close_code=0),
    _fault("accept_after_client_gone", "C a E", gaps_ms={1: (40, 90)}, close_code=0, error=("OSError", "client_gone")),
    _fault("handshake_stalled", "C T A G R S D Z", gaps_ms={2: (50, 4000)}, close_code=1001),
    _fault("handshake_stalled", "C T X Z", "handshake_rejected_403", gaps_ms={2: (50, 4000)}, close_code=1000),
    _fault("handshake_rejected_403", "C X Z", close_code=1008),
    _fault("handshake_rejected_403", "X Z", close_code=1000),
    _fault("handshake_rejected_403", "C E", close_code=0),
    _fault("send_after_disconnect", "C A G R S D s E", close_code=1001, error=_LEFT),
    _fault("send_after_disconnect", "C A G R S s E", close_code=0, error=_LEFT),
    _fault("send_after_close", "C A G R S X !S E"),
    _fault("double_close", "C A G R S X !X E"),
    _fault("double_close", "C A G R S D X Z", close_code=1001),
    _fault("concurrent_receive", "C A G O R S D Z", close_code=1001),
    _fault("concurrent_receive", "C A G R S O X Z"),
    _fault("dependency_not_ready", "C E", close_code=0, error=_REDIS),
    _fault("dependency_not_ready", "C A E", close_code=0, error=_REDIS),
    _fault("auth_timeout", "C A G X Z", gaps_ms={3: (5000, 9000)}, close_code=4408),
    _fault("auth_timeout", "C A G X Z", gaps_ms={3: (5000, 9000)}, close_code=1008),
    _fault("keepalive_timeout", "C A G R S D Z", gaps_ms={5: (39_500, 41_000)}, close_code=1006),
    _fault("keepalive_timeout", "C A G R S D Z", gaps_ms={5: (100, 900)}, close_code=1011),
    _fault("zombie_half_open", "C A G S X Z", gaps_ms={4: (90_000, 400_000)}, unread=True),
    _fault(
        "zombie_half_open",
        "C A G S s E",
        "send_after_disconnect",
        gaps_ms={4: (90_000, 400_000)},
        unread=True,
        close_code=0,
        error=_LEFT,
    ),
    _fault("receive_on_unaccepted_object", "C A !R E", close_code=0),
    _fault("receive_on_unaccepted_object", "C A !S E", close_code=0),
    _fault(UNCLASSIFIED, "C A G R S E", close_code=0, error=("KeyError", "application")),
    _fault(UNCLASSIFIED, "C A G R E", close_code=0, error=("ValueError", "application")),
)
"""The races of time, ``early_message_before_ready`` and most of ``handshake_stalled``, come about by themselves."""

CAUSES: Final = tuple(dict.fromkeys(fault.cause for fault in FAULTS))


def fault_groups(
    climate: Climate, place: Place, fault: Fault, arrivals: Arrivals, rng: np.random.Generator
) -> list[Group]:
    """Connections of one place that go wrong in one way; other arguments as in ``natural_groups``."""
    n = len(arrivals)
    if not n:
        return []
    event_ns = _event_times(fault, place, n, rng)
    course = fault.course
    if fault.unread and place.mode == "auto":  # there, ready is the first receive, of which there is none
        ready = course.first["G"]
        course = Course(course.events[:ready] + course.events[ready + 1 :])
        event_ns = np.delete(event_ns, ready, axis=1)
    frames = [event_ns[:, i] for i, event in enumerate(course.events) if event in "ARS"]
    talks = "R" in course.first and "S" in course.first
    # A run of messages holds as many as there were; a letter that stands alone is one message.
    counts = {
        letter: rng.integers(1, fault.messages + 1, n) if talks else np.full(n, int(letter in course.first))
        for letter in "RS"
    }
    return [
        Group(
            course=course,
            place=place,
            started_ns=arrivals.started_ns,
            event_ns=event_ns,
            tail=arrivals.tail,
            version=climate.version_at(arrivals.started_ns),
            truth=Truth(
                cause=fault.cause,
                patterns=fault.patterns,
                ready_ms=np.full(n, np.nan) if "G" not in course.first else _ready_ms(course, event_ns),
                cold=climate.is_cold(arrivals.started_ns),
                censored=np.full(n, "G" not in course.first),
            ),
            last_frame_ns=np.maximum.reduce(frames) if frames else np.zeros(n, np.int64),
            received=counts["R"],
            sent=counts["S"],
            early=np.zeros(n, np.int64),
            close_code=np.full(n, fault.close_code),
            unread=fault.unread,
            held_ms=np.full(n, np.nan),
            user=arrivals.user,
            error_type=fault.error[0],
            error_kind=fault.error[1],
        )
    ]


def _event_times(fault: Fault, place: Place, n: int, rng: np.random.Generator) -> Int64:
    gaps: list[Float64] = []
    for index, event in enumerate(fault.course.events):
        low_ms, high_ms = fault.gaps_ms.get(index, (0.05, 4.0) if index else (0.01, 0.05))
        gap_ms = rng.uniform(low_ms, high_ms, n)
        if event == "T":
            gap_ms = np.full(n, place.policy.handshake_timeout_ms) - sum(gaps)
        if event == "G" and place.mode == "blind":
            gap_ms = np.full(n, place.policy.delay_ms(0))
        gaps.append(gap_ms)
    return np.cumsum((np.column_stack(gaps) * NS_PER_MS).astype(np.int64), axis=1)


def _ready_ms(course: Course, event_ns: Int64) -> Float64:
    ready_ms: Float64 = (event_ns[:, course.first["G"]] - event_ns[:, course.first["A"]]) / NS_PER_MS
    return ready_ms
