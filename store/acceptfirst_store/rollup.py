"""Keeps `handshake_rollup_1m` true: finds the minutes that something happened to, and computes them anew.

Never incremented, since a span that comes twice would count twice. A minute is the time in the connections' ids, hence
a range of the primary key of `handshakes`: what a pass costs depends on what came in, not on what is stored.

What came in is known by `touched_at`, the store's clock when a row was written. An insert stamps its rows when it
begins and shows them when it ends, so a pass looks back `OVERLAP_SECONDS` before the last one; computing a minute twice
changes nothing. A clock that was set back is noticed by the last pass lying in the future.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from acceptfirst_store.upkeep import upkeep_sql

#: Longer than any insert may take (`database.WRITE_SECONDS_MAX`), so that none shows rows behind the pass's back.
OVERLAP_SECONDS = 90
CHUNK_SECONDS_MAX = 3600
CHUNK_ROWS_MAX = 1_000_000
MINUTE_SECONDS = 60
JOB = "handshake_rollup_1m"
FROZEN_JOB = "handshake_rollup_1m_frozen"
_LAST_SECOND = 2**32 - 1
_LAST_ID_MS = 2**48 - 1


class WritableStore(Protocol):
    """What the rollup needs of a store: a `Database` is one."""

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Read rows."""
        ...

    def run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns no rows."""
        ...


@dataclasses.dataclass(frozen=True)
class RollupPass:
    """What a pass did: minutes that it computed, and minutes that it was stopped before."""

    minutes: int
    minutes_left: int


def refresh_rollup(database: WritableStore, keep_on: Callable[[], bool] = lambda: True) -> RollupPass:
    """Bring the rollup up to date with what is stored; running it again changes nothing.

    Args:
        database: open for writing; several processes may do this at once on one server.
        keep_on: asked between pieces of work of at most an hour's minutes; once it says no, the rest is left to the
            next pass, which begins where this one did.

    Raises:
        StoreError: when the store can't be read or written; the next pass begins where this one did.
    """
    [progress] = database.rows(upkeep_sql("rollup_progress"))
    now_s, through_s, revision = (int(progress[key]) for key in ("now_s", "through_s", "revision"))
    is_set_back = now_s < through_s
    touched = database.rows(
        upkeep_sql("rollup_touched_minutes"),
        {
            "since_s": max(0, min(now_s, through_s) - OVERLAP_SECONDS),
            # Rows from a time that has not come (again) yet were computed when they came; without this bound each pass
            # would compute them until their time is over.
            "until_s": _LAST_SECOND if is_set_back or not through_s else now_s + OVERLAP_SECONDS,
            "frozen_before_s": int(progress["frozen_before_s"]),
        },
    )
    done = 0
    for chunk in _chunks(touched):
        if not keep_on():
            return RollupPass(done, len(touched) - done)
        recompute_minutes(database, chunk)
        done += len(chunk)
    if done or is_set_back or now_s - through_s >= OVERLAP_SECONDS:
        _save(database, JOB, revision + 1, now_s)
    return RollupPass(done, 0)


def frozen_before(database: WritableStore) -> int:
    """The first minute, in Unix seconds, that may still be computed: handshakes of those before it are gone, or going.

    Raises:
        StoreError: the store can't be read.
    """
    return int(database.rows(upkeep_sql("rollup_progress"))[0]["frozen_before_s"])


def recompute_minutes(database: WritableStore, minutes: Iterable[int]) -> None:
    """Compute some minutes anew, and retire keys that nothing is left of.

    Args:
        database: open for writing.
        minutes: whole minutes in Unix seconds; best close together, since everything between them is looked at.
    """
    wanted = sorted(set(minutes))
    if not wanted:
        return
    [row] = database.rows(upkeep_sql("rollup_version"), {"minutes": wanted})
    parameters = {"minutes": wanted, "version": int(row["version"])}
    bounds = {"first_id": _id_at(wanted[0]), "end_id": _id_at(wanted[-1] + MINUTE_SECONDS)}
    database.run(upkeep_sql("recompute_rollup"), {**parameters, **bounds})
    database.run(upkeep_sql("retire_rollup"), parameters)


def remember_frozen_before(database: WritableStore, day: dt.date) -> None:
    """Never compute minutes before a day again: their handshakes are about to be dropped, the rollup is to stay.

    Raises:
        StoreError: the store can't be written.
    """
    # The day itself is the revision, so that the latest day holds, whatever was asked for later.
    midnight_s = int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())
    _save(database, FROZEN_JOB, midnight_s, midnight_s)


def _save(database: WritableStore, job: str, revision: int, through_s: int) -> None:
    database.run(upkeep_sql("save_progress"), {"job": job, "revision": revision, "through_s": through_s})


def _id_at(second: int) -> str:
    """The smallest connection id of a second, in hex; behind the last minute that a DateTime can hold, the largest."""
    if second > _LAST_SECOND:
        return "f" * 32
    return f"{min(second * 1000, _LAST_ID_MS):012x}{0:020x}"


def _chunks(touched: Iterable[Mapping[str, Any]]) -> Iterator[list[int]]:
    """Cut the minutes, which come in order, into pieces that are close together and of bounded size."""
    chunk: list[int] = []
    rows = 0
    for row in touched:
        minute = int(row["minute_s"])
        if chunk and (minute - chunk[0] >= CHUNK_SECONDS_MAX or rows + int(row["touched_rows"]) > CHUNK_ROWS_MAX):
            yield chunk
            chunk, rows = [], 0
        chunk.append(minute)
        rows += int(row["touched_rows"])
    if chunk:
        yield chunk
