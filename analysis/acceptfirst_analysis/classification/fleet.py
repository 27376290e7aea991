"""The patterns that only many connections show: named statements of the store, brought into the classifier's form.

A pattern of scope ``fleet`` has no regular expression. Its statement ``occurrences_<name>`` finds the connections that
it happened to, with a sentence of evidence for each; the catalogue says the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.classification.suspects import suspects_sql
from acceptfirst_store.statements import statement

COLUMNS: Final = (
    *("connection_id", "environment", "service", "route", "user_hash", "first_seen", "last_seen", "connected_at"),
    *("ranked_signature", "close_code", "close_initiator", "messages_received", "messages_sent", "dwell_ms", "idle_ms"),
    *("service_version", "pending_at", "ready_at", "weight"),
)
"""What the fleet patterns read of a connection."""

SUSPECTS: Final = f"{', '.join(COLUMNS)}, substring(ranked_signature, 2) AS signature FROM acceptfirst.handshakes"
"""What a SELECT of settled connections has."""

TABLE: Final = "acceptfirst.race_condition_patterns"


def suspects_sql_into(table: str, pattern: Pattern) -> str:
    """An INSERT of the settled connections that a fleet pattern must see, into a table with the columns of ``COLUMNS``.

    Its parameters are ``since`` and ``until``.
    """
    settled = ", ".join(f"{'min' if name == 'first_seen' else 'max'}(h.{name})" for name in COLUMNS[1:])
    return f"""
INSERT INTO {table} ({", ".join(COLUMNS)}, signature)
SELECT connection_id, {settled}, substring(max(h.ranked_signature), 2)
FROM acceptfirst.handshakes AS h
WHERE connection_id IN (
{suspects_sql(pattern.name)}
)
GROUP BY connection_id"""  # noqa: S608 - names of the shipped catalogue and SQL of our own


def occurrences_sql(pattern: Pattern, classifier_version: int, suspects: str) -> str:
    """A SELECT of every occurrence of one fleet pattern, with the columns of ``race_condition_patterns``.

    Args:
        pattern: of scope ``fleet``; its name and texts are those of the shipped catalogue.
        classifier_version: what its rows carry.
        suspects: the table that stands for ``handshakes``.

    Returns:
        SQL with the parameters ``environment``, ``since`` and ``until``.
    """
    found = statement(f"occurrences_{pattern.name}").replace("acceptfirst.handshakes FINAL", suspects)
    return f"""
SELECT toFixedString(unhex(occurrence.connection_id), 16) AS connection_id, '{pattern.name}' AS pattern_type,
    toUInt16(0) AS sequence, '{pattern.severity}' AS severity, environment, service, route, detected_at, evidence,
    '{pattern.delay_helps}' AS delay_helps, toUInt64({classifier_version}) AS classifier_version
FROM (
{found.replace("acceptfirst.handshakes", suspects)}
) AS occurrence"""  # noqa: S608 - names of the shipped catalogue, which are snake_case, and SQL of our own


def unexplained_sql(catalogue: Catalogue) -> str:
    """A condition on found rows: no fleet pattern that was written before explains them."""
    explaining = [pattern for pattern in catalogue.of_scope("fleet") if pattern.supersedes]
    return " AND ".join(map(_unexplained_by, explaining)) or "1"


def _unexplained_by(pattern: Pattern) -> str:
    explained = names_sql(pattern.supersedes)
    written = f"SELECT connection_id FROM {TABLE} WHERE pattern_type = '{pattern.name}'"  # noqa: S608 - as above
    return f"NOT (pattern_type IN ({explained}) AND connection_id IN ({written}))"


def names_sql(names: Sequence[str]) -> str:
    """Names of patterns as the inside of an IN; never empty."""
    return ", ".join(f"'{name}'" for name in names) or "''"
