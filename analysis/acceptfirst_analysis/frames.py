"""What is stored, as typed DataFrames for a notebook: every column has its type however few rows there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from acceptfirst.environment import normalise_environment
from acceptfirst_analysis.window import Window, parse_instant, window_between
from acceptfirst_store.address import StoreAddress
from acceptfirst_store.database import StatementRunner, open_database
from acceptfirst_store.errors import StoreUnreachable
from acceptfirst_store.migrations import migrate
from acceptfirst_store.remote import RemoteStore

PAGE: Final = 50_000
NS_PER_MS: Final = 1e6

_TIME: Final = "datetime64[ns, UTC]"

HANDSHAKES: Final[Mapping[str, str]] = {
    "connection_id": "string",
    "environment": "category",
    "service": "category",
    "service_version": "category",
    "route": "category",
    "readiness_mode": "category",
    "gate": "category",
    "policy_version": "category",
    "policy_arm": "category",
    "weight": "float64",
    "outcome": "category",
    "signature": "category",
    "accept_ms": "float64",
    "ready_ms": "float64",
    "first_message_ms": "float64",
    "dwell_ms": "float64",
    "idle_ms": "float64",
    "unread_ms": "float64",
    "delay_applied_ms": "float64",
    "messages_received": "int64",
    "messages_sent": "int64",
    "messages_early": "int64",
    "close_code": "Int64",
    "close_initiator": "category",
    "error_type": "string",
    "error_kind": "category",
    "user_hash": "string",
    "first_seen": _TIME,
    "last_seen": _TIME,
}
"""Columns and types. ``ready_ms`` counts from accept, as the recommendation's does: the shadow's where there is one;
NaN where nobody could see it. ``accept_ms`` and ``first_message_ms`` count from connect."""

PATTERNS: Final[Mapping[str, str]] = {
    "connection_id": "string",
    "pattern_type": "category",
    "severity": "category",
    "environment": "category",
    "service": "category",
    "route": "category",
    "detected_at": _TIME,
    "evidence": "string",
    "delay_helps": "category",
}

RECOMMENDATIONS: Final[Mapping[str, str]] = {
    "environment": "category",
    "service": "category",
    "route": "category",
    "verdict": "category",
    "readiness_mode_seen": "category",
    "delay_ms": "float64",
    "timeout_ms": "float64",
    "poll_interval_ms": "float64",
    "ladder_ms": "object",
    "slo": "float64",
    "confidence": "float64",
    "violation_rate": "float64",
    "violation_rate_upper": "float64",
    "delay_ms_estimate": "float64",
    "n": "int64",
    "n_missing": "int64",
    "pattern": "category",
    "rationale": "string",
    "window_start": _TIME,
    "window_end": _TIME,
    "provisional": "bool",
    "status": "category",
    "updated_at": _TIME,
}


class TooManyRowsError(ValueError):
    """There are more rows than the caller wanted to hold."""


@dataclass(frozen=True)
class Frames:
    """What a range holds.

    Attributes:
        window: the range.
        handshakes: one row a connection, columns ``HANDSHAKES``.
        patterns: one row an occurrence, columns ``PATTERNS``.
        recommendations: the latest of each question, columns ``RECOMMENDATIONS``.
    """

    window: Window
    handshakes: pd.DataFrame
    patterns: pd.DataFrame
    recommendations: pd.DataFrame


def load_frames(source: str, *, environment: str, since: str, until: str, token: str, rows_max: int) -> Frames:
    """See ``acceptfirst_analysis.load``."""
    now = datetime.now(UTC)
    bounds = [parse_instant(text, now=now) if text else None for text in (since, until)]
    window = window_between(*bounds, now=now)
    named = normalise_environment(environment) if environment else ""
    with _reader(source, token) as reader:
        return Frames(
            window,
            _handshakes(reader, window, named, rows_max),
            _patterns(reader, window, named, rows_max),
            _recommendations(reader, named),
        )


@contextmanager
def _reader(source: str, token: str) -> Iterator[StatementRunner]:
    if source.startswith(("http://", "https://")):
        yield RemoteStore(source, token or None)
        return
    address = StoreAddress.parse(source)
    if address.path is not None and not (address.path / "metadata").is_dir():
        raise StoreUnreachable(f"expected an embedded store at {address.path}, but there is none")
    with open_database(address) as database:
        migrate(database)
        yield database


def _handshakes(reader: StatementRunner, window: Window, environment: str, rows_max: int) -> pd.DataFrame:
    asked = {"environment": environment, "service": "", "route": "", "since": window.since, "until": window.until}
    rows: list[dict[str, Any]] = []
    while page := reader.statement_rows(
        "handshakes_page", {**asked, "cursor": rows[-1]["connection_id"] if rows else "", "limit": PAGE}
    ):
        rows += page
        _require_room(len(rows), rows_max, "handshakes")
    frame = pd.DataFrame.from_records(rows, columns=list(rows[0]) if rows else list(HANDSHAKES))
    if rows:
        _add_times(frame)
    return _typed(frame, HANDSHAKES).sort_values("first_seen", ignore_index=True)


def _add_times(frame: pd.DataFrame) -> None:
    """Times as the recommendation counts them; what was never is NaN, not zero."""
    shadow_ms = frame["phases"].map(lambda phases: dict(phases).get("ready"))
    is_accepted, said = frame["connected_ns"] > 0, frame["ready_ns"] > 0
    seen_ms = (frame["ready_ns"] - frame["connected_ns"]) / NS_PER_MS
    tells = is_accepted & said & (frame["readiness_mode"] != "blind")
    frame["ready_ms"] = shadow_ms.astype("float64").where(shadow_ms.notna(), seen_ms.where(tells))
    frame["accept_ms"] = (frame["connected_ns"] / NS_PER_MS).where(is_accepted)
    frame["first_message_ms"] = (frame["first_message_ns"] / NS_PER_MS).where(frame["first_message_ns"] > 0)
    frame["close_code"] = frame["close_code"].astype("Int64").where(frame["close_code"] > 0)


def _patterns(reader: StatementRunner, window: Window, environment: str, rows_max: int) -> pd.DataFrame:
    asked = {"environment": environment, **window.parameters, "limit": PAGE}
    rows: list[dict[str, Any]] = []
    while page := reader.statement_rows(
        "pattern_occurrences", {**asked, "cursor": rows[-1]["connection_id"] if rows else ""}
    ):
        rows += page
        _require_room(len(rows), rows_max, "patterns")
    return _typed(pd.DataFrame.from_records(rows, columns=list(PATTERNS)), PATTERNS)


def _recommendations(reader: StatementRunner, environment: str) -> pd.DataFrame:
    every = {"since": datetime(1970, 1, 1, tzinfo=UTC), "until": datetime(2200, 1, 1, tzinfo=UTC)}
    rows = reader.statement_rows(
        "recommendations_latest", {"environment": environment, "service": "", "route": "", **every}
    )
    return _typed(
        pd.DataFrame.from_records(rows, columns=list(rows[0]) if rows else list(RECOMMENDATIONS)), RECOMMENDATIONS
    )


def _typed(frame: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    typed = {}
    kind: Any  # the stubs know each type's name and no variable
    for name, kind in kinds.items():
        column = frame[name]
        read = pd.to_datetime(column, utc=True, format="ISO8601") if kind == _TIME else column
        typed[name] = read.astype(kind)
    return pd.DataFrame(typed)


def _require_room(rows: int, rows_max: int, what: str) -> None:
    if rows > rows_max:
        raise TooManyRowsError(
            f"expected at most {rows_max:,} {what} in the range, but there are more; give a shorter range, "
            "one environment, or a greater rows_max"
        )
