"""Classifies stored handshakes inside the store, by the catalogue that the process uses.

The catalogue is compiled to SQL (``matching``). Rows are scanned as they lie, batch by batch; only connections with a
row that may show something are put together from all their rows and judged. Nothing is fetched: rows go from table to
table. What no pattern explains is written down too (``unclassified``).

What only many connections show is found before, by named statements of the store (``fleet``), since it may explain what
one of them shows.

Idempotent: what is there already is not written again, and what a longer signature has since disproved is deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.classification.batches import (
    DAYS_SQL,
    TOUCHED,
    TOUCHED_DAYS_SQL,
    TOUCHED_FROM_SQL,
    WITHIN,
    batches,
)
from acceptfirst_analysis.classification.fleet import (
    SUSPECTS,
    TABLE,
    names_sql,
    occurrences_sql,
    suspects_sql_into,
    unexplained_sql,
)
from acceptfirst_analysis.classification.matching import Compiled, fields_sql, quoted
from acceptfirst_analysis.classification.regressions import PATTERN as REGRESSION
from acceptfirst_analysis.classification.regressions import occurrence_parameters, regressions
from acceptfirst_analysis.classification.timeline import timeline_sql
from acceptfirst_analysis.classification.unclassified import (
    INNOCENT_SIGNATURE,
    PATTERN,
    UNCLASSIFIED,
    evidence_sql,
    excuse_sql,
)
from acceptfirst_analysis.window import Window
from acceptfirst_store.statements import statement

CLASSIFIER_VERSION: Final = 3
MARKS_TABLE: Final = "acceptfirst.handshake_rollup_marks"

#: How a person reads each field of the evidence in a sentence; the number is put between.
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

FLEET_LOOK_BACK: Final = timedelta(hours=26)
"""What comes late may complete what began a day before; the fleet patterns look no further."""

_COLUMNS: Final = (
    "connection_id, pattern_type, sequence, severity, environment, service, route, detected_at, evidence, "
    "delay_helps, classifier_version"
)
_KEY: Final = "sipHash64(connection_id, pattern_type, sequence, severity, evidence)"

_MAXIMA: Final = (
    *("environment", "service", "route", "readiness_mode", "pending_at", "connected_at", "ready_at"),
    *("first_message_ns", "ranked_signature", "close_code", "close_initiator", "messages_early", "error_type"),
    *("error_kind", "dwell_ms", "idle_ms", "unread_ms", "last_seen"),
)
"""What is settled by the greatest value of a connection's rows, as the table itself settles it."""


class WritableStore(Protocol):
    """What the classifier needs of a store: to read rows and to run what returns none."""

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Read rows."""
        ...

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement that returns no rows."""
        ...

    def alterable(self, table: str) -> str:
        """Return what stands behind DELETE FROM for a table of the store; in a cluster it is not the table's name."""
        ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """Misbehaviour that no pattern explains, of one kind.

    Attributes:
        evidence: what the connections did.
        connections: how many.
        examples: up to three of them, hex.
    """

    evidence: str
    connections: int
    examples: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The cluster as JSON can hold it."""
        return {"evidence": self.evidence, "connections": self.connections, "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class Classification:
    """What a range holds after a run, whether the run had to write it or not.

    Attributes:
        connections: handshakes of the range.
        occurrences: patterns found, one a connection and pattern; what has no name is not counted here.
        patterns: occurrences by pattern, the most frequent first.
        unclassified: what has no name, the most frequent first.
    """

    connections: int
    occurrences: int
    patterns: dict[str, int]
    unclassified: tuple[Cluster, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The result with its schema version."""
        return {
            "schema_version": 1,
            "connections": self.connections,
            "occurrences": self.occurrences,
            "patterns": self.patterns,
            "unclassified": [cluster.to_json() for cluster in self.unclassified],
        }


def classify(
    database: WritableStore,
    catalogue: Catalogue,
    window: Window,
    environment: str = "",
    *,
    touched_since: datetime | None = None,
) -> Classification:
    """Classify the handshakes of a range and write what was found.

    Args:
        database: the store, open for writing; there must be one classifier at a time.
        catalogue: the patterns.
        window: handshakes first seen in it.
        environment: only of this environment; empty for all.
        touched_since: judge only connections of which something was stored since then, by the store's clock; a late
            span has its connection judged again, whenever that began. ``None`` for all of the range. Whoever goes on
            from where the last run stopped gives its start, less a minute for what was being written, and starts
            with ``None`` when the catalogue has changed.

    Returns:
        What the range holds now, whether this run judged it or not.

    Raises:
        StoreError: when the store can't be read or written.
    """
    parameters: dict[str, Any] = {"environment": environment, **window.parameters}
    work = _Work(database, catalogue, window, parameters, touched_since)
    if days := work.days():
        work.run(days)
    return _summary(database, parameters)


