"""Deploys that made handshakes worse (pattern 25): which, by what, and with which connection each began.

The store counts, by ten minutes; the test is not SQL, so it is made here, and what was found goes back as rows. Two
things would make it cry wolf: looking again and again while a day's handshakes come in, and handshakes that are slow
together. Against the first stands a level of one in ten thousand for each deploy, and that the change must be large;
against the second, that the first ten minutes don't count (a start may be cold) and that a change must still be there
when the two worst ten minutes of the new version are left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Protocol

from acceptfirst_analysis.statistics.deploys import COLD_RATIO, Change, race_change, readiness_changes
from acceptfirst_store.statements import statement

PATTERN: Final = "regression_after_deploy"

BINS_PER_DECADE: Final = 100
MICROSECONDS_PER_MS: Final = 1000.0

ALPHA: Final = 1e-4
RATIO_MIN: Final[Mapping[str, float]] = {"median": 1.5, "cold_share": 3.0, "race_share": 2.0}
HITS_MIN: Final = 20
HANDSHAKES_MIN: Final = 200
SPANS_MIN: Final = 8
"""Ten-minute spans of the new version, two of which are left out."""

WORST_SPANS: Final = 2

_WORDS: Final = {
    "median": "the median from connect to ready went from {:.1f} to {:.1f} ms",
    "cold_share": "the share that took five times as long as usual went from {:.2%} to {:.2%}",
    "race_share": "the share with a race went from {:.2%} to {:.2%}",
}


class RowReader(Protocol):
    """What is needed of a store: to read rows."""

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Read rows."""
        ...


@dataclass(frozen=True, slots=True)
class Counted:
    """Times from connect to ready, in bins of a hundredth of a decade; without numpy, see ``deploys``.

    Attributes:
        bins: times by the bin that they fell into.
        n_never: that never became ready.
    """

    bins: Mapping[int, int]
    n_never: int

    @property
    def n(self) -> int:
        """All of them."""
        return sum(self.bins.values()) + self.n_never

    @property
    def median_ms(self) -> float:
        """Of those that became ready, to the bin's middle; NaN where none did."""
        left = sum(self.bins.values()) / 2
        for number, times in sorted(self.bins.items()):
            left -= times
            if left <= 0:
                return float(10 ** ((number + 0.5) / BINS_PER_DECADE)) / MICROSECONDS_PER_MS
        return math.nan

    def above(self, limit_ms: float) -> int:
        """How many took longer than a limit, or never became ready; the limit is taken up to its bin's end."""
        last = math.floor(BINS_PER_DECADE * math.log10(limit_ms * MICROSECONDS_PER_MS))
        return sum(times for number, times in self.bins.items() if number > last) + self.n_never

    def __add__(self, other: Counted) -> Counted:
        """Both together."""
        return Counted(Counter(self.bins) + Counter(other.bins), self.n_never + other.n_never)


