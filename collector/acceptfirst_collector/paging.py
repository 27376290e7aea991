"""Pages of short lists: a cursor holds where the last row stood, so rows that come or go move nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from acceptfirst_collector.otlp.refusal import RefusedError

Row = TypeVar("Row")
SortKey = list[Any]


def page_of(
    rows: Sequence[Row], sort_key: Callable[[Row], SortKey], limit: int, cursor: str
) -> tuple[list[Row], str | None]:
    """Cut a page out of a sorted list.

    Args:
        rows: all of them, ascending by `sort_key`.
        sort_key: of a row: texts and numbers, always of the same types; no two rows have the same.
        limit: rows on a page.
        cursor: of the page before; empty for the first.

    Returns:
        The rows, and the cursor of the next page; None on the last.

    Raises:
        RefusedError: 400, the cursor is none of this list.
    """
    after = _read(cursor)
    try:
        rest = [row for row in rows if not after or sort_key(row) > after]
    except TypeError as error:
        raise _wrong(cursor) from error
    page = rest[:limit]
    return page, _written(sort_key(page[-1])) if len(rest) > limit else None


def _written(key: SortKey) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _read(cursor: str) -> SortKey:
    if not cursor:
        return []
    try:
        key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _wrong(cursor) from error
    if not isinstance(key, list) or not key:
        raise _wrong(cursor)
    return key


def _wrong(cursor: str) -> RefusedError:
    return RefusedError(400, f"cursor: expected the next_cursor of the page before, but got {cursor[:64]!r}")
