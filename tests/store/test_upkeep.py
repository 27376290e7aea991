"""A running collector keeps the rollup true by itself, and outlives what goes wrong with it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from acceptfirst_collector import upkeep
from acceptfirst_collector.upkeep import StoreUpkeep
from acceptfirst_store.database import Database
from acceptfirst_store.errors import StoreUnreachable

PATIENCE_SECONDS = 60


def _wait_until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so()


@pytest.fixture
def running(database: Database) -> Iterator[StoreUpkeep]:
    """Start an upkeep that passes all the time, over a store in which something is always new."""
    counter = itertools.count()
    started = StoreUpkeep(database, lambda: next(counter), interval_seconds=0.05)
    started.start()
    yield started
    started.stop()


def test_upkeep_rolls_up_what_was_stored(
    database: Database, running: StoreUpkeep, make_span: Callable[..., dict[str, Any]]
) -> None:
    """Nobody has to ask for it."""
    database.insert_rows("otel_traces", [make_span("websocket.transition", {"http.route": "/upkeep"})])
    sql = "SELECT connections FROM acceptfirst.handshake_rollup_1m FINAL WHERE route = '/upkeep'"
    _wait_until(lambda: database.rows(sql) == [{"connections": 1}])


def test_upkeep_goes_on_when_the_store_was_away(running: StoreUpkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and is well again once the store is."""

    def refuse(*_: Any) -> None:
        raise StoreUnreachable("the store could not read: planted outage")

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "refresh_rollup", refuse)
        _wait_until(lambda: running.trouble == "the store could not read: planted outage")
    _wait_until(lambda: not running.trouble)


def test_upkeep_goes_on_when_it_has_a_bug(running: StoreUpkeep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what nobody foresaw doesn't end its thread."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "refresh_rollup", fail)
        _wait_until(lambda: "failed" in running.trouble)
    _wait_until(lambda: not running.trouble)


def test_upkeep_leaves_the_store_alone_when_nothing_is_stored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle collector costs nothing."""
    passes: list[int] = []
    monkeypatch.setattr(upkeep, "refresh_rollup", lambda *_: passes.append(1))
    idle = StoreUpkeep(database, lambda: 7, interval_seconds=0.01)
    idle.start()
    _wait_until(lambda: passes)
    threading.Event().wait(0.2)
    idle.stop()
    assert len(passes) == 1
