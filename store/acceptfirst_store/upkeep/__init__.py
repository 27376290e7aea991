"""SQL that keeps the store in order: one file a statement, like the named ones, but not to be asked for over HTTP."""

from __future__ import annotations

import functools
import importlib.resources


@functools.cache
def upkeep_sql(name: str) -> str:
    """Return the text of `<name>.sql`; each opens with what it is for, its parameters and its columns."""
    return importlib.resources.files(__name__).joinpath(f"{name}.sql").read_text().rstrip()
