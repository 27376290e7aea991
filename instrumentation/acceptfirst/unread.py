"""For how long nobody had asked the server for a message: the time in which a disconnect can't be seen.

A server delivers a disconnect to whoever receives, and to nobody else. So while no ``receive()`` is pending, the client
may be gone without the application's knowing: forever, in a handler that only sends.

Measuring it must cost a message nothing. A receive that ends on the long path writes the time down; on the short path,
of a connection that is chatting, only the count of messages tells that there was one, and the last frame either way,
which was no earlier, stands in for its time. So what is measured is never too long, and at most a sweep's interval
(``open_connections``) too short.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from acceptfirst.lifecycle import ApplicationConnectionState as State

if TYPE_CHECKING:
    from acceptfirst.record import Record

NOTABLE_NS: Final = 1_000_000_000
"""Less than this is what every application does between two messages, and is not told."""

_OPEN: Final = frozenset({State.CONNECTED, State.READY_FOR_MESSAGES})


def longest_unread_ns(connection: Record) -> int:
    """The longest time so far, in nanoseconds; it ends with the connection, whatever the application goes on doing."""
    if connection.receives_pending or connection.state not in _OPEN:
        return connection.unread_longest_ns
    if connection.messages_received != connection.unread_after_messages:  # some were received on the short path
        connection.unread_since_monotonic_ns = connection.last_frame_monotonic_ns
        connection.unread_after_messages = connection.messages_received
    unread_ns = time.perf_counter_ns() - connection.unread_since_monotonic_ns
    return max(unread_ns, connection.unread_longest_ns)


def notable_unread_ms(connection: Record) -> float | None:
    """The longest time so far in milliseconds; ``None`` where it is not worth telling."""
    longest_ns = longest_unread_ns(connection)
    return longest_ns / 1e6 if longest_ns >= NOTABLE_NS else None