@dataclass(frozen=True, slots=True)
class Span:
    """Ten minutes of one version on one route.

    Attributes:
        n: drawn handshakes.
        n_race: of them, those with a race.
        times: connect to ready.
    """

    n: int
    n_race: int
    times: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A deploy that made one route worse.

    Attributes:
        environment: where.
        service: where.
        route: where.
        before: ``service.version`` before.
        after: the new one.
        started_ms: when it began to serve, Unix milliseconds.
        connection_id: the first connection of it on the route, hex.
        n_before: drawn handshakes that were compared.
        n_after: of the new version.
        changes: what got worse, each with its adjusted p-value.
    """

    environment: str
    service: str
    route: str
    before: str
    after: str
    started_ms: int
    connection_id: str
    n_before: int
    n_after: int
    changes: tuple[tuple[Change, float], ...]

    @property
    def sentence(self) -> str:
        """The evidence, for a person."""
        worse = "; ".join(
            f"{_WORDS[change.measure].format(change.before, change.after)} (p {_p_text(p)})"
            for change, p in self.changes
        )
        return (
            f"Since version {self.after} serves in place of {self.before}: {worse}; {self.n_after} handshakes against "
            f"{self.n_before}, Fisher's exact test (Bonferroni), and as much without the two worst ten minutes. "
            "This connection is the first of the new version on the route, not the cause."
        )


def regressions(store: RowReader, parameters: Mapping[str, Any]) -> list[Regression]:
    """The deploys of a range that made a route worse.

    Args:
        store: open for reading.
        parameters: ``environment``, ``since`` and ``until`` as in the named statements; a deploy is of the range in
            which its version began to serve.

    Raises:
        StoreError: when the store can't be read.
    """
    asked = {name: parameters[name] for name in ("environment", "since", "until")}
    deploys = store.rows(statement("deploys"), asked)
    if not deploys:
        return []
    outcomes = store.rows(statement("deploy_outcomes"), _columns(deploys))
    by_deploy = groupby(outcomes, key=lambda row: int(row["deploy"]))
    return [found for number, rows in by_deploy for found in _of_deploy(deploys[number - 1], list(rows))]


def occurrence_parameters(found: Sequence[Regression]) -> dict[str, Any]:
    """What the statement ``occurrences_regression_after_deploy`` is bound to."""
    return {
        "ids": [one.connection_id for one in found],
        "environments": [one.environment for one in found],
        "services": [one.service for one in found],
        "routes": [one.route for one in found],
        "sentences": [one.sentence for one in found],
        "started": [one.started_ms for one in found],
    }


def _columns(deploys: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = {"environments": "environment", "services": "service", "befores": "before", "afters": "after"}
    texts = {plural: [str(row[name]) for row in deploys] for plural, name in names.items()}
    return {**texts, "started": [int(row["started_ms"]) for row in deploys]}


@dataclass(frozen=True, slots=True)
class _Route:
    """What one deploy did to one route."""

    route: str
    first_id: str
    before: Span
    after: Sequence[Span]

    @property
    def is_known(self) -> bool:
        """Whether there is enough on either side to compare, and the new version has been seen for long enough."""
        return len(self.after) >= SPANS_MIN and all(
            one.n >= HANDSHAKES_MIN and one.times.bins for one in (self.before, _together(self.after))
        )

    def changes(self) -> list[Change]:
        """Every measure, both versions whole."""
        return _changes(self.before, _together(self.after))

    def lasts(self, change: Change) -> bool:
        """Whether a measure is as much worse when the worst ten minutes are left out."""
        limit_ms = self.before.times.median_ms * (COLD_RATIO if change.measure == "cold_share" else 1.0)

        def hits(span: Span) -> int:
            return span.n_race if change.measure == "race_share" else span.times.above(limit_ms)

        rest = _together(sorted(self.after, key=hits)[:-WORST_SPANS])
        if not rest.n or not rest.times.bins:
            return False
        left = next(one for one in _changes(self.before, rest) if one.measure == change.measure)
        return left.p_value <= ALPHA and _matters(left)


def _of_deploy(deploy: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[Regression]:
    """Its routes that got worse; adjusted (Bonferroni) for all that was asked about this one deploy."""
    routes = [_route(name, list(own)) for name, own in groupby(rows, key=lambda row: str(row["route"]))]
    known = [(route, route.changes()) for route in routes if route.is_known]
    asked = sum(len(changes) for _, changes in known)
    for route, changes in known:
        judged = [(change, min(1.0, change.p_value * asked)) for change in changes]
        worse = tuple((c, p) for c, p in judged if p <= ALPHA and _matters(c) and route.lasts(c))
        if worse:
            yield Regression(
                environment=str(deploy["environment"]),
                service=str(deploy["service"]),
                route=route.route,
                before=str(deploy["before"]),
                after=str(deploy["after"]),
                started_ms=int(deploy["started_ms"]),
                connection_id=route.first_id,
                n_before=route.before.n,
                n_after=_together(route.after).n,
                changes=worse,
            )


def _route(name: str, rows: Sequence[Mapping[str, Any]]) -> _Route:
    of_new = [row for row in rows if row["phase"] != "before"]
    first = min(of_new, key=lambda row: int(row["slot"]), default=None)
    before, after = ([_span(row) for row in rows if row["phase"] == phase] for phase in ("before", "after"))
    return _Route(name, str(first["first_id"]) if first else "", _together(before), after)


def _span(row: Mapping[str, Any]) -> Span:
    return Span(int(row["n"]), int(row["n_race"]), _counted(row))


def _counted(row: Mapping[str, Any]) -> Counted:
    # 64-bit integers come as text where JSON was between us and the store.
    bins = {int(number): int(times) for number, times in zip(row["bins"], row["counts"], strict=True)}
    return Counted(bins, int(row["n_never"]))


def _together(spans: Sequence[Span]) -> Span:
    times = sum((span.times for span in spans), Counted({}, 0))
    return Span(sum(span.n for span in spans), sum(span.n_race for span in spans), times)


def _changes(before: Span, after: Span) -> list[Change]:
    return [
        *readiness_changes(before.times, after.times),
        race_change((before.n_race, before.n), (after.n_race, after.n)),
    ]


def _matters(change: Change) -> bool:
    return change.ratio >= RATIO_MIN[change.measure] and change.hits >= HITS_MIN


def _p_text(p_value: float) -> str:
    return "under 1e-9" if p_value < 1e-9 else f"{p_value:.1g}"  # noqa: PLR2004 - what nobody needs to know more exactly
