"""Episodes as rows of ``alert_states``, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.evaluate import StatementReader
from acceptfirst_analysis.alerts.rules import DIMENSIONS

TABLE: Final = "alert_states"
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
REMEMBERED: Final = timedelta(hours=1)
"""For how long after an alert ended a receiver is still told so."""

_LABELS: Final = ("alertname", "rule", "severity", "window", *DIMENSIONS)
_SAME: Final = ("fingerprint", "state", "value", "threshold", "n", "summary", "description")
_TIMES: Final = ("active_since", "last_active_at", "updated_at")


class RowWriter(Protocol):
    """Whoever can insert rows into a table of the store."""

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that all have the keys of the first."""
        ...


def known_episodes(reader: StatementReader, now: datetime) -> list[Episode]:
    """The episodes that are not over, and those that ended within the last hour.

    Raises:
        StoreError: when the store can't be read.
    """
    ended_since = (now - REMEMBERED).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    rows = reader.statement_rows("alerts_known", {"ended_since": ended_since})
    return [episode_from(row) for row in rows]


def remember(writer: RowWriter, episodes: Iterable[Episode]) -> None:
    """Write episodes down; the latest ``updated_at`` of each holds.

    Raises:
        StoreError: when the store can't be written.
    """
    writer.insert_rows(TABLE, [row_of(episode) for episode in episodes])


def row_of(episode: Episode) -> dict[str, Any]:
    """An episode as a row."""
    return {
        **{name: episode.labels.get(name, "") for name in _LABELS},
        **{name: getattr(episode, name) for name in (*_SAME, *_TIMES)},
        "fired_at": episode.fired_at or NEVER,
        "resolved_at": episode.resolved_at or NEVER,
        "told_firing": dict(episode.told_firing),
        "told_resolved": dict(episode.told_resolved),
    }


def episode_from(row: Mapping[str, Any]) -> Episode:
    """The episode that ``row_of`` wrote."""
    return Episode(
        **{name: row[name] for name in (*_SAME, *_TIMES)},
        labels={name: row[name] for name in _LABELS if row[name]},
        fired_at=_unless_never(row["fired_at"]),
        resolved_at=_unless_never(row["resolved_at"]),
        told_firing=_instants(row["told_firing"]),
        told_resolved=_instants(row["told_resolved"]),
    )


def _unless_never(instant: datetime) -> datetime | None:
    return None if instant == NEVER else instant


def _instants(values: Mapping[str, Any]) -> dict[str, datetime]:
    return {name: instant.replace(tzinfo=instant.tzinfo or UTC) for name, instant in values.items()}
