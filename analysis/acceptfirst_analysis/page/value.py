"""Reads what the handshakes of the last day meant for users: for whoever asks what it costs, not what raced."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from acceptfirst_analysis.page.model import DayOfValue, Saved
from acceptfirst_analysis.page.reading import DAY, id_range, instant
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_store.database import StatementRunner

LAMBDA_MS: Final = Settings().lambda_ms
"""What one connection that met a race counts as, of its user's time; the recommendations' default."""

_STEPS_LOOKED_AT: Final = 200

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """The last day and the one before it, ``None`` where there was nothing, and what the last change saved."""

    day: DayOfValue | None
    day_before: DayOfValue | None
    saved: Saved | None


def value(reader: StatementRunner, environment: str, now: datetime) -> Value:
    """What the last day's handshakes meant, beside the day before.

    Args:
        reader: the store.
        environment: empty for all.
        now: aware.
    """
    values = {"environment": environment, **id_range(now - 2 * DAY), "recent_since": instant(now - DAY)}
    days = {bool(row["is_recent"]): _day(row) for row in reader.statement_rows("live_value", values)}
    return Value(days.get(True), days.get(False), _saved(reader, environment))


def _day(row: Row) -> DayOfValue:
    affected = int(row["connections_affected"])
    return DayOfValue(
        handshakes=float(row["handshakes"]),
        n=int(row["n"]),
        n_ready=int(row["n_ready"]),
        first_message_p50_ms=_known(row["first_message_p50_ms"]),
        first_message_p95_ms=_known(row["first_message_p95_ms"]),
        messages_early=int(row["messages_early"]),
        connections_affected=affected,
        users_affected=int(row["users_affected"]) if row["n_identified"] else None,
        wait_s=float(row["wait_s"]),
        lost_s=float(row["wasted_s"]) + affected * LAMBDA_MS / 1000.0,
    )


def _known(value_ms: Any) -> float | None:
    found = float(value_ms) if value_ms is not None else math.nan
    return found if math.isfinite(found) else None


def _saved(reader: StatementRunner, environment: str) -> Saved | None:
    """The last step with which the loop verified a change, if it could compare anything."""
    asked = {"environment": environment, "limit": _STEPS_LOOKED_AT}
    for row in reader.statement_rows("policy_history", asked):
        if row["action"] == "verify" and (savings := _savings(str(row["evidence"]))):
            return Saved(
                environment=str(row["environment"]),
                version=str(row["version"]),
                at=row["happened_at"],
                saved_s=sum(float(each["saved_s"]) for each in savings),
                violations_avoided=sum(float(each["violations_avoided"]) for each in savings),
                is_shown=all(each["is_shown"] for each in savings),
            )
    return None


def _savings(evidence: str) -> list[Row]:
    try:
        found = json.loads(evidence or "{}").get("savings", [])
        return [each for each in found if {"saved_s", "violations_avoided", "is_shown"} <= set(each)]
    except (ValueError, TypeError, AttributeError):
        return []  # of another version
