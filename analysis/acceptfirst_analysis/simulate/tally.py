"""Counts what was simulated, for whoever asked for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from acceptfirst_analysis.simulate.plan import Plan
from acceptfirst_analysis.simulate.world import Block

SCHEMA_VERSION = 1


class Tally:
    """The sums over blocks that were seen.

    Attributes:
        connections: all of them, those that no span tells of included.
        drawn: those in the sample.
        stored: those that leave spans.
        causes: connections by what made them go as they went.
        patterns: instances of each race, whether anybody can see them or not.
        stored_patterns: of these, the ones that leave spans.
    """

    def __init__(self) -> None:
        self.connections = self.drawn = self.stored = 0
        self.causes: Counter[str] = Counter()
        self.patterns: Counter[str] = Counter()
        self.stored_patterns: Counter[str] = Counter()

    def add(self, block: Block) -> None:
        """Count a block."""
        for index, group in enumerate(block.groups):
            stored = int(block.stored(index).sum())
            self.connections += len(group)
            self.drawn += int(group.drawn.sum())
            self.stored += stored
            self.causes[group.truth.cause] += len(group)
            for name in group.truth.patterns:
                self.patterns[name] += len(group)
                self.stored_patterns[name] += stored

    def to_json(self, plan: Plan) -> dict[str, Any]:
        """The sums with what they are of."""
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": plan.seed,
            "since": plan.since.isoformat(),
            "until": plan.until.isoformat(),
            "connections": self.connections,
            "drawn": self.drawn,
            "stored": self.stored,
            "causes": dict(self.causes.most_common()),
            "patterns": dict(self.patterns.most_common()),
            "stored_patterns": dict(self.stored_patterns.most_common()),
        }
