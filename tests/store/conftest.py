"""A real, migrated chDB for the store's tests, and spans as the official exporter writes them."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pytest

from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a store of the module's own: one process can have only one embedded store open at a time."""
    path: pathlib.Path = tmp_path_factory.mktemp("store") / "db"
    with open_database(f"chdb://{path}") as opened:
        migrate(opened)
        yield opened


class SpanFactory(Protocol):
    """Makes rows of otel_traces."""

    def __call__(self, name: str, attributes: Mapping[str, str], **columns: Any) -> dict[str, Any]:
        """Make one; `start_ms` and `end_ms` count from the factory's own now."""
        ...


@pytest.fixture
def now_ns() -> int:
    """Return the time at which the test's connections begin."""
    return time.time_ns() // 1_000_000 * 1_000_000


@pytest.fixture
def connection_id(now_ns: int) -> str:
    """Return a well-formed id: 48 bits of Unix milliseconds, then random ones."""
    return (now_ns // 1_000_000).to_bytes(6, "big").hex() + os.urandom(10).hex()


@pytest.fixture
def make_span(now_ns: int, connection_id: str) -> SpanFactory:
    """Make spans of one connection, all attributes as text, as the official exporter inserts them."""

    def make(name: str, attributes: Mapping[str, str], **columns: Any) -> dict[str, Any]:
        start_ms, end_ms = columns.pop("start_ms", 0), columns.pop("end_ms", 0)
        start = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC) + dt.timedelta(milliseconds=start_ms)
        shared = {"acceptfirst.connection.id": connection_id, "acceptfirst.environment": "production"}
        row: dict[str, Any] = {
            "Timestamp": start,
            "TraceId": os.urandom(16).hex(),
            "SpanId": os.urandom(8).hex(),
            "SpanName": name,
            "SpanKind": "Internal",
            "ServiceName": "chat",
            "ResourceAttributes": {"service.name": "chat", "service.version": "7"},
            "ScopeName": "acceptfirst",
            "SpanAttributes": {**shared, **attributes},
            "Duration": round((end_ms - start_ms) * 1_000_000),
            "StatusCode": "Unset",
        }
        return {**row, **columns}

    return make