@dataclass(frozen=True)
class _Work:
    """One run of the classifier."""

    database: WritableStore
    catalogue: Catalogue
    window: Window
    parameters: dict[str, Any]
    touched_since: datetime | None

    def days(self) -> list[dict[str, Any]]:
        """Partitions with something to judge."""
        if self.touched_since is None:
            return self.database.rows(DAYS_SQL)
        return self.database.rows(TOUCHED_DAYS_SQL, self._touched)

    @property
    def _touched(self) -> dict[str, Any]:
        since = self.touched_since
        return {} if since is None else {"touched": int(since.timestamp())}

    def run(self, days: list[dict[str, Any]]) -> None:
        """Find and write: first what many connections show, since it may explain what one of them shows."""
        database, fleet = self.database, self.catalogue.of_scope("fleet")
        with _scratch(database, f"{_COLUMNS} FROM {TABLE}") as scratch, _scratch(database, SUSPECTS) as suspects:
            for pattern in fleet:
                self._run_fleet(pattern, scratch, suspects)
            only = TOUCHED if self.touched_since is not None else "1"
            kind = f"pattern_type NOT IN ({names_sql([pattern.name for pattern in fleet])}) AND {WITHIN} AND {only}"
            found = classification_sql(self.catalogue, only)
            for batch in batches(days, self.window):
                bound = {**self.parameters, **batch.parameters, **self._touched}
                _reconcile(database, scratch, found, kind, bound)

    def _run_fleet(self, pattern: Pattern, scratch: str, suspects: str) -> None:
        database, parameters = self.database, {**self.parameters, **self._fleet_range()}
        kind = f"pattern_type = '{pattern.name}'"
        if pattern.name == REGRESSION:  # compares what is counted, not connections
            compared = regressions(database, parameters)
            if compared or self._written(kind):
                bound = {**parameters, **occurrence_parameters(compared)}
                _reconcile(database, scratch, occurrences_sql(pattern, CLASSIFIER_VERSION, TABLE), kind, bound)
            return
        database.run(f"TRUNCATE TABLE {suspects}")
        database.run(suspects_sql_into(suspects, pattern), parameters)
        if database.rows(f"SELECT count() AS n FROM {suspects}")[0]["n"] or self._written(kind):  # noqa: S608 - a name that we made
            found = occurrences_sql(pattern, CLASSIFIER_VERSION, suspects)
            _reconcile(database, scratch, found, kind, parameters)
        # Else nothing can be found, and nothing that was found can be stale.

    def _written(self, kind: str) -> bool:
        """Whether something of this kind was found before."""
        return bool(self.database.rows(f"SELECT count() AS n FROM {TABLE} WHERE {kind}")[0]["n"])  # noqa: S608 - as in fleet

    def _fleet_range(self) -> dict[str, str]:
        """The part of the range in which what was touched may change what many connections show."""
        if self.touched_since is None:
            return {}
        [row] = self.database.rows(TOUCHED_FROM_SQL, self._touched)
        began = row["began"].astimezone(UTC) - FLEET_LOOK_BACK
        return {"since": max(began, self.window.since).isoformat().replace("+00:00", "Z")}


@contextmanager
def _scratch(database: WritableStore, like: str) -> Iterator[str]:
    """A table with the columns of a SELECT, so that what is needed twice is looked for once."""
    name = f"acceptfirst.classifying_{uuid.uuid4().hex}"
    database.run(f"CREATE TABLE {name} ENGINE = Memory AS SELECT {like} LIMIT 0")
    try:
        yield name
    finally:
        database.run(f"DROP TABLE IF EXISTS {name} SYNC")


