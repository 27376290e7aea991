"""Reads what the pages of one connection and of one pattern say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from acceptfirst.catalogue import Catalogue, Pattern
from acceptfirst.signature import describe
from acceptfirst_analysis.page.model import Connection, PatternConnection, PatternSeen, Race
from acceptfirst_analysis.page.reading import DAY, id_range, instant, known_pattern, place_of
from acceptfirst_analysis.report.model import Timeline
from acceptfirst_analysis.units import duration, milliseconds
from acceptfirst_store.database import StatementRunner

CONNECTIONS_SHOWN_MAX: Final = 30
CONNECTION_ID: Final = re.compile(r"[0-9a-f]{32}")

_AROUND: Final = timedelta(minutes=1)
_NO_TRACE: Final = "0" * 32

Row = Mapping[str, Any]


def connection(reader: StatementRunner, catalogue: Catalogue, connection_id: str) -> Connection | None:
    """All that is stored of one connection, or ``None`` where there is no such one.

    Args:
        reader: the store.
        catalogue: the patterns.
        connection_id: 32 lower hex digits.
    """
    asked = {"connection_id": connection_id}
    rows = reader.statement_rows("handshake_by_id", asked)
    if not rows:
        return None
    row = rows[0]
    transitions = reader.statement_rows("transitions_by_id", asked)
    signature = str(row["signature"])
    return Connection(
        connection=connection_id,
        place=place_of(row),
        first_seen=row["first_seen"],
        outcome=str(row["outcome"]),
        signature=signature,
        events=_events(signature),
        timeline=_timeline(connection_id, signature, transitions),
        races=_races(reader, catalogue, row),
        facts=_facts(row),
        trace_ids=tuple(dict.fromkeys(str(t["trace_id"]) for t in transitions if t["trace_id"] != _NO_TRACE)),
        values=row,
    )


def _events(signature: str) -> tuple[str, ...]:
    try:
        return tuple(describe(signature))
    except ValueError:
        return ()  # letters of a later alphabet: the states still tell the story


def _timeline(connection_id: str, signature: str, transitions: Sequence[Row]) -> Timeline:
    return Timeline(
        connection=connection_id,
        states=tuple(str(row["from_state"]) for row in transitions),
        triggers=tuple(str(row["trigger"]) for row in transitions),
        durations_ms=tuple(float(row["duration_ns"]) / 1e6 for row in transitions),
        signature=signature,
        events=_events(signature),
    )


def _races(reader: StatementRunner, catalogue: Catalogue, row: Row) -> tuple[Race, ...]:
    around = {"since": instant(row["first_seen"] - _AROUND), "until": instant(row["last_seen"] + _AROUND)}
    asked = {"connection_id": row["connection_id"]}
    reported = reader.statement_rows("violations_by_id", {**asked, **around, "service": row["service"]})
    concluded = reader.statement_rows("occurrences_by_id", asked)
    names = dict.fromkeys(str(each["pattern_type"]) for each in (*reported, *concluded))
    names |= dict.fromkeys(map(str, row["patterns"]))
    return tuple(_race(name, catalogue, _of(reported, name), _of(concluded, name)) for name in names)


def _of(rows: Sequence[Row], name: str) -> list[Row]:
    return [row for row in rows if row["pattern_type"] == name]


def _race(name: str, catalogue: Catalogue, reported: Sequence[Row], concluded: Sequence[Row]) -> Race:
    pattern = known_pattern(catalogue, name)
    first = next(iter((*reported, *concluded)), None)
    by = [word for word, rows in (("the process", reported), ("the classifier", concluded)) if rows]
    at = None if first is None else first.get("started_at") or first.get("detected_at")
    return Race(
        name=name,
        pattern=pattern,
        severity=str(first["severity"]) if first else pattern.severity if pattern else "",
        evidence=str(first["evidence"]) if first else "",
        at=at,
        told_by=" and ".join(by) or "the process",
    )


def _facts(row: Row) -> tuple[tuple[str, str], ...]:
    phases = ", ".join(f"{name} {milliseconds(value)}" for name, value in dict(row["phases"]).items())
    early = f", {row['messages_early']} of them early" if row["messages_early"] else ""
    closed = f"{row['close_code']} by {row['close_initiator'] or 'nobody'}" if row["close_code"] else ""
    values = (
        ("accept returned", _after(row["connected_ns"])),
        ("ready", _after(row["ready_ns"])),
        ("first message", _after(row["first_message_ns"])),
        ("messages", f"{row['messages_received']:,} received{early}, {row['messages_sent']:,} sent"),
        ("phases", phases),
        ("closed", closed),
        ("error", " ".join(filter(None, (str(row["error_type"]), str(row["error_kind"])))).strip()),
        ("readiness", f"{row['readiness_mode'] or 'unknown'}, gate {row['gate'] or 'unknown'}"),
        ("policy", f"{row['policy_version'] or 'unknown'} ({row['policy_arm'] or 'baseline'})"),
        ("delay applied", milliseconds(row["delay_applied_ms"]) if row["delay_applied_ms"] else ""),
        ("service version", str(row["service_version"])),
        ("attempt", str(row["attempt"]) if row["attempt"] else ""),
        (
            "counts as",
            f"{row['weight']:g} handshake{'s' * (row['weight'] != 1)}"
            if row["weight"]
            else "none: kept for its race alone",
        ),
    )
    return tuple((label, value) for label, value in values if value)


def _after(value_ns: int) -> str:
    return f"{duration(value_ns / 1e6)} after connect" if value_ns else ""


def pattern_seen(reader: StatementRunner, pattern: Pattern, environment: str, now: datetime) -> PatternSeen:
    """A pattern with the connections that showed it within a day, the newest first."""
    values = {
        **id_range(now - DAY),
        "pattern": pattern.name,
        "environment": environment,
        "limit": CONNECTIONS_SHOWN_MAX,
    }
    rows = reader.statement_rows("pattern_connections", values)
    return PatternSeen(
        pattern=pattern,
        rows=tuple(
            PatternConnection(
                connection=str(row["connection_id"]),
                place=place_of(row),
                first_seen=row["first_seen"],
                outcome=str(row["outcome"]),
                signature=str(row["signature"]),
            )
            for row in rows
        ),
        connections=int(rows[0]["connections"]) if rows else 0,
    )
