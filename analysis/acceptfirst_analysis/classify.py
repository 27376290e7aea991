"""Classifies stored handshakes inside the store, by the catalogue that the process uses.

The catalogue is compiled to one SQL statement. Signatures go through it as a low-cardinality column, so each regular
expression is run once for every distinct signature of a block and not once for every connection; only connections whose
signature is suspicious are then asked for their timings. Nothing is fetched: rows go from table to table.

What only many connections show is found before, by named statements of the store (``acceptfirst_analysis.fleet``),
since it may explain what one of them shows.

Idempotent: what is there already is not written again, and what a longer signature has since disproved is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from acceptfirst.catalogue import Catalogue, Condition, Match, Pattern
from acceptfirst_analysis.fleet import TABLE, names_sql, occurrences_sql, unexplained_sql
from acceptfirst_analysis.window import Window

CLASSIFIER_VERSION: Final = 2

MARKS_TABLE: Final = "acceptfirst.handshake_rollup_marks"

#: Each field of the evidence as the store knows it; NULL where it does not.
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

#: How a person reads each of them in a sentence; the number is put between.
FIELD_WORDS: Final = {
    "accept_ms": ("accept returned ", " ms after the connection came in"),
    "dwell_ms": ("it ended ", " ms after accept"),
    "idle_ms": ("the last frame was ", " ms before the disconnect"),
    "unread_ms": ("nobody received for ", " ms"),
    "close_code": ("close code ", ""),
    "messages_early": ("", " handled before the application was ready"),
    "readiness_mode": ("readiness mode ", ""),
    "error_kind": ("the error was of the kind ", ""),
}

_COLUMNS: Final = (
    "connection_id, pattern_type, sequence, severity, environment, service, route, detected_at, evidence, "
    "delay_helps, classifier_version"
)


class WritableStore(Protocol):
    """What the classifier needs of a store: to read rows and to run what returns none."""

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Read rows."""
        ...

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement that returns no rows."""
        ...


@dataclass(frozen=True, slots=True)
class Classification:
    """What a run found, whether it had to write it or not.

    Attributes:
        connections: handshakes that were looked at.
        occurrences: patterns found, one a connection and pattern.
        patterns: occurrences by pattern, the most frequent first.
    """

    connections: int
    occurrences: int
    patterns: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """The result with its schema version."""
        return {
            "schema_version": 1,
            "connections": self.connections,
            "occurrences": self.occurrences,
            "patterns": self.patterns,
        }


def classify(database: WritableStore, catalogue: Catalogue, window: Window, environment: str = "") -> Classification:
    """Classify the handshakes of a range and write what was found.

    Args:
        database: the store, open for writing; there must be one classifier at a time.
        catalogue: the patterns.
        window: handshakes first seen in it.
        environment: only of this environment; empty for all.

    Returns:
        What was found in the range.

    Raises:
        StoreError: when the store can't be read or written.
    """
    parameters: dict[str, Any] = {"environment": environment, **window.parameters}
    fleet = catalogue.of_scope("fleet")
    for pattern in fleet:
        _write(database, occurrences_sql(pattern, CLASSIFIER_VERSION), f"pattern_type = '{pattern.name}'", parameters)
    others = f"pattern_type NOT IN ({names_sql([pattern.name for pattern in fleet])})"
    _write(database, classification_sql(catalogue), others, parameters)
    return _summary(database, parameters)


def _write(database: WritableStore, found: str, kind: str, parameters: dict[str, Any]) -> None:
    """Bring the rows of some patterns in line with what was found now; ``kind`` is the condition that they meet."""
    database.run(_insert_sql(found), parameters)
    if not database.rows(f"SELECT count() AS n FROM {TABLE} WHERE {kind}")[0]["n"]:  # noqa: S608 - as in classification_sql
        return  # nothing was ever found, so nothing can be stale, and it need not be looked for again
    stale = f"{kind} AND {_stale_sql(found)}"
    if database.rows(f"SELECT count() AS n FROM {TABLE} WHERE {stale}", parameters)[0]["n"]:  # noqa: S608 - as in classification_sql
        database.run(_mark_sql(stale), parameters)
        database.run(f"DELETE FROM {TABLE} WHERE {stale}", parameters)  # noqa: S608 - as in classification_sql


def classification_sql(catalogue: Catalogue) -> str:
    """A SELECT of every occurrence that one connection shows, with the columns of ``race_condition_patterns``.

    Its parameters are ``environment``, ``since`` and ``until`` as in the named statements.
    """
    patterns = catalogue.of_scope("connection")
    found = {pattern.name: _pattern_sql(pattern) for pattern in patterns}
    occurrences = ",\n        ".join(_occurrence_sql(pattern, patterns) for pattern in patterns)
    flags = ",\n        ".join(f"{sql} AS found_{name}" for name, sql in found.items())
    # Filtered twice before any sentence is made: most signatures are innocent, most suspicious ones have an alibi.
    suspicious = " OR ".join(_match_sql(match) for pattern in patterns for match in pattern.matches) or "0"
    guilty = " OR ".join(f"found_{name}" for name in found) or "0"
    return f"""
SELECT connection_id, occurrence.1 AS pattern_type, toUInt16(0) AS sequence, occurrence.2 AS severity, environment,
    service, route, last_seen AS detected_at, occurrence.4 AS evidence, occurrence.3 AS delay_helps,
    toUInt64({CLASSIFIER_VERSION}) AS classifier_version
