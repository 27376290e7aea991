"""`/healthz`, `/readyz` and `/metrics`: what a supervisor, a load balancer and Prometheus ask."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from acceptfirst_collector.errors_http import SCHEMA_VERSION
from acceptfirst_collector.intake import RETRY_AFTER_SECONDS
from acceptfirst_collector.metrics import CONTENT_TYPE, Sample
from acceptfirst_collector.services import Services


def probe_routes(services: Services) -> APIRouter:
    """Make the routes; those that ask the disk or the store are plain functions, so the loop stays free."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """The process answers."""
        return {"schema_version": SCHEMA_VERSION, "status": "ok"}

    @router.get("/readyz")
    def readyz() -> Response:
        """Requests are taken, and what they hold reaches the store."""
        trouble = services.readiness_trouble()
        answer = {
            "schema_version": SCHEMA_VERSION,
            "status": "unavailable" if trouble else "ok",
            "trouble": trouble,
            "backlog_bytes": services.log.backlog_bytes,
            "set_aside": services.writer.set_aside_count,
        }
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if trouble else None
        return JSONResponse(answer, 503 if trouble else 200, headers)

    @router.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Everything that is counted and measured, in Prometheus' text format."""
        return Response(services.metrics.exposition(_gauges(services)), media_type=CONTENT_TYPE)

    return router


def _gauges(services: Services) -> list[Sample]:
    """What has a value only now; a value that nobody knows is left out, as Prometheus wants it."""
    figures = services.store_watch.figures()
    age_seconds = figures.age_seconds(dt.datetime.now(dt.UTC))
    log = services.log
    forwarder = services.forwarder
    known: list[tuple[str, str, float | None]] = [
        ("backlog_bytes", "Bytes in the log that are not in the store yet.", log.backlog_bytes),
        ("backlog_requests", "Requests in the log that are not in the store yet.", log.backlog_requests),
        ("backlog_limit_bytes", "Backlog at which requests are refused.", services.settings.backlog_bytes_max),
        (
            "set_aside_requests",
            "Requests that the store refused for good.",
            services.writer.set_aside_count,
        ),
        ("log_writable", "1 if the last write to the log succeeded.", log.writable),
        ("taking_requests", "1 if a request would be taken now.", not services.trouble()),
        ("store_reachable", "1 if the store answered when it was asked last.", figures.reachable),
        ("store_bytes", "Size of all tables on disk, compressed.", figures.bytes_on_disk),
        ("data_age_seconds", "Age of the newest stored span.", age_seconds),
        (
            "forward_queue_bytes",
            "Copies that wait to be passed on.",
            None if forwarder is None else forwarder.queue_bytes,
        ),
        ("start_time_seconds", "When the collector started, seconds since 1970.", services.started_at.timestamp()),
    ]
    return [(name, text, float(value)) for name, text, value in known if value is not None]