def _reconcile(database: WritableStore, scratch: str, found: str, kind: str, parameters: dict[str, Any]) -> None:
    """Bring the rows that meet a condition in line with what is found now."""
    database.run(f"TRUNCATE TABLE {scratch}")
    database.run(f"INSERT INTO {scratch} ({_COLUMNS}) {found}", parameters)
    mine = f"SELECT {_KEY} FROM {scratch}"  # noqa: S608 - constants, and a name that we made
    written = f"SELECT {_KEY} FROM {TABLE} WHERE {kind} AND classifier_version = {CLASSIFIER_VERSION}"  # noqa: S608 - as in classification_sql
    database.run(
        f"INSERT INTO {TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM {scratch} WHERE {_KEY} NOT IN ({written})",  # noqa: S608 - as above
        parameters,
    )
    others = f"SELECT connection_id FROM {TABLE} WHERE {kind} AND {_KEY} NOT IN ({mine})"  # noqa: S608 - as above
    stale = (
        f"SELECT connection_id FROM acceptfirst.handshakes WHERE connection_id IN ({others}) "  # noqa: S608 - as above
        f"GROUP BY connection_id HAVING {_OF_RANGE}"
    )
    if database.rows(f"SELECT count() AS n FROM ({stale})", parameters)[0]["n"]:  # noqa: S608 - as above
        # A deletion knows no virtual columns; the identities say which rows they are.
        condition = f"{kind.replace(WITHIN, '1')} AND {_KEY} NOT IN ({mine}) AND connection_id IN ({stale})"
        database.run(_mark_sql(condition), parameters)
        stored = database.alterable(TABLE.partition(".")[2])
        database.run(f"DELETE FROM {stored} WHERE {condition}", parameters)  # noqa: S608 - as above


def _mark_sql(stale: str) -> str:
    """Have the rollup compute the minutes of rows again that are about to be deleted, and then can't say so."""
    began = "reinterpretAsUInt64(reverse(substring(connection_id, 1, 6)))"  # milliseconds
    minute = f"toDateTime(least(intDiv({began}, 60000) * 60, 4294967280), 'UTC')"
    return f"INSERT INTO {MARKS_TABLE} (minute) SELECT DISTINCT {minute} FROM {TABLE} WHERE {stale}"  # noqa: S608 - as above


_OF_RANGE: Final = """min(first_seen) >= parseDateTime64BestEffort({since:String}, 9, 'UTC')
        AND min(first_seen) < parseDateTime64BestEffort({until:String}, 9, 'UTC')
        AND ({environment:String} = '' OR max(environment) = {environment:String})"""
"""A condition on the rows of one connection, grouped: it is of the range that was asked for."""


def classification_sql(catalogue: Catalogue, only: str = "1") -> str:
    """A SELECT of every occurrence that one connection shows, with the columns of ``race_condition_patterns``.

    Args:
        catalogue: the patterns.
        only: a condition on rows of ``handshakes``, of which a connection must have one that meets it.

    Its parameters are ``environment``, ``since`` and ``until`` as in the named statements, and those of a ``Batch``.
    """
    compiled = Compiled.of(catalogue)
    patterns = compiled.patterns
    flags = [f"{compiled.pattern_sql(pattern)} AS found_{pattern.name}" for pattern in patterns]
    named = " OR ".join(f"found_{pattern.name}" for pattern in patterns) or "0"
    strange = f"{compiled.strange_sql()} AND NOT {excuse_sql()} AS strange"
    holds = [*(_holds_sql(pattern, patterns) for pattern in patterns), f"strange AND NOT ({named})"]
    everything = (*patterns, PATTERN)
    # Sentences are made last and only for what is found: they are most of the work.
    return f"""
SELECT connection_id, {_of_each([p.name for p in everything])} AS pattern_type, toUInt16(0) AS sequence,
    {_severity_sql(compiled)} AS severity, environment, service, route, last_seen AS detected_at,
    {_evidence_sql(everything)} AS evidence, {_of_each([p.delay_helps for p in everything])} AS delay_helps,
    toUInt64({CLASSIFIER_VERSION}) AS classifier_version
FROM (
    SELECT *, arrayJoin(arrayFilter((number, held) -> held, range(1, {len(holds) + 1}), [{", ".join(holds)}])) AS number
    FROM (
        SELECT *, {", ".join([*flags, strange])}
        FROM (
            SELECT *, substring(ranked_signature, 2) AS shape, error_type AS known_error_type, {fields_sql()}
            FROM (
{_settled_sql(compiled, only)}
            )
        )
        WHERE {named} OR strange
    )
)
WHERE {unexplained_sql(catalogue)}"""  # noqa: S608 - made of the catalogue, quoted by quoted; what users choose is bound as parameters


def _holds_sql(pattern: Pattern, patterns: tuple[Pattern, ...]) -> str:
    explained_by = [f"NOT found_{other.name}" for other in patterns if pattern.name in other.supersedes]
    return " AND ".join([f"found_{pattern.name}", *explained_by])


