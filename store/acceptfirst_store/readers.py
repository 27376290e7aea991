"""Clients that read at the same time: one is opened when it is needed, and a few are the most there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: More would only compete for the same processors; who comes then waits.
READERS_MAX = 4


class ReaderPool:
    """Lends clients, each to one borrower at a time. Safe to share between threads.

    Args:
        connect: opens a client; called once at once, so that a store that can't be read is found out early.

    Raises:
        StoreUnreachable: the first client can't be opened.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._slots = threading.BoundedSemaphore(READERS_MAX)
        self._guard = threading.Lock()
        self._idle = [connect()]
        self._closed = False

    @contextmanager
    def borrowed(self) -> Iterator[Any]:
        """Lend a client: an idle one, else a new one, else the first that is given back.

        Raises:
            StoreUnreachable: a new one can't be opened.
        """
        with self._slots:
            with self._guard:
                client = self._idle.pop() if self._idle else None
            client = client or self._connect()
            try:
                yield client
            finally:
                with self._guard:
                    is_kept = not self._closed
                    if is_kept:
                        self._idle.append(client)
                if not is_kept:
                    client.close()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it is given back."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()
