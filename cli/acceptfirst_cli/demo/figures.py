"""The figures of one run, each from the side that knows it best, and what follows when they are put side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptfirst_chat.plants import CHAT_ROUTE, PLANTS, TIMING_RACE
from acceptfirst_chat.traffic import Driven

Found = dict[tuple[str, str], int]
"""Connections by route and pattern."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What the backend counted, without AcceptFirst.

    Attributes:
        connections: that reached the application.
        transitions: spans that were handed to the exporter.
        planted: connections that showed a bug, by its name.
    """

    connections: int
    transitions: int
    planted: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> Happened:
        """From the ledger that the backend wrote when it stopped."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(document["connections"], document["transitions"], document["planted"])

    def expected(self) -> Found:
        """What should be found: each plant's pattern on its own route, and nothing else."""
        plants = [(PLANTS[name], count) for name, count in self.planted.items()]
        return {(plant.route, plant.pattern): count for plant, count in plants if plant.pattern is not None}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the collector's store says of the same run.

    Attributes:
        connections: handshakes.
        transitions: of them.
        found: what was classified.
        chat_ready_p95_ms: on the chat's route, from connect to ready, as the backend saw each connection; ``None``
            where none became ready.
    """

    connections: int
    transitions: int
    found: Found
    chat_ready_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """One run: the clients' side, the backend's and the store's."""

    driven: Driven
    happened: Happened
    stored: Stored

    @property
    def timing_races(self) -> int:
        """Messages that were handled before their session existed, as found."""
        return sum(count for (_, pattern), count in self.stored.found.items() if pattern == TIMING_RACE.pattern)

    @property
    def code_violations(self) -> int:
        """Connections with a bug that only a change of the code cures."""
        return sum(self.stored.found.values()) - self.timing_races

    @property
    def patient_waits_ms(self) -> list[float]:
        """How long each guest that got an answer had waited for it, ascending."""
        return sorted(stay.waited_ms for stay in self.driven.stays if stay.answered)

    @property
    def unanswered(self) -> int:
        """Guests that wanted an answer and never got one."""
        return sum(1 for stay in self.driven.stays if not stay.answered and stay.kind != "impatient")

    @property
    def mismatches(self) -> list[str]:
        """Where what was found is not what was planted, in words."""
        return mismatches(self.happened.expected(), self.stored.found)


def mismatches(planted: Mapping[tuple[str, str], int], found: Mapping[tuple[str, str], int]) -> list[str]:
    """Each route and pattern whose two counts differ.

    Args:
        planted: connections by route and pattern, as the backend counted them.
        found: the same, as AcceptFirst classified them.
    """
    return [
        f"{pattern} on {route}: planted {planted.get((route, pattern), 0)}, found {found.get((route, pattern), 0)}"
        for route, pattern in sorted(planted.keys() | found.keys())
        if planted.get((route, pattern), 0) != found.get((route, pattern), 0)
    ]


def found_of(rows: Iterable[Mapping[str, Any]]) -> Found:
    """Connections by route and pattern, from the rows of the statement ``pattern_counts``."""
    found: Found = {}
    for row in rows:
        key = (str(row["route"]), str(row["pattern_type"]))
        found[key] = found.get(key, 0) + int(row["connections"])
    return found


def chat_ready_p95_ms(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """The chat's p95 from connect to ready, from the rows of the statement ``handshake_summary``."""
    for row in rows:
        value = row["handshake_p95_ms"]
        if row["route"] == CHAT_ROUTE and value is not None and math.isfinite(float(value)):
            return float(value)
    return None


def percentile_ms(ascending: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; 0 of nothing.

    Args:
        ascending: values in ascending order.
        share: such as 0.95.
    """
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
