"""Reads what the live page says; the one place where the page and the store meet.

Everything goes through named statements, so the page works on a store that is open here and on one behind an API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst_analysis.page.model import (
    Advice,
    EnvironmentSeen,
    Handshake,
    OpenHandshake,
    OpenNow,
    Place,
    RaceCount,
)
from acceptfirst_analysis.report.phrases import SETTING_VERDICTS, goal, setting_in_force
from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_store.database import StatementRunner

RECENT: Final = timedelta(minutes=15)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
LANES_MAX: Final = 50
OPEN_SHOWN_MAX: Final = 12
STUCK_AFTER_S: Final = 30

_ID_SKEW: Final = timedelta(minutes=1)  # an id is made a moment before the first span begins
_NEVER_YEAR: Final = 1970

Row = Mapping[str, Any]


def instant(at: datetime) -> str:
    """A time as the named statements take a bound DateTime64."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def id_range(since: datetime) -> dict[str, str]:
    """Where in the order of connection ids handshakes since then can lie, so that the store reads no more than these.

    An id begins with its milliseconds. One of another form was hashed under the midnight of its first span's day, see
    the migration that makes ``handshakes``: the midnight before ``since`` lies below ``floor``, a range of its own.
    """
    at = since.astimezone(UTC)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "since": instant(at),
        "floor": _id(at - _ID_SKEW),
        "day_floor": _id(midnight),
        "day_ceiling": _id(midnight + timedelta(milliseconds=1)),
    }


def _id(at: datetime) -> str:
    return f"{max(0, int(at.timestamp() * 1000)):012x}{0:020x}"


def environments(reader: StatementRunner, now: datetime) -> tuple[EnvironmentSeen, ...]:
    """Those that sent anything within a week, the usual four in their order of importance first."""
    rows = reader.statement_rows("live_environments", {"floor": _id(now - WEEK)})
    order = {"production": 0, "staging": 1, "development": 2, "testing": 3}
    seen = [EnvironmentSeen(name=str(row["environment"]), last_seen=row["last_seen"]) for row in rows]
    return tuple(sorted(seen, key=lambda each: (order.get(each.name, 4), each.name)))


def summary(reader: StatementRunner, environment: str, now: datetime) -> Row:
    """The counts of the last minutes."""
    (row,) = reader.statement_rows("live_summary", {"environment": environment, **id_range(now - RECENT)})
    return row


def last_handshakes(
    reader: StatementRunner, environment: str, now: datetime, *, racing_only: bool = False
) -> tuple[Handshake, ...]:
    """The last handshakes, the newest first: of the last minutes, else of the last day, else of the last week.

    Args:
        reader: the store.
        environment: empty for all.
        now: aware.
        racing_only: leave out those that showed no race.
    """
    for span in (RECENT, DAY, WEEK):
        values = {
            **id_range(now - span),
            "environment": environment,
            "racing_only": int(racing_only),
            "limit": LANES_MAX,
        }
        if rows := reader.statement_rows("live_lanes", values):
            return tuple(handshake_of(row, now) for row in rows)
    return ()


def handshake_of(row: Row, now: datetime) -> Handshake:
    """A handshake out of a row of ``live_lanes``."""
    states = [str(state) for state in row["states"]]
    durations_ms = [max(0.0, float(value)) for value in row["durations_ms"]]
    first_seen: datetime = row["first_seen"]
    if states and not row["is_ended"]:  # it is still in the state that it entered last
        states.append(str(row["entered"]))
        elapsed_ms = (now - first_seen) / timedelta(milliseconds=1)
        durations_ms.append(max(0.0, elapsed_ms - sum(durations_ms)))
    before_connect_ms = durations_ms[0] if states and states[0] == "INITIALIZING" else 0.0
    first_message_ms = float(row["first_message_ns"]) / 1e6
    return Handshake(
        connection=str(row["connection_id"]),
        place=place_of(row),
        first_seen=first_seen,
        outcome=str(row["outcome"]),
        states=tuple(states),
        durations_ms=tuple(durations_ms),
        first_message_ms=before_connect_ms + first_message_ms if first_message_ms else None,
        ready_ms=_ready_ms(states, durations_ms),
        close_code=int(row["close_code"]),
        patterns=tuple(map(str, row["patterns"])),
    )


