"""Turns a named statement into what Grafana's ClickHouse data source understands.

The text stays the statement's own; only its parameters are replaced, by macros of the data source's backend (so that
the same works in an alert, where the frontend's do not), by dashboard variables, or by a constant.

Variables with several values are arrays in the statements, and ``''`` in one stands for all: that is what the boards
give as the custom value of All, which Grafana puts in as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from acceptfirst_store.statements import statement

Constant = float | int | str

_PARAMETER: Final = re.compile(r"\{(\w+):[^{}]+\}")
_SINCE: Final = "toDateTime64($__fromTime, 6, 'UTC')"
_UNTIL: Final = "toDateTime64($__toTime, 6, 'UTC')"
_ON_A_BOARD: Final[Mapping[str, str]] = {
    "since": _SINCE,
    "until": _UNTIL,
    "step_s": "$__interval_s",
    "environments": "[${env:singlequote}]",
    "services": "[${service:singlequote}]",
    "routes": "[${route:singlequote}]",
    "patterns": "[${pattern:singlequote}]",
    "trace_id": "${trace_id:singlequote}",
    "older_than_s": "${older_than_s}",
}
_IN_A_RULE: Final[Mapping[str, str]] = {"at": _UNTIL, "environment": "''"}


def board_sql(name: str, constants: Mapping[str, Constant] | None = None) -> str:
    """A statement for a panel, a variable or an annotation.

    Args:
        name: of the statement.
        constants: values of the parameters that no variable stands for.

    Raises:
        KeyError: a parameter has no value.
        StatementUnknown: there is no such statement.
    """
    return _filled(name, _ON_A_BOARD, constants or {})


def rule_sql(name: str, constants: Mapping[str, Constant], n_min: int) -> str:
    """A statement for an alert rule: labels and one number, of the rows that rest on enough handshakes.

    Args:
        name: of the statement.
        constants: its parameters, but for the instant and the environment.
        n_min: see ``acceptfirst_analysis.alerts.rules``.

    Raises:
        KeyError: a parameter has no value.
    """
    inner = _filled(name, _IN_A_RULE, constants)
    return (
        "SELECT environment, service, route, pattern, assumeNotNull(value) AS value\n"
        f"FROM (\n{inner}\n)\nWHERE isNotNull(value) AND n >= {n_min}"
    )


def _filled(name: str, known: Mapping[str, str], constants: Mapping[str, Constant]) -> str:
    values = {**known, **{key: _literal(value) for key, value in constants.items()}}
    text = "\n".join(line for line in statement(name).splitlines() if not line.lstrip().startswith("--"))
    return _PARAMETER.sub(lambda found: values[found[1]], text)


def _literal(value: Constant) -> str:
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return repr(value)
