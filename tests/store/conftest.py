"""A real, migrated chDB for the store's tests, and spans as the official exporter writes them."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
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


@pytest.fixture
def route() -> str:
    """Return a route that no other test has."""
    return f"/ws/{os.urandom(6).hex()}"


@pytest.fixture
def handshake(make_span: SpanFactory, route: str, now_ns: int) -> Callable[..., list[dict[str, Any]]]:
    """Make the spans of a connection of its own: accepted after 10 ms, ready `ready_ms` later, closed by its client."""

    def make(ready_ms: int = 25, *, weight: str = "1", at_ms: int = 0, **attributes: str) -> list[dict[str, Any]]:
        began_ms = now_ns // 1_000_000 + at_ms
        shared = {
            "acceptfirst.connection.id": began_ms.to_bytes(6, "big").hex() + os.urandom(10).hex(),
            "http.route": route,
            "acceptfirst.sample.weight": weight,
            **{f"acceptfirst.{key.replace('__', '.')}": value for key, value in attributes.items()},
        }
        steps = [
            ("INITIALIZING", "HANDSHAKE_PENDING", "connect", 0, 0),
            ("HANDSHAKE_PENDING", "CONNECTED", "accept", 0, 10),
            ("CONNECTED", "READY_FOR_MESSAGES", "ready", 10, 10 + ready_ms),
            ("READY_FOR_MESSAGES", "CLOSED", "disconnect", 10 + ready_ms, 90),
        ]
        return [
            make_span(
                "websocket.transition",
                {
                    **shared,
                    "acceptfirst.state.from": left,
                    "acceptfirst.state.to": entered,
                    "acceptfirst.transition.trigger": trigger,
                    "acceptfirst.transition.sequence": str(sequence),
                },
                start_ms=at_ms + start_ms,
                end_ms=at_ms + end_ms,
            )
            for sequence, (left, entered, trigger, start_ms, end_ms) in enumerate(steps)
        ]

    return make
