"""``acceptfirst status``: how a running serve is, on one screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from acceptfirst_cli.asking.collector_client import CollectorClient
from acceptfirst_cli.asking.source import JsonOption, TokenOption, UrlOption, source_of
from acceptfirst_cli.errors import ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_sections
from acceptfirst_cli.terminal.wording import age, clock_time, size

OUTCOMES = ("ready", "rejected", "failed", "abandoned", "timed_out", "open")


def run(*, url: UrlOption = "", token_file: TokenOption = None, as_json: JsonOption = False) -> None:
    """Show how a running serve is: health, backlog, data age, recent and open handshakes, last jobs, policies.

    Ends with 3 when it takes no requests or its store does not answer, with 5 when nothing runs.
    """
    with CollectorClient(source_of("", url, token_file)) as client:
        document = client.get("/api/v1/status")
    if as_json:
        print_json(document)
    else:
        print_sections([section for section in sections(document, dt.datetime.now(dt.UTC)) if section[2]])
    if document["trouble"]:
        raise typer.Exit(ExitCode.FINDINGS)


Section = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


def sections(document: Mapping[str, Any], now: dt.datetime) -> Iterator[Section]:
    """The document as titled tables: title, headings, rows."""
    yield "", ("", ""), _overview(document)
    yield "handshakes of the last hour", ("environment", *OUTCOMES, "violations"), _handshakes(document)
    yield "policies", ("environment", "in force", "stage", "candidate", "share"), _policies(document)
    yield "last jobs", ("job", "state", "began", "took", "error"), _jobs(document, now)


def _overview(document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    log, store, requests = document["log"], document["store"], document["requests"]
    refused = ", ".join(f"{count:,} {reason}" for reason, count in requests["rejected"].items())
    rows = [
        ("state", f"✘ {document['trouble']}" if document["trouble"] else "✔ takes requests"),
        (
            "serve",
            f"{document['version']} at {document['url']}, process {document['pid']}, up {age(document['uptime_s'])}",
        ),
        ("store", f"{store['address']}, {size(store['bytes'])}"),
        ("newest data", "none yet" if store["data_age_s"] is None else f"{age(store['data_age_s'])} old"),
        (
            "backlog",
            f"{log['backlog_requests']:,} requests, {size(log['backlog_bytes'])} of {size(log['backlog_limit_bytes'])}",
        ),
        ("accepted", f"{sum(requests['accepted'].values()):,} requests, {requests['spans']:,} spans"),
        ("refused", refused or "none"),
    ]
    if log["set_aside"]:
        rows.append(("set aside", f"{log['set_aside']:,} requests that the store refused; see its log"))
    if handshakes := document["handshakes"]:
        oldest = clock_time(handshakes["oldest_open_at"])
        rows.append(("open now", f"{handshakes['open']:,}" + (f", the oldest since {oldest}" if oldest else "")))
    return rows


def _handshakes(document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    found: dict[str, dict[str, float]] = {}
    for row in (document["handshakes"] or {"by_environment": []})["by_environment"]:
        counts = found.setdefault(row["environment"], dict.fromkeys((*OUTCOMES, "violations"), 0.0))
        # Open ones are counted one by one: each of them is somebody who waits.
        counts[row["outcome"]] += row["connections"] if row["outcome"] == "open" else row["handshakes"]
        counts["violations"] += row["violations"]
    return [(name, *(f"{count:,.0f}" for count in counts.values())) for name, counts in found.items()]


def _policies(document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = document["policies"] or []
    keys = ("environment", "in_force", "stage", "candidate")
    return [(*(row[key] or "" for key in keys), f"{row['share']:.0%}" if row["share"] else "") for row in rows]


def _jobs(document: Mapping[str, Any], now: dt.datetime) -> list[tuple[Any, ...]]:
    return [
        (
            row["job"],
            row["state"],
            f"{age((now - dt.datetime.fromisoformat(row['started_at'])).total_seconds())} ago",
            "" if row["seconds"] is None else f"{row['seconds']:.1f} s",
            row["error"],
        )
        for row in document["jobs"]
    ]
