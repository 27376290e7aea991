"""What a pattern is, and when it holds.

Evaluated when a connection ends or a guard fires, so the signature part of the answer is remembered: distinct
signatures are few, connections are many.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal, Protocol

Severity = Literal["warning", "critical", "fatal"]
DelayHelps = Literal["cures", "masks", "useless", "worsens"]
FixedBy = Literal["gate", "code", "client"]
Scope = Literal["connection", "fleet"]
"""What it takes to see a pattern: one connection, or the many of a store."""

_REMEMBERED_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one connection showed. ``None`` means not known, which is not the same as zero.

    Attributes:
        signature: its events, letters of ``acceptfirst.signature.ALPHABET``.
        accept_ms: the server handed the connection over to accept returned.
        dwell_ms: accept returned to the end: the disconnect delivered, or the application's close before it.
        idle_ms: last frame either way to disconnect delivered.
        unread_ms: the longest time, while it was accepted and open, in which no receive was pending, so that nothing
            could have told the application that the client had left. Under a second it is not told.
        close_code: of the close or the disconnect that ended it.
        messages_early: messages handled before the application was ready, outside a receiving phase.
        readiness_mode: ``auto``, ``event``, ``polled`` or ``blind``.
        error_kind: of the exception that left the application: ``dependency``, ``client_gone`` or ``application``.
    """

    signature: str
    accept_ms: float | None = None
    dwell_ms: float | None = None
    idle_ms: float | None = None
    unread_ms: float | None = None
    close_code: int | None = None
    messages_early: int | None = None
    readiness_mode: str | None = None
    error_kind: str | None = None


class EvidenceLike(Protocol):
    """Whatever has a signature and, as attributes, the fields of ``Evidence``."""

    @property
    def signature(self) -> str:
        """The events of the connection."""


EVIDENCE_FIELDS: Final = frozenset(f.name for f in fields(Evidence)) - {"signature"}

EVIDENCE_KINDS: Final[dict[str, type]] = {
    "accept_ms": float,
    "dwell_ms": float,
    "idle_ms": float,
    "unread_ms": float,
    "close_code": int,
    "messages_early": int,
    "readiness_mode": str,
    "error_kind": str,
}
"""What each field holds where it is known."""


_Test = Callable[[Any], bool]
"""A condition as a function of the evidence."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on one field of the evidence; where the field is not known, ``when_unknown`` is the answer."""

    field: str
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[str | int, ...] = ()
    when_unknown: bool = False

    def holds(self, evidence: EvidenceLike) -> bool:
        """Whether the evidence is within the bound."""
        return _test(self)(evidence)


@dataclass(frozen=True, slots=True)
class Match:
    """One way in which a pattern shows: a signature and the conditions that must hold beside it.

    Attributes:
        signature: a regular expression.
        conditions: all of them must hold.
        severity: of what shows in this way, where it is another than the pattern's.
    """

    signature: str
    conditions: tuple[Condition, ...] = ()
    severity: Severity | None = None

    def holds(self, evidence: Evidence) -> bool:
        """Whether the signature is found and every condition holds."""
        return bool(re.search(self.signature, evidence.signature)) and all(
            condition.holds(evidence) for condition in self.conditions
        )


@dataclass(frozen=True, slots=True)
class Pattern:
    """One race: how it shows, what causes it, what mends it and what waiting does to it.

    One of scope ``fleet`` has no matches: the store finds it among many connections, by the named statement
    ``occurrences_<name>``.
    """

    number: int
    name: str
    severity: Severity
    title: str
    cause: str
    remedy: str
    delay_helps: DelayHelps
    fixed_by: FixedBy
    caused_by: str
    matches: tuple[Match, ...]
    supersedes: tuple[str, ...] = ()
    scope: Scope = "connection"

    def shown_by(self, match: Match) -> Pattern:
        """This pattern at the severity of the match that shows it; of several, the first decides."""
        return self if match.severity is None else replace(self, severity=match.severity)

    @property
    def anchor(self) -> str:
        """Where the documentation of this pattern stands, relative to the documentation's root."""
        return f"patterns/{self.name}.md"


Suspect = tuple[tuple[tuple[_Test, ...], tuple[_Test, ...], Pattern], ...]
"""The ways in which one pattern may show: the tests of facts and of times that must hold beside the signature, and the
pattern at the severity that it then has."""

