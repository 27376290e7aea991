"""Named SQL: one file a statement, so that the API, the analysis, Grafana and the tests run the same text.

Each file `<name>.sql` opens with a comment that says what it is for, its parameters and its result's columns. Only
what reads lives here: a name may be asked for over HTTP.
"""

from __future__ import annotations

import functools
import importlib.resources
import re

from acceptfirst_store.errors import StatementUnknown

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def statement_names() -> list[str]:
    """Return the names of all statements, sorted."""
    folder = importlib.resources.files(__name__)
    return sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql"))


@functools.cache
def statement(name: str) -> str:
    """Return a statement's SQL.

    Raises:
        StatementUnknown: there is none of that name.
    """
    if not _NAME.fullmatch(name) or name not in statement_names():
        raise StatementUnknown(f"expected one of the statements {', '.join(statement_names())}; got {name[:64]!r}")
    return importlib.resources.files(__name__).joinpath(f"{name}.sql").read_text().rstrip().rstrip(";")