def _of_each(texts: Sequence[str]) -> str:
    """The text of the pattern that was found, by its number from 1."""
    return f"[{', '.join(map(quoted, texts))}][number]"


def _severity_sql(compiled: Compiled) -> str:
    ways = [
        f"number = {number}, {compiled.severity_sql(pattern)}"
        for number, pattern in enumerate(compiled.patterns, start=1)
        if any(match.severity for match in pattern.matches)
    ]
    usual = _of_each([pattern.severity for pattern in (*compiled.patterns, PATTERN)])
    return f"multiIf({', '.join(ways)}, {usual})" if ways else usual


def _evidence_sql(patterns: Sequence[Pattern]) -> str:
    """The title, the signature, the numbers that decided and the events with their times."""
    titles = _of_each([f"{pattern.title}: the connection went " for pattern in patterns])
    fields = [dict.fromkeys(c.field for match in pattern.matches for c in match.conditions) for pattern in patterns]
    names = list(FIELD_WORDS)
    wanted = ", ".join(f"[{', '.join(str(names.index(name) + 1) for name in own)}]" for own in fields)
    sentences = ", ".join(map(_sentence_sql, names))
    figures = (
        f"arrayStringConcat(arrayMap(field -> [{sentences}][field], CAST([{wanted}] AS Array(Array(UInt8)))[number]))"
    )
    named = f"concat({titles}, shape, {figures}, '.', {timeline_sql()})"
    return f"if(number = {len(patterns)}, {evidence_sql()}, {named})"


def _sentence_sql(name: str) -> str:
    before, after = FIELD_WORDS[name]
    number = f"round(known_{name}, 1)" if name.endswith("_ms") else f"known_{name}"
    return f"ifNull(concat({quoted('; ' + before)}, toString({number}), {quoted(after)}), '')"


def _settled_sql(compiled: Compiled, only: str) -> str:
    """The connections of the range that may show something, each put together from all its rows."""
    numbers = range(compiled.words)
    shapes = compiled.shapes_sql("substring(ranked, 2)", INNOCENT_SIGNATURE)
    columns = ", ".join(["groupArray(ranked)", *(f"groupArray(bits[{n + 1}])" for n in numbers)])
    # What transform gets must not be empty; no signature begins like this.
    padded = ", ".join(["arrayPushBack(known.1, '~')", *(f"arrayPushBack(known.{n + 2}, 0)" for n in numbers)])
    words = [f"transform({{}}, shapes.1, shapes.{n + 2}, toUInt64(0))" for n in numbers]
    settled = ", ".join(f"{word.format('max(h.ranked_signature)')} AS bits_{n}" for n, word in enumerate(words))
    suspicious = compiled.suspicious_sql([word.format("ranked_signature") for word in words])
    maxima = ", ".join(f"max(h.{name}) AS {name}" for name in _MAXIMA)
    of_range = _OF_RANGE.replace("(first_seen", "(h.first_seen").replace("(environment", "(h.environment")
    return f"""
                WITH (SELECT ({columns}) FROM (
                        SELECT ranked, {shapes} AS bits FROM (
                            SELECT DISTINCT ranked_signature AS ranked FROM acceptfirst.handshakes
                            WHERE {WITHIN} AND ranked_signature != ''))
                    ) AS known, tuple({padded}) AS shapes
                SELECT connection_id, min(h.first_seen) AS first_seen, {settled}, {maxima}
                FROM acceptfirst.handshakes AS h
                WHERE {WITHIN} AND connection_id IN (
                    SELECT connection_id FROM acceptfirst.handshakes WHERE {WITHIN} AND {only} AND ({suspicious}))
                GROUP BY connection_id
                HAVING {of_range}"""  # noqa: S608 - as in classification_sql


def _summary(database: WritableStore, parameters: dict[str, Any]) -> Classification:
    [totals] = database.rows(statement("classified_connections"), parameters)
    rows = database.rows(statement("classified_patterns"), parameters)
    patterns = {str(row["pattern_type"]): int(row["n"]) for row in rows if row["pattern_type"] != UNCLASSIFIED}
    clusters = database.rows(statement("unclassified_clusters"), parameters) if len(patterns) < len(rows) else []
    return Classification(
        int(totals["connections"]),
        sum(patterns.values()),
        patterns,
        tuple(
            Cluster(str(row["evidence"]), int(row["connections"]), tuple(map(str, row["examples"]))) for row in clusters
        ),
    )