_TIMES: Final = frozenset(name for name, kind in EVIDENCE_KINDS.items() if kind is float)
_facts_of: Final = attrgetter("signature", *(name for name in EVIDENCE_KINDS if name not in _TIMES))
"""What is told of a connection beside times: many connections have the same, so the answer to it is remembered."""


@cache
def _tests(conditions: tuple[Condition, ...], *, of_times: bool) -> tuple[_Test, ...]:
    return tuple(_test(condition) for condition in conditions if (condition.field in _TIMES) is of_times)


@cache
def _test(condition: Condition) -> _Test:
    """The condition as the least work: this is asked for each connection that a server ever has."""
    value_of, unknown = attrgetter(condition.field), condition.when_unknown
    if condition.one_of:
        wanted = frozenset(condition.one_of)
        return lambda evidence: unknown if (value := value_of(evidence)) is None else value in wanted
    low = -math.inf if condition.minimum is None else condition.minimum
    high = math.inf if condition.maximum is None else condition.maximum
    return lambda evidence: unknown if (value := value_of(evidence)) is None else low <= value <= high


@dataclass(frozen=True)
class Catalogue:
    """Patterns in the order of their numbers, looked up by name.

    Attributes:
        patterns: all of them.
        supersedable: names that a later event may explain away, so nobody should report them before the end.
    """

    patterns: tuple[Pattern, ...]
    _by_name: dict[str, Pattern] = field(init=False, repr=False, compare=False)
    supersedable: frozenset[str] = field(init=False, repr=False, compare=False)
    _allowed: dict[tuple[Any, ...], tuple[Suspect, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _remembered: dict[str, tuple[Suspect, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _shared: dict[tuple[Suspect, ...], tuple[Suspect, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {pattern.name: pattern for pattern in self.patterns})
        names = frozenset(name for p in self.of_scope("connection") for name in p.supersedes)
        object.__setattr__(self, "supersedable", names)

    def __getitem__(self, name: str) -> Pattern:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __len__(self) -> int:
        return len(self.patterns)

    def of_scope(self, scope: Scope) -> tuple[Pattern, ...]:
        """The patterns that one connection shows, or those that only many show."""
        return tuple(pattern for pattern in self.patterns if pattern.scope == scope)

    def match(self, evidence: EvidenceLike) -> tuple[Pattern, ...]:
        """The patterns that the evidence shows, without those that another one of them explains."""
        facts = _facts_of(evidence)
        allowed = self._allowed.get(facts)
        if allowed is None:
            allowed = self._allow(facts, evidence)
        found = []
        for suspect in allowed:
            for _, tests, pattern in suspect:
                for test in tests:  # not by all(): its generator would cost more than the tests do
                    if not test(evidence):
                        break
                else:
                    found.append(pattern)
                    break
        return self._unexplained(found) if found else ()

    def _allow(self, facts: tuple[Any, ...], evidence: EvidenceLike) -> tuple[Suspect, ...]:
        """The patterns that the signature may show and the other facts allow: of those only times are left to test."""
        if len(self._allowed) >= _REMEMBERED_MAX:
            self._allowed.clear()
        left = (
            tuple(way for way in suspect if all(test(evidence) for test in way[0]))
            for suspect in self.suspects(evidence.signature)
        )
        self._allowed[facts] = allowed = tuple(ways for ways in left if ways)
        return allowed

    @staticmethod
    def _unexplained(found: list[Pattern]) -> tuple[Pattern, ...]:
        explained = {name for pattern in found for name in pattern.supersedes}
        return tuple(pattern for pattern in found if pattern.name not in explained)

    def suspects(self, signature: str) -> tuple[Suspect, ...]:
        """The patterns that a signature may show; remembered, since a server's connections share a few signatures.

        Returns:
            The same object for all signatures that may show the same.
        """
        suspects = self._remembered.get(signature)
        if suspects is None:
            suspects = self._suspects(signature)
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
                self._shared.clear()
            suspects = self._remembered[signature] = self._shared.setdefault(suspects, suspects)
        return suspects

    def _suspects(self, signature: str) -> tuple[Suspect, ...]:
        shown = (
            tuple(
                (_tests(m.conditions, of_times=False), _tests(m.conditions, of_times=True), p.shown_by(m))
                for m in p.matches
                if re.search(m.signature, signature)
            )
            for p in self
        )
        return tuple(ways for ways in shown if ways)