FROM (
    SELECT *, arrayJoin(arrayFilter(candidate -> candidate.5, [
        {occurrences}
    ])) AS occurrence
    FROM (
        SELECT *,
        {flags}
        FROM (
            SELECT connection_id, environment, service, route, last_seen, toLowCardinality(signature) AS shape,
                {_fields_sql()}
            FROM {_scope_sql()}
            WHERE {suspicious}
        )
        WHERE {guilty}
    )
)
WHERE {unexplained_sql(catalogue)}"""  # noqa: S608 - made of the catalogue, quoted by _quoted; what users choose is bound as parameters


def _scope_sql() -> str:
    return """(
                SELECT *, signature FROM acceptfirst.handshakes FINAL
                WHERE first_seen >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
                    AND first_seen < parseDateTime64BestEffort({until:String}, 9, 'UTC')
                    AND ({environment:String} = '' OR environment = {environment:String})
            )"""


def _fields_sql() -> str:
    return ", ".join(f"{sql} AS known_{name}" for name, sql in FIELD_SQL.items())


def _pattern_sql(pattern: Pattern) -> str:
    return "(" + " OR ".join(f"({_way_sql(match)})" for match in pattern.matches) + ")"


def _way_sql(match: Match) -> str:
    return " AND ".join([_match_sql(match), *map(_condition_sql, match.conditions)])


def _match_sql(match: Match) -> str:
    return f"match(shape, {_quoted(match.signature)})"


def _condition_sql(condition: Condition) -> str:
    column = f"known_{condition.field}"
    if condition.one_of:
        # A text is never equal to a number in Python; ClickHouse would refuse the comparison.
        kind: type = str if condition.field in TEXT_FIELDS else int
        choices = [_literal(choice) for choice in condition.one_of if isinstance(choice, kind)]
        comparison = f"{column} IN ({', '.join(choices)})" if choices else "0"
    else:
        sides = ((">=", condition.minimum), ("<=", condition.maximum))
        comparison = " AND ".join(f"{column} {operator} {value!r}" for operator, value in sides if value is not None)
    # IN answers 0 for NULL in some settings and NULL in others, so the unknown is asked for by name.
    return f"if(isNull({column}), {int(condition.when_unknown)}, assumeNotNull({comparison}))"


def _occurrence_sql(pattern: Pattern, patterns: tuple[Pattern, ...]) -> str:
    explained_by = [f"found_{other.name}" for other in patterns if pattern.name in other.supersedes]
    holds = " AND ".join([f"found_{pattern.name}", *(f"NOT {name}" for name in explained_by)])
    texts = (_quoted(pattern.name), _severity_sql(pattern), _quoted(pattern.delay_helps))
    return f"({', '.join(texts)}, {_evidence_sql(pattern)}, toBool({holds}))"


def _severity_sql(pattern: Pattern) -> str:
    """The pattern's, or that of the first match that holds."""
    if not any(match.severity for match in pattern.matches):
        return _quoted(pattern.severity)
    ways = [f"{_way_sql(match)}, {_quoted(pattern.shown_by(match).severity)}" for match in pattern.matches]
    return f"multiIf({', '.join(ways)}, {_quoted(pattern.severity)})"


def _evidence_sql(pattern: Pattern) -> str:
    """The title, the signature and the numbers that decided, as a SQL expression."""
    parts = [_quoted(f"{pattern.title}: the connection went "), "shape"]
    fields = dict.fromkeys(condition.field for match in pattern.matches for condition in match.conditions)
    for name in fields:
        before, after = FIELD_WORDS[name]
        number = f"round(known_{name}, 1)" if name.endswith("_ms") else f"known_{name}"
        sentence = f"concat({_quoted('; ' + before)}, toString({number}), {_quoted(after)})"
        parts.append(f"ifNull({sentence}, '')")
    return f"concat({', '.join(parts)}, '.')"


def _insert_sql(found: str) -> str:
    written = f"SELECT {_key_sql()} FROM {TABLE} WHERE classifier_version = {CLASSIFIER_VERSION}"  # noqa: S608 - constants
    return f"INSERT INTO {TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM ({found}) WHERE {_key_sql()} NOT IN ({written})"  # noqa: S608 - as in classification_sql


def _mark_sql(stale: str) -> str:
    """Have the rollup compute the minutes of rows again that are about to be deleted, and then can't say so."""
    began = "reinterpretAsUInt64(reverse(substring(connection_id, 1, 6)))"  # milliseconds
    minute = f"toDateTime(least(intDiv({began}, 60000) * 60, 4294967280), 'UTC')"
    return f"INSERT INTO {MARKS_TABLE} (minute) SELECT DISTINCT {minute} FROM {TABLE} WHERE {stale}"  # noqa: S608 - as in classification_sql


def _key_sql() -> str:
    return "sipHash64(connection_id, pattern_type, sequence, evidence)"


def _stale_sql(found: str) -> str:
    """Rows of the range's connections that the present classification does not give."""
    scope = f"SELECT connection_id FROM {_scope_sql()}"  # noqa: S608 - constants
    return f"connection_id IN ({scope}) AND {_key_sql()} NOT IN (SELECT {_key_sql()} FROM ({found}))"  # noqa: S608 - as in classification_sql


def _summary(database: WritableStore, parameters: dict[str, Any]) -> Classification:
    connections = database.rows(f"SELECT count() AS n FROM {_scope_sql()}", parameters)[0]["n"]  # noqa: S608 - constants
    rows = database.rows(
        f"SELECT pattern_type, count() AS n FROM {TABLE} FINAL "  # noqa: S608 - constants
        f"WHERE connection_id IN (SELECT connection_id FROM {_scope_sql()}) "
        "GROUP BY pattern_type ORDER BY n DESC, pattern_type",
        parameters,
    )
    patterns = {str(row["pattern_type"]): int(row["n"]) for row in rows}
    return Classification(int(connections), sum(patterns.values()), patterns)


def _literal(value: str | int) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
