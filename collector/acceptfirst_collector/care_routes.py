"""`acceptfirst db` over HTTP, since nobody else can open an embedded store while a collector holds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.services import Services
from acceptfirst_store.care import migrate_document, prune_document, stats_document
from acceptfirst_store.database import Database

BUSY_RETRY_SECONDS = 5


class MigrateRequest(BaseModel):
    """What `db migrate` was asked for; the schema itself is up to date, since a collector migrates when it starts."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    with_backfill: bool = False
    retention: str = Field("", max_length=256)


class PruneRequest(BaseModel):
    """What `db prune` was asked for: one of connection, user and older_than."""

    model_config = ConfigDict(extra="forbid")

    connection: str = Field("", max_length=64)
    user: str = Field("", max_length=256)
    older_than: str = Field("", max_length=16)
    dry_run: bool = False


def care_routes(services: Services) -> APIRouter:
    """Make `GET /api/v1/db/stats`, `POST /api/v1/db/migrate` and `POST /api/v1/db/prune`; each runs in a thread."""
    router = APIRouter(prefix="/api/v1/db")
    running = threading.Lock()

    @contextmanager
    def alone() -> Iterator[Database]:
        if not running.acquire(blocking=False):
            raise RefusedError(503, "the store is being cared for already; ask again later", BUSY_RETRY_SECONDS)
        try:
            with services.database.sibling() as database:
                yield database
        finally:
            running.release()

    def answer(document: Callable[..., dict[str, Any]], **asked: Any) -> dict[str, Any]:
        with alone() as database:
            return document(database, **asked)

    @router.get("/stats")
    def stats() -> dict[str, Any]:
        """Say what each table takes."""
        with services.database.sibling() as database:
            return stats_document(database)

    @router.post("/migrate")
    def migrate(asked: MigrateRequest) -> dict[str, Any]:
        """Take up older spans, and declare how long data are kept."""
        return answer(migrate_document, **asked.model_dump())

    @router.post("/prune")
    def prune(asked: PruneRequest) -> dict[str, Any]:
        """Erase a connection or a user, or drop what is old."""
        return answer(prune_document, **asked.model_dump())

    return router
