"""Ranges of time: what is a complete week, and what people may write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_analysis.window import WindowError, iso_week, parse_instant, window_between

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


def test_week_binds_when_it_is_over() -> None:
    """Monday to Monday, UTC."""
    window = iso_week("2026-W47", now=NOW)
    assert window.parameters == {"since": "2026-11-16T00:00:00.000000Z", "until": "2026-11-23T00:00:00.000000Z"}
    assert (window.week, window.provisional) == ("2026-W47", False)


def test_week_is_provisional_when_it_is_not_over() -> None:
    """This week still grows."""
    window = iso_week("2026-W48", now=NOW)
    assert (window.week, window.provisional) == ("2026-W48", True)


@given(st.integers(1971, 2200), st.integers(1, 52))
def test_week_comes_back_under_its_own_name(year: int, week: int) -> None:
    """Any week of any year."""
    name = f"{year}-W{week:02d}"
    assert iso_week(name, now=NOW).week == name


def test_week_before_is_the_week_before() -> None:
    """Across the turn of a year."""
    assert iso_week("2026-W01", now=NOW).previous().week == "2025-W52"


@pytest.mark.parametrize("text", ["2026-47", "2026-W54", "W47", "", "2026-W00", "0000-W01", "2026-W47 or so"])
def test_week_is_refused_when_there_is_none_of_that_name(text: str) -> None:
    """The message shows one that is."""
    with pytest.raises(WindowError, match="such as 2026-W47"):
        iso_week(text, now=NOW)


def test_range_is_provisional_when_somebody_chose_it() -> None:
    """Seven days from a Tuesday are no ISO week."""
    tuesday = datetime(2026, 11, 10, tzinfo=UTC)
    window = window_between(tuesday, tuesday + timedelta(days=7), now=NOW)
    assert (window.week, window.provisional) == (None, True)


def test_range_is_refused_when_it_is_empty() -> None:
    """With both ends in the message."""
    with pytest.raises(WindowError, match=r"2026-11-24T03:00:00\.000000Z and 2026-11-24T03:00:00\.000000Z"):
        window_between(NOW, NOW, now=NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T12:00:00+02:00", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("2026-11-20T12:00:00Z", datetime(2026, 11, 20, 12, tzinfo=UTC)),
    ],
)
def test_instant_is_read_as_age_or_as_iso(text: str, instant: datetime) -> None:
    """UTC unless it says otherwise."""
    assert parse_instant(text, now=NOW) == instant


@pytest.mark.parametrize(
    "text", ["yesterday", "24", "", "h", "99999999999999999999w", "0001-01-01", "9999-12-31", "99999w"]
)
def test_instant_is_refused_when_it_is_neither(text: str) -> None:
    """One clear sentence."""
    with pytest.raises(WindowError, match="expected an"):
        parse_instant(text, now=NOW)
