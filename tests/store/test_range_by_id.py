"""A question about some hours reads the part of the table whose ids lie in them, not the whole of it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

import pytest

from acceptfirst_store.database import Database
from acceptfirst_store.statements import statement, statement_names

DAYS: Final = 12
NOW: Final = dt.datetime.now(dt.UTC).replace(microsecond=0)
ANYTHING: Final = {"environments": [""], "services": [""], "routes": [""]}
WITHIN: Final = {"since": f"{NOW - dt.timedelta(hours=1):%F %T}", "until": f"{NOW:%F %T}"}
AT: Final = {"at": f"{NOW:%F %T}", "environment": ""}
LOOKS: Final = {"environment": "", "threshold": 0, "n_min": 0, "step_s": 60}
LAST_HOUR: Final = {"first_s": int(NOW.timestamp()) - 3600, "last_s": int(NOW.timestamp())}
CHOSEN: Final = {"environment": "", "service": "", "route": ""}

#: Each statement that is about the time in which it is asked, or a range; with what it is asked.
ASKED: Final[dict[str, dict[str, Any]]] = {
    "alert_handshake_stuck": {**AT, "older_than_s": 30, "window_s": 3600},
    "alert_handshake_stuck_range": {**LOOKS, **LAST_HOUR, "older_than_s": 30, "window_s": 3600},
    "alert_ingest_stale": AT,
    "alert_tuning_drift": {**AT, "window_s": 3600},
    "alert_tuning_drift_range": {**LOOKS, **LAST_HOUR, "window_s": 3600},
    "handshakes_now": {"since": WITHIN["since"]},
    "handshakes_page": {**CHOSEN, **WITHIN, "cursor": "", "limit": 10},
    "handshakes_recent": {**CHOSEN, "since": WITHIN["since"], "limit": 10},
    "panel_data_age": ANYTHING,
    "panel_message_gap": {**ANYTHING, **WITHIN},
    "panel_state_times": {**ANYTHING, **WITHIN},
    "panel_stuck": {**ANYTHING, "older_than_s": 30},
}


@pytest.fixture(scope="module")
def stored(database: Database) -> Database:
    """A connection a day, each in a partition of its own."""
    days = [NOW - dt.timedelta(days=days, minutes=5) for days in range(DAYS)]
    rows = [
        {
            "connection_id": int(at.timestamp() * 1000).to_bytes(6, "big") + bytes(10),
            "weight": 1.0,
            "first_seen": at,
            "last_seen": at,
        }
        for at in days
    ]
    database.insert_rows("handshakes", rows)
    return database


@pytest.mark.parametrize("name", sorted(ASKED))
def test_question_about_the_last_hour_reads_no_older_days(stored: Database, name: str) -> None:
    """Today's and, around midnight or with a day's margin, its neighbours'."""
    plan = stored.rows(f"EXPLAIN indexes = 1 {statement(name)}", ASKED[name])
    lines = [str(line) for row in plan for line in row.values()]
    table = next(number for number, line in enumerate(lines) if "ReadFromMergeTree (acceptfirst.handshakes)" in line)
    parts = [match for line in lines[table:] if (match := re.search(r"Parts: (\d+)/(\d+)", line))]
    assert int(parts[0][2]) == DAYS
    assert int(parts[-1][1]) <= 3


@pytest.mark.parametrize("name", statement_names())
def test_statement_makes_no_bound_that_an_index_cannot_use(name: str) -> None:
    """The store does not take leftPad of a constant for a constant, and what is made of it bounds nothing."""
    assert "leftPad" not in statement(name)
