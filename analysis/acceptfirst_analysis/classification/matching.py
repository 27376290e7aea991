"""The catalogue compiled to SQL: which signatures and which evidence show which pattern.

Regular expressions are run once for each distinct signature of the connections at hand, never once for each connection:
``shapes_sql`` gives each signature a set of bits, one for each match whose expression it fits, and ``suspicious_sql``
tells from the bits and a row's own figures whether the row may belong to a connection that shows something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from acceptfirst.catalogue import Catalogue, Condition, Match, Pattern

#: Each field of the evidence as a settled connection has it; NULL where it is not known.
FIELD_SQL: Final = {
    "accept_ms": "if(toUnixTimestamp64Nano(connected_at) = 0, NULL, "
    "(toUnixTimestamp64Nano(connected_at) - toUnixTimestamp64Nano(first_seen)) / 1e6)",
    "dwell_ms": "dwell_ms",
    "idle_ms": "idle_ms",
    "unread_ms": "unread_ms",
    "close_code": "nullIf(close_code, 0)",
    "messages_early": "messages_early",
    "readiness_mode": "nullIf(toString(readiness_mode), '')",
    "error_kind": "nullIf(toString(error_kind), '')",
}

TEXT_FIELDS: Final = frozenset({"readiness_mode", "error_kind"})
_NEVER_NULL: Final = frozenset({"messages_early"})
_EMPTY: Final = {"close_code": "0", "error_kind": "''"}
"""How a row says that it does not know."""

_OF_ONE_ROW: Final = frozenset({"dwell_ms", "idle_ms", "unread_ms", "close_code", "messages_early", "error_kind"})
"""Fields that come with the signature, in one span. The others must be put together from several rows."""

_BITS: Final = 63
"""Of a word; one is left, so that no word is negative to whoever reads it as a signed number."""


@dataclass(frozen=True)
class Compiled:
    """A catalogue as SQL expressions.

    Attributes:
        patterns: those that one connection shows.
        matches: theirs, numbered from 0 in this order.
    """

    patterns: tuple[Pattern, ...]
    matches: tuple[Match, ...]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Compiled:
        """Compile a catalogue."""
        patterns = catalogue.of_scope("connection")
        return cls(patterns, tuple(match for pattern in patterns for match in pattern.matches))

    def shapes_sql(self, signature: str, innocent: str) -> str:
        """Words of bits, as an array: one bit for each match, and the last for a signature that is not innocent.

        Args:
            signature: SQL of the signature.
            innocent: the regular expression of signatures in which nothing goes wrong.
        """
        bits = [f"match({signature}, {quoted(match.signature)})" for match in self.matches]
        bits.append(f"NOT match({signature}, {quoted(innocent)})")
        words = [bits[first : first + _BITS] for first in range(0, len(bits), _BITS)]
        return f"[{', '.join(map(_word_sql, words))}]"

    def suspicious_sql(self, words: Sequence[str]) -> str:
        """Whether a row may belong to a connection that shows something; never no where the answer is yes.

        Args:
            words: SQL of each word of the row's signature.
        """
        by_condition: dict[str, int] = {}
        for number, match in enumerate(self.matches):
            key = " AND ".join(_row_conditions(match))
            by_condition[key] = by_condition.get(key, 0) | 1 << number
        by_condition[""] = by_condition.get("", 0) | 1 << len(self.matches)
        ways = [_way_sql(words, bits, condition) for condition, bits in by_condition.items()]
        return " OR ".join(ways)

    @property
    def words(self) -> int:
        """How many words there are."""
        return len(self.matches) // _BITS + 1

    def strange_sql(self) -> str:
        """Whether the words ``bits_<n>`` of a settled connection say that its signature is not innocent."""
        return _bit_sql(len(self.matches))

    def pattern_sql(self, pattern: Pattern) -> str:
        """Whether the words ``bits_<n>`` and the columns ``known_<field>`` show the pattern."""
        own = self._numbers(pattern)
        return "(" + " OR ".join(f"({self.match_sql(number)})" for number in own) + ")"

    def severity_sql(self, pattern: Pattern) -> str:
        """The pattern's severity, or that of the first match that holds."""
        if not any(match.severity for match in pattern.matches):
            return quoted(pattern.severity)
        ways = [
            f"{self.match_sql(number)}, {quoted(pattern.shown_by(self.matches[number]).severity)}"
            for number in self._numbers(pattern)
        ]
        return f"multiIf({', '.join(ways)}, {quoted(pattern.severity)})"

    def match_sql(self, number: int) -> str:
        """Whether they show it in this way."""
        conditions = [_condition_sql(c, f"known_{c.field}") for c in self.matches[number].conditions]
        return " AND ".join([_bit_sql(number), *conditions])

    def _numbers(self, pattern: Pattern) -> list[int]:
        first = sum(len(before.matches) for before in self.patterns[: self.patterns.index(pattern)])
        return list(range(first, first + len(pattern.matches)))


def _row_conditions(match: Match) -> list[str]:
    """What a single row must show; nothing, where only the whole signature can match, and may be another row's."""
    if "$" in match.signature:
        return []
    return [_row_condition_sql(c) for c in match.conditions if c.field in _OF_ONE_ROW]


def _row_condition_sql(condition: Condition) -> str:
    """The condition on a row as it lies: the columns themselves, which is quicker than what they stand for."""
    column = condition.field
    comparison = _comparison_sql(condition, column)
    if column in _NEVER_NULL:
        return f"({comparison})"
    if column not in _EMPTY:
        return f"ifNull({comparison}, {int(condition.when_unknown)})"
    unknown = f"{column} = {_EMPTY[column]}"
    return f"({unknown} OR {comparison})" if condition.when_unknown else f"(NOT {unknown} AND {comparison})"


def _bit_sql(number: int) -> str:
    return f"bitTest(bits_{number // _BITS}, {number % _BITS})"


def _word_sql(bits: Sequence[str]) -> str:
    return " + ".join(f"toUInt64({bit}) * {1 << number}" for number, bit in enumerate(bits))


def _way_sql(words: Sequence[str], bits: int, condition: str) -> str:
    masks = [(word, bits >> number * _BITS & (1 << _BITS) - 1) for number, word in enumerate(words)]
    shown = " OR ".join(f"bitAnd({word}, {mask}) != 0" for word, mask in masks if mask)
    return f"(({shown}) AND {condition})" if condition else f"({shown})"


def fields_sql() -> str:
    """The evidence of a settled connection as columns ``known_<field>``."""
    return ", ".join(f"{sql} AS known_{name}" for name, sql in FIELD_SQL.items())


def _condition_sql(condition: Condition, column: str) -> str:
    comparison = _comparison_sql(condition, column)
    if condition.field in _NEVER_NULL:
        return f"({comparison})"
    # IN answers 0 for NULL in some settings and NULL in others, so the unknown is asked for by name.
    return f"if(isNull({column}), {int(condition.when_unknown)}, assumeNotNull({comparison}))"


def _comparison_sql(condition: Condition, column: str) -> str:
    if condition.one_of:
        # A text is never equal to a number in Python; ClickHouse would refuse the comparison.
        kind: type = str if condition.field in TEXT_FIELDS else int
        choices = [_literal(choice) for choice in condition.one_of if isinstance(choice, kind)]
        return f"{column} IN ({', '.join(choices)})" if choices else "0"
    sides = ((">=", condition.minimum), ("<=", condition.maximum))
    bounds = [f"{column} {operator} {value!r}" for operator, value in sides if value is not None]
    return " AND ".join(bounds)


def _literal(value: str | int) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Text as a SQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
