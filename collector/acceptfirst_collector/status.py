"""`GET /api/v1/status`: everything a person wants to know of a running collector, in one answer."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from fastapi import APIRouter

import acceptfirst
from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_collector.errors_http import SCHEMA_VERSION
from acceptfirst_collector.figures import StoreFigures
from acceptfirst_collector.policy.ledger import PolicyLedger
from acceptfirst_collector.services import Services
from acceptfirst_store.errors import StoreError
from acceptfirst_store.results import to_json

RECENT = dt.timedelta(hours=1)


def status_routes(services: Services, ledger: PolicyLedger) -> APIRouter:
    """Make the route; a store that does not answer leaves gaps, not an error: that is when people ask."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/status")
    def status() -> dict[str, Any]:
        """Health, backlog, data age, recent handshakes, the last jobs and the policies in force."""
        now = dt.datetime.now(dt.UTC)
        figures = services.store_watch.figures()
        return {
            "schema_version": SCHEMA_VERSION,
            **_process(services, now),
            "trouble": services.trouble() or ("" if figures.reachable else "the store does not answer"),
            "log": _log(services),
            "store": _store(services, figures, now),
            "requests": services.metrics.totals(),
            "handshakes": _handshakes(services, now) if figures.reachable else None,
            "jobs": [run.to_json() for run in services.job_history.runs()],
            "policies": _policies(ledger) if figures.reachable else None,
        }

    return router


def _process(services: Services, now: dt.datetime) -> dict[str, Any]:
    return {
        "version": acceptfirst.__version__,
        "pid": os.getpid(),
        "url": services.url,
        "started_at": services.started_at.isoformat(),
        "uptime_s": round((now - services.started_at).total_seconds(), 1),
    }


def _log(services: Services) -> dict[str, Any]:
    log = services.log
    return {
        "writable": log.writable,
        "backlog_bytes": log.backlog_bytes,
        "backlog_requests": log.backlog_requests,
        "backlog_limit_bytes": services.settings.backlog_bytes_max,
        "set_aside": services.writer.set_aside_count,
    }


def _store(services: Services, figures: StoreFigures, now: dt.datetime) -> dict[str, Any]:
    age_s = figures.age_seconds(now)
    return {
        "address": str(services.database.address),  # never with a password
        "reachable": figures.reachable,
        "bytes": figures.bytes_on_disk,
        "newest_at": None if figures.newest_at is None else figures.newest_at.isoformat(),
        "data_age_s": None if age_s is None else round(age_s, 1),
    }


def _handshakes(services: Services, now: dt.datetime) -> dict[str, Any] | None:
    since = (now - RECENT).strftime("%Y-%m-%d %H:%M:%S.%f")
    try:
        rows = services.database.statement_rows("handshakes_now", {"since": since})
    except StoreError:
        return None
    still_open = [row for row in rows if row["outcome"] == "open"]
    return {
        "since": (now - RECENT).isoformat(),
        "open": sum(row["connections"] for row in still_open),
        "oldest_open_at": to_json(min((row["oldest_at"] for row in still_open), default=None)),
        "by_environment": [{key: to_json(value) for key, value in row.items()} for row in rows],
    }


def _policies(ledger: PolicyLedger) -> list[dict[str, Any]] | None:
    try:
        states = [ledger.state(environment) for environment in ENVIRONMENTS]
    except StoreError:
        return None
    return [
        {
            "environment": state.environment,
            "revision": state.revision,
            "in_force": state.baseline.version,
            "candidate": None if state.candidate is None else state.candidate.version,
            "stage": state.stage,
            "share": state.share,
        }
        for state in states
    ]
