"""The patterns that only many connections show: named statements of the store, brought into the classifier's form.

A pattern of scope ``fleet`` has no regular expression. Its statement ``occurrences_<name>`` finds the connections that
it happened to, with a sentence of evidence for each; the catalogue says the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_store.statements import statement

TABLE: Final = "acceptfirst.race_condition_patterns"


def occurrences_sql(pattern: Pattern, classifier_version: int) -> str:
    """A SELECT of every occurrence of one fleet pattern, with the columns of ``race_condition_patterns``.

    Args:
        pattern: of scope ``fleet``; its name and texts are those of the shipped catalogue.
        classifier_version: what its rows carry.

    Returns:
        SQL with the parameters ``environment``, ``since`` and ``until``.
    """
    return f"""
SELECT toFixedString(unhex(occurrence.connection_id), 16) AS connection_id, '{pattern.name}' AS pattern_type,
    toUInt16(0) AS sequence, '{pattern.severity}' AS severity, environment, service, route, detected_at, evidence,
    '{pattern.delay_helps}' AS delay_helps, toUInt64({classifier_version}) AS classifier_version
FROM (
{statement(f"occurrences_{pattern.name}")}
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
