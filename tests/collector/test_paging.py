"""Pages of short lists: every row once, whatever the size of a page; a cursor that is none is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.paging import page_of


def key(row: tuple[int, str]) -> list[Any]:
    """A number, then a text, as the lists have it."""
    return [row[0], row[1]]


@given(st.lists(st.tuples(st.integers(-5, 5), st.text(max_size=3)), unique=True), st.integers(1, 7))
def test_pages_together_are_the_list(rows: list[tuple[int, str]], limit: int) -> None:
    """In its order, and the last page says that it is."""
    ordered = sorted(rows)
    seen: list[tuple[int, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page, cursor = page_of(ordered, key, limit, cursor)
        assert len(page) <= limit
        seen += page
    assert seen == ordered


def test_page_goes_on_when_the_row_before_it_is_gone() -> None:
    """A cursor holds where a row stood, not which it was."""
    rows = [(number, "") for number in range(4)]
    _, cursor = page_of(rows, key, 2, "")
    assert page_of([rows[0], *rows[2:]], key, 2, cursor or "")[0] == rows[2:]


@pytest.mark.parametrize("cursor", ["%", "bnVsbA", "e30", "WyJ4Il0", "W10"])
def test_cursor_that_is_none_is_refused(cursor: str) -> None:
    """Not base64, not a list, of other types, empty."""
    with pytest.raises(RefusedError) as refused:
        page_of([(1, "a")], key, 1, cursor)
    assert refused.value.status == 400
