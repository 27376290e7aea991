"""Which part of the store is classified at a time, so that memory is bounded however much there is.

A connection's rows lie in one partition, the day in its identity, and are sorted by it; so days, or parts of a day, can
be worked through one after another, and nothing of a connection is ever in two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from acceptfirst_analysis.window import Window

ROWS_MAX: Final = 4_000_000
"""Rows of ``handshakes`` in a batch."""

DAYS_SQL: Final = "SELECT _partition_id AS day, count() AS n FROM acceptfirst.handshakes GROUP BY day ORDER BY day"

WITHIN: Final = (
    "_partition_id IN {days:Array(String)} "
    "AND connection_id >= toFixedString(unhex({low:String}), 16) "
    "AND connection_id <= toFixedString(unhex({high:String}), 16)"
)
"""A condition on a table that is partitioned as ``handshakes`` is; its parameters are ``Batch.parameters``."""

_SINCE: Final = "touched_at >= toDateTime({touched:UInt32}, 'UTC')"

TOUCHED_DAYS_SQL: Final = DAYS_SQL.replace("GROUP BY", f"WHERE {_SINCE} GROUP BY")
"""Only days with rows that were written since a moment, and how many of these they have."""

TOUCHED_FROM_SQL: Final = f"SELECT min(first_seen) AS began FROM acceptfirst.handshakes WHERE {_SINCE}"  # noqa: S608 - constants
"""When the first of the connections began that something was written about since."""

TOUCHED: Final = f"connection_id IN (SELECT connection_id FROM acceptfirst.handshakes WHERE {WITHIN} AND {_SINCE})"  # noqa: S608 - constants
"""A condition: something was written about the connection since."""

_LOWEST, _HIGHEST = "00" * 16, "ff" * 16
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Batch:
    """Some days, or a part of one.

    Attributes:
        days: names of partitions.
        low: the first identity, hex.
        high: the last.
    """

    days: tuple[str, ...]
    low: str = _LOWEST
    high: str = _HIGHEST

    @property
    def parameters(self) -> dict[str, Any]:
        """What ``WITHIN`` is bound to."""
        return {"days": list(self.days), "low": self.low, "high": self.high}


def batches(rows: Sequence[Mapping[str, Any]], window: Window, rows_max: int = ROWS_MAX) -> list[Batch]:
    """The batches in which connections of a range may be.

    Args:
        rows: of ``DAYS_SQL``.
        window: connections first seen in it; an identity's day is at most one day off.
        rows_max: of a batch.
    """
    made: list[Batch] = []
    waiting: list[str] = []
    count = 0
    for row in rows:
        day, n = str(row["day"]), int(row["n"])
        if not _may_hold(day, window):
            continue
        if n > rows_max:
            made += _parts_of(day, -(-n // rows_max))
            continue
        if count + n > rows_max:
            made.append(Batch(tuple(waiting)))
            waiting, count = [], 0
        waiting.append(day)
        count += n
    return [*made, Batch(tuple(waiting))] if waiting else made


def stretches(rows: Sequence[Mapping[str, Any]], window: Window, rows_max: int = ROWS_MAX) -> list[Window]:
    """A range cut at midnights into ranges of bounded size, for what looks at many connections at a time.

    Args:
        rows: of ``DAYS_SQL``.
        window: connections first seen in it.
        rows_max: of a stretch; a day that has more is a stretch of its own.

    Returns:
        Ranges that follow one another from the window's start to its end; one, where it needs no more.
    """
    cuts: list[datetime] = []
    count = 0
    for row in sorted(rows, key=lambda row: str(row["day"])):
        start = _start_of(str(row["day"]))
        if start is None or not _may_hold(str(row["day"]), window):
            continue
        if count and count + int(row["n"]) > rows_max and window.since < start < window.until:
            cuts.append(start)
            count = 0
        count += int(row["n"])
    edges = [window.since, *cuts, window.until]
    if not cuts:
        return [window]
    return [Window(since, until, provisional=True) for since, until in pairwise(edges)]


def _start_of(day: str) -> datetime | None:
    try:
        return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _may_hold(day: str, window: Window) -> bool:
    start = _start_of(day)
    if start is None:
        return True  # a partition of another form: better looked at in vain than left out
    return start - _DAY < window.until and start + 2 * _DAY > window.since


def _parts_of(day: str, parts: int) -> list[Batch]:
    """A day cut by the time in the identities; what lies outside that day goes to the first and the last."""
    start_ms = int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp() * 1000)
    day_ms = int(_DAY.total_seconds() * 1000)
    cuts = [(start_ms + day_ms * number // parts).to_bytes(6, "big").hex() for number in range(1, parts)]
    lows = [_LOWEST, *(cut + "00" * 10 for cut in cuts)]
    highs = [*(_before(cut + "00" * 10) for cut in cuts), _HIGHEST]
    return [Batch((day,), low, high) for low, high in zip(lows, highs, strict=True)]


def _before(identity: str) -> str:
    return f"{int(identity, 16) - 1:032x}"
