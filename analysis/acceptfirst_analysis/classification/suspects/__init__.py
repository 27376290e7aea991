"""Which connections a fleet pattern may have happened to: one statement a pattern, asked of the rows as they lie.

Each lets through all that ``occurrences_<pattern>`` needs to see, and much more than it finds; it may count a
connection more than once, since its rows are merged some time later. So what takes long is done for few.
"""

from __future__ import annotations

import functools
import importlib.resources


@functools.cache
def suspects_sql(pattern: str) -> str:
    """A SELECT of ``connection_id``; its parameters are ``since`` and ``until`` as in the named statements."""
    return importlib.resources.files(__name__).joinpath(f"{pattern}.sql").read_text().rstrip()
