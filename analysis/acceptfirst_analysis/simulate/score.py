"""How well what was found agrees with what is true: precision, recall and F1 of each pattern."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from acceptfirst_analysis.simulate.world import Block


@dataclass(frozen=True, slots=True)
class Score:
    """One pattern's.

    Attributes:
        right: connections of which it was said and is true.
        wrong: of which it was said and is not true.
        missed: of which it is true and was not said.
    """

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of what was said that is true; 1 where nothing was said."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of what is true that was said; 1 where nothing is."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def truth_of(blocks: Iterable[Block]) -> dict[str, frozenset[str]]:
    """The true patterns of each connection that leaves spans, by its id (hex); innocent ones are in it too."""
    truth: dict[str, frozenset[str]] = {}
    for block in blocks:
        for index, group in enumerate(block.groups):
            names = frozenset(group.truth.patterns)
            ids = group.ids[block.stored(index)]
            truth.update((bytes(row).hex(), names) for row in ids)
    return truth


def scores(truth: Mapping[str, AbstractSet[str]], found: Mapping[str, AbstractSet[str]]) -> dict[str, Score]:
    """Each pattern's score.

    Args:
        truth: patterns by connection, innocent connections included.
        found: patterns by connection; connections that are not in ``truth`` count as innocent.
    """
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for connection in truth.keys() | found.keys():
        true, said = truth.get(connection, frozenset()), found.get(connection, frozenset())
        right.update(true & said)
        wrong.update(said - true)
        missed.update(true - said)
    names = sorted({*right, *wrong, *missed})
    return {name: Score(right[name], wrong[name], missed[name]) for name in names}
