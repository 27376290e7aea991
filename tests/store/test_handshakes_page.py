"""A page of handshakes looks at no more than it needs, and is the page all the same."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest

from acceptfirst_store.database import Database

NOON = dt.datetime(2026, 11, 17, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
CONNECTIONS = 400
PAGES_MAX = 8


def _identity(at: dt.datetime, number: int) -> bytes:
    return int(at.timestamp() * 1000).to_bytes(6, "big") + number.to_bytes(10, "big")


@pytest.fixture(scope="module")
def stored(database: Database) -> Database:
    """Four hundred connections over two days, each told of in three rows: the second knows less, the third is later."""
    chance = random.Random(7)  # noqa: S311 - repeatable, guards nothing
    rows: list[dict[str, Any]] = []
    for number in range(CONNECTIONS):
        at = NOON + number * 7 * MINUTE
        known = {
            "environment": chance.choice(("production", "staging")),
            "service": chance.choice(("chat", "feed")),
            "route": chance.choice(("/ws/1", "/ws/2")),
        }
        unknown = dict.fromkeys(known, "")
        # Some spans are older than the identity tells, and only one row says so.
        early = at - chance.choice((0, 0, 600)) * MINUTE
        for place, seen in ((known, at), (unknown, early), (known, at + MINUTE)):
            rows.append({"connection_id": _identity(at, number), **place, "first_seen": seen, "last_seen": seen})
    for third in range(3):
        database.insert_rows("handshakes", rows[third::3])
    return database


def _asked(**own: Any) -> dict[str, Any]:
    anything = {"environment": "", "service": "", "route": "", "cursor": "", "limit": 10}
    return {**anything, "since": "1970-01-01 00:00:00", "until": "2200-01-01 00:00:00", **own}


def _all_of(database: Database, **asked: Any) -> list[str]:
    """Every connection that meets the filters, put together without any short cut."""
    return [
        row["id"]
        for row in database.rows(
            """
            SELECT lower(hex(connection_id)) AS id FROM acceptfirst.handshakes FINAL
            WHERE ({environment:String} = '' OR environment = {environment:String})
                AND ({service:String} = '' OR service = {service:String})
                AND ({route:String} = '' OR route = {route:String})
                AND first_seen >= {since:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')}
            ORDER BY connection_id DESC""",
            asked,
        )
    ]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"environment": "staging"},
        {"environment": "nowhere"},
        {"service": "feed", "route": "/ws/2"},
        {"since": "2026-11-18 00:00:00"},
        {"until": "2026-11-18 00:00:00", "environment": "production"},
        {"since": "2026-11-17 20:00:00", "until": "2026-11-18 03:30:00", "route": "/ws/1"},
    ],
)
def test_pages_are_all_of_the_connections_that_meet_the_filters(
    stored: Database, filters: dict[str, str], limit: int
) -> None:
    """One page after another gives what looking at everything gives, in its order, each connection once."""
    wanted = _all_of(stored, **_asked(**filters))
    pages: list[str] = []
    for _ in range(PAGES_MAX):
        cursor = pages[-1] if pages else ""
        page = stored.statement_rows("handshakes_page", _asked(**filters, limit=limit, cursor=cursor))
        pages += [row["connection_id"] for row in page]
        if len(page) < limit:
            break
    assert pages == wanted[: len(pages)]
    assert len(pages) == len(wanted) or len(pages) == PAGES_MAX * limit


def test_page_is_full_when_the_newest_candidates_all_fail(database: Database) -> None:
    """A row of its own says that a connection began in the range; put together, three hundred of them began before."""
    begin = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
    good = [_identity(begin + number * MINUTE, number) for number in range(5)]
    bad = [_identity(begin + 6 * MINUTE, number) for number in range(300)]
    rows = [{"connection_id": one, "first_seen": begin + MINUTE, "last_seen": begin} for one in (*good, *bad)]
    rows += [{"connection_id": one, "first_seen": begin - MINUTE, "last_seen": begin} for one in bad]
    for part in (rows[:305], rows[305:]):
        database.insert_rows("handshakes", part)
    asked = _asked(since="2026-03-02 12:00:00", until="2026-03-03 00:00:00", limit=5)
    found = [row["connection_id"] for row in database.statement_rows("handshakes_page", asked)]
    assert found == [one.hex() for one in reversed(good)]
