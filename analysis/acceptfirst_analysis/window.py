"""The range of time that an analysis speaks about, and whether what it says may bind.

A bound holds for a window that was declared before anybody looked: a complete ISO week, in UTC. Any other range may
have been chosen because of what is in it, so what comes out of it is provisional.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(2200, 1, 1, tzinfo=UTC)
WEEK: Final = timedelta(days=7)

_ISO_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_AGE = re.compile(r"(\d+)([smhdw])")
_AGE_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class WindowError(ValueError):
    """A range of time that can't be understood; says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Window:
    """Handshakes first seen from ``since`` (included) to ``until`` (excluded), both aware UTC.

    Attributes:
        since: the start.
        until: the end.
        provisional: whether this is anything but one complete ISO week.
    """

    since: datetime
    until: datetime
    provisional: bool

    @property
    def week(self) -> str | None:
        """``2026-W47`` where the window is one ISO week, complete or not."""
        if self.until - self.since != WEEK or not _starts_week(self.since):
            return None
        year, week, _ = self.since.isocalendar()
        return f"{year}-W{week:02d}"

    @property
    def parameters(self) -> dict[str, str]:
        """``since`` and ``until`` as the named statements take them."""
        return {"since": _text(self.since), "until": _text(self.until)}

    def previous(self) -> Window:
        """The range of the same length just before."""
        return window_between(self.since - (self.until - self.since), self.since, now=self.until)


def window_between(since: datetime | None, until: datetime | None, *, now: datetime) -> Window:
    """A range; without a start it begins with time, without an end it ends now.

    Args:
        since: aware datetime or ``None``.
        until: aware datetime or ``None``.
        now: aware datetime; a week that is not over by then is not complete.

    Raises:
        WindowError: when it would be empty.
    """
    start = BEGINNING if since is None else since.astimezone(UTC)
    end = now if until is None else until
    end = end.astimezone(UTC)
    if start >= end:
        raise WindowError(f"expected --since to lie before --until, but got {_text(start)} and {_text(end)}")
    complete = end - start == WEEK and _starts_week(start) and end <= now
    return Window(start, end, provisional=not complete)


def iso_week(text: str, *, now: datetime) -> Window:
    """The window of an ISO week such as ``2026-W47``.

    Raises:
        WindowError: when the text names no week.
    """
    found = _ISO_WEEK.fullmatch(text.strip())
    year, week = (int(found[1]), int(found[2])) if found else (0, 0)  # a year 0 is refused below
    try:
        start = datetime.fromisocalendar(year, week, 1).replace(tzinfo=UTC)
    except ValueError as error:
        raise WindowError(f"expected an ISO week such as 2026-W47, but got {text!r}") from error
    return window_between(start, start + WEEK, now=now)


def week_before(instant: datetime, *, now: datetime) -> Window:
    """The last ISO week that was over at an instant.

    Args:
        instant: aware datetime.
        now: aware datetime; see ``window_between``.
    """
    day = instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = day - timedelta(days=day.isoweekday() - 1)
    return window_between(monday - WEEK, monday, now=now)


def parse_instant(text: str, *, now: datetime) -> datetime:
    """An instant written as ISO 8601 (UTC unless it says otherwise) or as an age: ``90s``, ``30m``, ``24h``, ``7d``.

    Raises:
        WindowError: when it is neither.
    """
    stripped = text.strip()
    if age := _AGE.fullmatch(stripped):
        try:
            return _in_reach(now - timedelta(seconds=int(age[1]) * _AGE_SECONDS[age[2]]), text)
        except OverflowError as error:
            raise WindowError(f"expected an age that the calendar can hold, but got {text!r}") from error
    try:
        instant = datetime.fromisoformat(stripped)
    except ValueError as error:
        raise WindowError(f"expected an ISO 8601 time or an age such as 24h or 7d, but got {text!r}") from error
    try:
        return _in_reach(instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC), text)
    except OverflowError as error:
        raise WindowError(f"expected an instant that the calendar can hold, but got {text!r}") from error


def _in_reach(instant: datetime, text: str) -> datetime:
    if not BEGINNING <= instant <= END:
        raise WindowError(f"expected an instant from {BEGINNING:%Y} to {END:%Y}, but got {text!r}")
    return instant


def _starts_week(instant: datetime) -> bool:
    return instant.isoweekday() == 1 and instant == instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
