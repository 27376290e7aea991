"""Writes recommendations into the store, so that next week can be compared with them.

Apart from the making of them, so that a process that only keeps the store need not load what the statistics need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_analysis.window import Window

TABLE: Final = "tuning_recommendations"
ACTOR: Final = "acceptfirst"
"""Who took a step that no person took, in the history of a policy."""

STATUS_PROPOSED: Final = "proposed"


class RowWriter(Protocol):
    """Whoever can insert rows into a table of the store."""

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the keys of the first."""
        ...


def remember(writer: RowWriter, recommendations: Sequence[Recommendation], window: Window, *, now: datetime) -> None:
    """Write the recommendations down, one row a question and range; asking again replaces the answer.

    Args:
        writer: an open ``Database``.
        recommendations: what ``recommend`` returned for the window.
        window: the range they speak about.
        now: aware time of the writing.
    """
    writer.insert_rows(TABLE, [_stored(row, window, now) for row in recommendations])


def _stored(row: Recommendation, window: Window, now: datetime) -> dict[str, Any]:
    whole = row.to_row()
    same = ("environment", "service", "route", "verdict", "readiness_mode_seen", "delay_ms", "timeout_ms", "slo")
    also = ("poll_interval_ms", "ladder_ms", "confidence", "violation_rate", "violation_rate_upper", "rationale")
    rest = ("delay_ms_estimate", "n", "n_missing", "n_never_ready", "headroom", "provisional")
    changes = {key: whole[key] for key in ("verdict", "delay_ms", "timeout_ms", "poll_interval_ms", "ladder_ms")}
    return {
        **{key: whole[key] for key in (*same, *also, *rest)},
        "recommendation_id": row.identity(window.parameters),
        "created_at": now,
        "updated_at": now,
        "pattern": row.pattern or "",
        "cost": json.dumps(whole["cost"]),
        "from_values": json.dumps(whole["from_values"]),
        "to_values": json.dumps(changes),
        "evidence": json.dumps(whole["evidence"]),
        "window_start": window.since,
        "window_end": window.until,
        "status": STATUS_PROPOSED,
    }