def _ready_ms(states: Sequence[str], durations_ms: Sequence[float]) -> float | None:
    if "READY_FOR_MESSAGES" not in states:
        return None
    return sum(durations_ms[: states.index("READY_FOR_MESSAGES")])


def place_of(row: Row) -> Place:
    """Where a row belongs."""
    return Place(environment=str(row["environment"]), service=str(row["service"]), route=str(row["route"]))


def open_now(reader: StatementRunner, environment: str, now: datetime) -> OpenNow:
    """Handshakes that nothing has ended yet, the oldest first."""
    values = {
        **id_range(now - timedelta(hours=1)),
        "environment": environment,
        "now": instant(now),
        "stuck_after_s": STUCK_AFTER_S,
        "limit": OPEN_SHOWN_MAX,
    }
    rows = reader.statement_rows("live_open", values)
    if not rows:
        return OpenNow()
    shown = tuple(
        OpenHandshake(
            connection=str(row["connection_id"]),
            place=place_of(row),
            first_seen=row["first_seen"],
            age_ms=float(row["age_ms"]),
            is_accepted=bool(row["is_accepted"]),
            is_stuck=float(row["age_ms"]) > 1000 * STUCK_AFTER_S,
        )
        for row in rows
    )
    return OpenNow(rows=shown, count=int(rows[0]["open_count"]), stuck=int(rows[0]["stuck_count"]))


def races(reader: StatementRunner, catalogue: Catalogue, environment: str, now: datetime) -> tuple[RaceCount, ...]:
    """Connections with each pattern in the last minutes and in the last day."""
    values = {"environment": environment, **id_range(now - DAY), "recent_since": instant(now - RECENT)}
    return tuple(
        RaceCount(
            name=(name := str(row["pattern_type"])),
            pattern=known_pattern(catalogue, name),
            recent=int(row["recent"]),
            total=int(row["total"]),
            last_seen=row["last_seen"],
        )
        for row in reader.statement_rows("live_patterns", values)
    )


def known_pattern(catalogue: Catalogue, name: str) -> Pattern | None:
    """The pattern of a name, or ``None``: a process may have a pattern file that nobody gave to this one."""
    return next((pattern for pattern in catalogue if pattern.name == name), None)


def advice(reader: StatementRunner, environment: str) -> tuple[Advice, ...]:
    """The latest recommendations, what to do first before what to leave."""
    values = {
        "environment": environment,
        "service": "",
        "route": "",
        "since": instant(datetime(1970, 1, 1, tzinfo=UTC)),
        "until": instant(datetime(2200, 1, 1, tzinfo=UTC)),
    }
    rows = [_advice(row) for row in reader.statement_rows("recommendations_latest", values)]
    return tuple(sorted(rows, key=lambda row: (_urgency(row), -row.recommendation.cost.get("violations_avoided", 0.0))))


def _urgency(row: Advice) -> int:
    verdict = row.recommendation.verdict
    return 0 if verdict in SETTING_VERDICTS else 1 if verdict == "code_fix" else 2


def _advice(row: Row) -> Advice:
    known = {each.name for each in fields(Recommendation)}
    values = {name: value for name, value in row.items() if name in known}
    values |= {name: json.loads(row[name] or "{}") for name in ("cost", "from_values", "evidence")}
    recommendation = Recommendation(
        **{**values, "ladder_ms": tuple(row["ladder_ms"]), "pattern": row["pattern"] or None}
    )
    return Advice(
        recommendation=recommendation,
        place=place_of(row),
        made_at=row["updated_at"],
        status=str(row["status"]),
        from_text=setting_in_force(recommendation.from_values),
        to_text=goal(recommendation),
    )
