"""A quick read does not wait for a long one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from acceptfirst_store.database import Database
from acceptfirst_store.readers import READERS_MAX, ReaderPool

PATIENCE_SECONDS = 30


class _Client:
    """Counts how many there are, and knows whether it is closed."""

    def __init__(self, opened: list[_Client]) -> None:
        self.is_closed = False
        opened.append(self)

    def close(self) -> None:
        """Close it."""
        self.is_closed = True


def test_pool_opens_one_client_when_reads_come_one_by_one() -> None:
    """It is lent again and again."""
    opened: list[_Client] = []
    pool = ReaderPool(lambda: _Client(opened))
    for _ in range(5):
        with pool.borrowed():
            pass
    assert len(opened) == 1


def test_pool_lends_a_client_to_one_borrower_at_a_time_and_has_few() -> None:
    """Who comes when all are lent waits for one that is given back."""
    opened: list[_Client] = []
    pool = ReaderPool(lambda: _Client(opened))
    lent: list[Any] = []
    all_lent, give_back = threading.Barrier(READERS_MAX + 1), threading.Event()

    def borrow() -> None:
        with pool.borrowed() as client:
            lent.append(client)
            all_lent.wait(PATIENCE_SECONDS)
            give_back.wait(PATIENCE_SECONDS)

    with ThreadPoolExecutor(READERS_MAX + 1) as threads:
        for _ in range(READERS_MAX):
            threads.submit(borrow)
        all_lent.wait(PATIENCE_SECONDS)
        late = threads.submit(lambda: pool.borrowed().__enter__())
        assert not late.done()
        give_back.set()
        assert late.result(PATIENCE_SECONDS) in lent
    assert len({id(client) for client in lent}) == len(opened) == READERS_MAX


def test_pool_closes_every_client_also_one_that_is_lent() -> None:
    """The lent one is closed when it comes back."""
    opened: list[_Client] = []
    pool = ReaderPool(lambda: _Client(opened))
    with pool.borrowed() as client:
        with pool.borrowed():
            pass
        pool.close()
        assert [other.is_closed for other in opened if other is not client] == [True]
        assert not client.is_closed
    assert client.is_closed


def test_database_answers_while_another_read_takes_its_time(database: Database) -> None:
    """A long read on one client leaves the others free."""
    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(
            database.rows, "SELECT sleepEachRow(0.5) AS slept FROM numbers(6) SETTINGS max_block_size = 1"
        )
        for _ in range(3):
            assert database.rows("SELECT 1 AS answer") == [{"answer": 1}]
        assert not long.done()
        assert len(long.result(PATIENCE_SECONDS)) == 6


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_pool_takes_a_client_back_when_its_borrower_failed(error: BaseException) -> None:
    """A failed read must not cost a client."""
    opened: list[_Client] = []
    pool = ReaderPool(lambda: _Client(opened))
    for _ in range(READERS_MAX + 1):
        with pytest.raises(type(error)), pool.borrowed():
            raise error
    assert len(opened) == 1
