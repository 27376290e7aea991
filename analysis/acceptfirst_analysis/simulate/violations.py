"""When the library would report a violation, and since when it had been one."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.simulate.course import Course
from acceptfirst_analysis.simulate.group import Bool, Float64, Group, Int64
from acceptfirst_analysis.simulate.plan import NS_PER_MS


@dataclass(frozen=True)
class Violations:
    """One pattern, reported of some connections of a group.

    Attributes:
        pattern: as the catalogue has it, at the severity of what showed it.
        of: of which connections.
        caused_ns: the event that it goes back to, since each connection began.
        at_ns: when it was reported, the same.
        signature: what had been seen by then.
        unread_ms: the longest time without a pending receive by then, NaN where that is not notable.
    """

    pattern: Pattern
    of: Bool
    caused_ns: Int64
    at_ns: Int64
    signature: str
    unread_ms: Float64


def violations(group: Group, reported: dict[str, Bool], catalogue: Catalogue) -> list[Violations]:
    """What ``Group.reported`` found, with its times."""
    return [_violation(group, catalogue[name], mask, catalogue) for name, mask in reported.items()]


def _violation(group: Group, pattern: Pattern, mask: Bool, catalogue: Catalogue) -> Violations:
    course = group.course
    event = len(course.events) - 1 if pattern.name in catalogue.supersedable else _shown_by(course, pattern)
    if "P" in course.first and "R" in course.first and course.first.get("G", 0) < course.first["R"]:
        event = max(event, course.first["P"])  # in blind mode only ready() tells that a message was too early
    at_ns = group.event_ns[:, event]
    unread_ms = _unread_ms(pattern)
    if unread_ms and "A" in course.first:  # found while it goes on, whatever has happened by then
        at_ns = np.maximum(at_ns, group.event_ns[:, course.first["A"]] + int(unread_ms * NS_PER_MS))
        event = int((group.event_ns <= at_ns[:, None]).sum(axis=1).min()) - 1
    seen = Course(course.events[: event + 1]).signature
    caused_ns = _caused_ns(group, pattern)
    return Violations(_at_severity(course, pattern), mask, caused_ns, at_ns, seen, group.unread_until_ms(at_ns))


def _caused_ns(group: Group, pattern: Pattern) -> Int64:
    """When the first of the events that it may go back to happened, or the connection began."""
    moments = [group.connect_ns if letter == "C" else group.at(letter) for letter in pattern.caused_by]
    known = [moment for moment in moments if moment is not None]
    return np.minimum.reduce(known) if known else np.zeros(len(group), np.int64)


@functools.cache
def _at_severity(course: Course, pattern: Pattern) -> Pattern:
    return next((pattern.shown_by(m) for m in pattern.matches if re.search(m.signature, course.signature)), pattern)


@functools.cache
def _shown_by(course: Course, pattern: Pattern) -> int:
    """Place of the first event with which the pattern's signature is complete."""
    for place in range(len(course.events)):
        signature = Course(course.events[: place + 1]).signature
        if any(re.search(match.signature, signature) for match in pattern.matches):
            return place
    return len(course.events) - 1


def _unread_ms(pattern: Pattern) -> float:
    bounds = [c.minimum for m in pattern.matches for c in m.conditions if c.field == "unread_ms" and c.minimum]
    return min(bounds, default=0.0)
