"""How long data are kept: TTLs that drop whole parts, since deleting row by row rewrites what stays."""

from __future__ import annotations

import dataclasses
import re

from acceptfirst_store.database import Database
from acceptfirst_store.errors import RequestInvalid

GROUPS = {
    "spans": ("otel_traces", "otel_traces_trace_id_ts"),
    "handshakes": ("handshake_transitions", "handshakes", "race_condition_patterns"),
    "rollup": ("handshake_rollup_1m",),
}
"""What can be kept for how long, and the tables that it means."""

EXPECTED = "30d, or some of spans=14d,handshakes=90d,rollup=400d; 'forever' in place of days"
DAYS_MAX = 36_500
_ID_DAY = "toDate(toUInt16(intDiv(reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))), 86400000)))"
_BEGINS = {
    "otel_traces": "toDate(Timestamp)",
    "otel_traces_trace_id_ts": "toDate(Start)",
    "handshake_transitions": _ID_DAY,
    "handshakes": _ID_DAY,
    "race_condition_patterns": _ID_DAY,
    "handshake_rollup_1m": "toDate(minute)",
}
_DAYS = re.compile(r"(\d{1,5})d")


@dataclasses.dataclass(frozen=True)
class Retention:
    """Group → days, 0 for ever; a group that is missing stays as it is."""

    days: dict[str, int]

    @classmethod
    def parse(cls, text: str) -> Retention:
        """Read what a person wrote; days alone mean spans and handshakes, since a rollup takes next to nothing.

        Raises:
            RequestInvalid: it can't be understood.
        """
        if "=" not in text:
            days = _days(text.strip(), text)
            return cls({"spans": days, "handshakes": days})
        given: dict[str, int] = {}
        for part in text.split(","):
            group, _, value = (piece.strip() for piece in part.partition("="))
            if group not in GROUPS or group in given:
                raise RequestInvalid(f"expected a retention like {EXPECTED}; got {text[:128]!r}")
            given[group] = _days(value, text)
        return cls(given)


def apply_retention(database: Database, retention: Retention) -> None:
    """Declare the TTLs; parts that are too old already go with the next merge.

    Raises:
        StoreError: the store can't be altered.
    """
    for group, days in retention.days.items():
        for table in GROUPS[group]:
            target = database.alterable(table)
            if days:
                # A day more, since a day begins with its first hour: what came last in it is to be kept as long.
                database.run(f"ALTER TABLE {target} MODIFY TTL {_BEGINS[table]} + toIntervalDay({days + 1})")
            elif _has_ttl(database, table):
                database.run(f"ALTER TABLE {target} REMOVE TTL")


def _has_ttl(database: Database, table: str) -> bool:
    names = [table, f"{table}_local"]
    sql = (
        "SELECT count() AS n FROM system.tables WHERE database = 'acceptfirst' "
        "AND has({names:Array(String)}, name) AND position(engine_full, ' TTL ') > 0"
    )
    return bool(database.rows(sql, {"names": names})[0]["n"])


def _days(value: str, text: str) -> int:
    if value == "forever":
        return 0
    found = _DAYS.fullmatch(value)
    if found is None or not 1 <= int(found.group(1)) <= DAYS_MAX:
        raise RequestInvalid(f"expected a retention like {EXPECTED}; 1 to {DAYS_MAX} days; got {text[:128]!r}")
    return int(found.group(1))
