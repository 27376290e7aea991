"""What is answered about alerts, on the command line and over HTTP alike; needs a store and nothing of a collector."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from acceptfirst_analysis.alerts.check import check
from acceptfirst_analysis.alerts.evaluate import StatementReader
from acceptfirst_analysis.alerts.memory import episode_from
from acceptfirst_analysis.alerts.round import SCHEMA_VERSION, alert_json
from acceptfirst_analysis.alerts.settings import AlertSettings
from acceptfirst_analysis.alerts.silences import LABELS, kept_silences, with_kept
from acceptfirst_cli.asking.question import Question

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)

ANY: Final[Mapping[str, Any]] = {
    "environment": "",
    "service": "",
    "route": "",
    "state": "",
    "since": "1970-01-01 00:00:00",
    "until": "2200-01-01 00:00:00",
    "limit": 100,
    "cursor": "",
}
"""Filters that leave nothing out: columns, ``state`` (also ``active``), times as the store reads them, and a page."""


def alerts_document(reader: StatementReader, filters: Mapping[str, Any], settings: AlertSettings) -> dict[str, Any]:
    """The document of ``GET /api/v1/alerts`` and of ``alerts list --json``.

    Args:
        reader: of the store.
        filters: some of those of ``ANY``, with other values.
        settings: say what is silenced.

    Raises:
        StoreError: the store can't be read.
    """
    wanted = {**ANY, **filters}
    before_ms, _, fingerprint = str(wanted.pop("cursor")).partition("-")
    before = datetime.fromtimestamp(int(before_ms or 0) / 1000, UTC)
    parameters = {**wanted, "before": f"{before:%Y-%m-%d %H:%M:%S.%f}"[:-3], "before_fingerprint": fingerprint}
    episodes = [episode_from(row) for row in reader.statement_rows("alerts_page", parameters)]
    last = episodes[-1] if len(episodes) == wanted["limit"] else None
    now = datetime.now(UTC)
    settings = with_kept(settings, reader, now)
    return {
        "schema_version": SCHEMA_VERSION,
        "alerts": [alert_json(episode, settings, now) for episode in episodes],
        "next_cursor": f"{round(last.active_since.timestamp() * 1000)}-{last.fingerprint}" if last else None,
    }


def silences_document(reader: StatementReader, settings: AlertSettings, *, with_ended: bool) -> dict[str, Any]:
    """The document of ``GET /api/v1/silences`` and of ``alerts silences --json``.

    Args:
        reader: of the store.
        settings: with the silences of the alerts file, which have no id: they are lifted there.
        with_ended: also those that are over.

    Raises:
        StoreError: the store can't be read.
    """
    now = datetime.now(UTC)
    kept = kept_silences(reader, since=BEGINNING if with_ended else now)
    in_file = [
        {**{name: getattr(each, name) for name in LABELS}, "reason": each.reason, "until": each.until.isoformat()}
        for each in settings.silences
        if with_ended or now < each.until
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "silences": [each.to_json(now) for each in kept],
        "in_file": in_file,
    }


def check_document(reader: StatementReader, question: Question, settings: AlertSettings) -> dict[str, Any]:
    """The document of ``alerts check --json``.

    Raises:
        QuestionError: the range can't be understood.
        StoreError: the store can't be read.
    """
    window = question.window(datetime.now(UTC))
    has_start = bool(question.since or question.week)
    return check(
        reader,
        settings.rules,
        since=window.since if has_start else None,
        until=window.until,
        environment=question.environment,
    ).to_json()
