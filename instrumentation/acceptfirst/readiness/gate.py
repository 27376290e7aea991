"""``gate="hold"``: keeps client messages back until the application is ready for them, in order.

Design constraints:

- order is kept and nothing is dropped: a message is read from the server once and handed on once;
- at most ``gate_buffer`` messages are read ahead; then the server is asked for no more, and back-pressures the client;
- a disconnect is never held: it opens the gate behind the messages before it;
- nothing is read ahead while nobody waits, so an application that does not read pays nothing;
- it never deadlocks an application that reads before it says that it is ready: a phase that receives admits the task
  that entered it, and without any phase the first message after accept goes to the task that accepted;
- when the handshake timeout runs out the gate opens, or the connection is closed with 1013, as the policy says.

There is one read at a time, in a task of its own so that a caller that is cancelled leaves its message for the next;
what it brings goes to the end of the buffer, and callers take from the front. Nothing else here is a task: callers that
can't take anything now wait in ``_waiters`` and look again whenever something has changed.

A failure of our own opens the gate for good: what was read ahead is handed on first, then the server itself is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

from acceptfirst.asgi import Message, Receive, Send
from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.readiness.acting_task import acts_for
from acceptfirst.readiness.try_again_later import TRY_AGAIN_LATER, close_try_again_later

NOT_IN_TIME: Final = "not ready in time"
OVERDUE_S: Final = 1.0
"""So long after the handshake timeout the gate opens by itself: whoever should have opened it has failed."""
_SHUT: Final = frozenset({State.INITIALIZING, State.HANDSHAKE_PENDING, State.CONNECTED})
_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000


class HoldGate:
    """Stands between one connection's server and its application.

    Args:
        connection: that it belongs to.
        receive: of the server.
        send: of the server.

    Raises:
        RuntimeError: when no asyncio loop runs (trio): then nothing can be held.
    """

    __slots__ = (
        "_accepting_task",
        "_buffer",
        "_closing",
        "_connection",
        "_failure",
        "_first_taken",
        "_held",
        "_longest_wait_ns",
        "_loop",
        "_open",
        "_overdue_at",
        "_reading",
        "_receive",
        "_send",
        "_waiters",
    )

    def __init__(self, connection: Connection, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._receive = receive
        self._send = send
        self._open = connection.timed_out
        self._overdue_at = self._loop.time() + connection.policy.handshake_timeout_ms / _MS_PER_S + OVERDUE_S
        # Each message with the monotonic time of its read, 0 where the gate was open; made when there is one.
        self._buffer: deque[tuple[Message, int]] | None = None
        self._reading: asyncio.Task[Message] | None = None
        self._failure: BaseException | None = None  # the server's own; it belongs to whoever receives next
        self._waiters: list[asyncio.Future[None]] = []
        self._accepting_task: asyncio.Task[Any] | None = None
        self._first_taken = False
        self._closing: asyncio.Task[None] | None = None
        self._held = 0
        self._longest_wait_ns = 0
        connection.on_move(self._moved)

    @property
    def held(self) -> int:
        """Messages that were kept back so far, those that were never taken included."""
        return self._held

    @property
    def longest_wait_ms(self) -> float:
        """How long the message that waited longest was kept back, in milliseconds since it was read."""
        since_ns = self._buffer[0][1] if self._buffer else 0
        waits_ns = time.perf_counter_ns() - since_ns if since_ns else 0
        return max(self._longest_wait_ns, waits_ns) / _NS_PER_MS

    async def wait_until_open(self) -> None:
        """Wait where the task that runs now may not receive yet."""
        try:
            while self._connection.state is State.CONNECTED and not self._may_take():
                self._read_ahead()
                await self._wait()
        except Exception as error:  # noqa: BLE001 - ours must never reach the application
            self._give_up(error)

    async def receive(self) -> Message:
        """The next message: what was read ahead comes first."""
        try:
            while not (self._may_take() and self._has_something()):
                self._read_ahead()
                await self._wait()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)
            if self._reading is not None and not self._buffer:
                await asyncio.wait({self._reading})
        if self._buffer:
            message, read_ns = self._buffer.popleft()
            self._taken(read_ns)
            return message
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return await self._receive()

    def accepted(self) -> None:
        """Accept returned, in the task that runs now."""
        self._accepting_task = asyncio.current_task()

    def stop(self) -> None:
        """The application has returned; what a task that it left behind still receives comes from the server itself."""
        self._open_up()
        self._accepting_task = None
        if self._reading is not None:
            self._reading.cancel()

    def _may_take(self) -> bool:
        """Whether the task that runs now may have a message."""
        if self._open:
            return True
        task = asyncio.current_task()
        admitted = self._connection.admitted
        if admitted:
            return any(acts_for(task, principal) for principal in admitted)
        if self._first_taken or self._accepting_task is None or self._connection.phases_seen:
            return False
        return acts_for(task, self._accepting_task)

    def _has_something(self) -> bool:
        """Whether there is something to hand on, if only the way to the server."""
        return bool(self._buffer) or self._failure is not None or (self._open and self._reading is None)

    @failsafe
    def _taken(self, read_ns: int) -> None:
        """A message was handed on; it was read at this time, 0 where the gate was open."""
        if not self._open:  # it went straight to a task that is admitted
            self._held -= 1
            if not self._connection.admitted:
                self._first_taken = True
            if self._waiters:
                self._read_ahead()  # there is room again, and a disconnect behind it must not be held
        elif read_ns:
            self._longest_wait_ns = max(self._longest_wait_ns, time.perf_counter_ns() - read_ns)

    async def _wait(self) -> None:
        """Wait for a change; each caller has a future of its own, since a cancellation ends the future as well."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        timer = None if self._open else self._loop.call_at(self._overdue_at, self._is_overdue)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _open_up(self) -> None:
        self._open = True
        self._wake()

    def _is_overdue(self) -> None:
        if not self._open:
            self._give_up(TimeoutError("expected the gate to be open after the handshake timeout, but it was shut"))

    def _give_up(self, error: Exception) -> None:
        """Ours has failed: hold nothing back any more."""
        record_failure("HoldGate", error)
        self._open = True
        self._wake()

    # -- reading ahead ------------------------------------------------------------------------------------------------

    def _read_ahead(self) -> None:
        """Ask the server for one more, where none is asked for and there is room."""
        has_room = self._buffer is None or len(self._buffer) < self._connection.policy.gate_buffer
        if has_room and self._reading is None:
            self._reading = self._loop.create_task(self._receive_one(), name="acceptfirst-gate")
            self._reading.add_done_callback(self._read)

    async def _receive_one(self) -> Message:
        return await self._receive()

    def _read(self, reading: asyncio.Task[Message]) -> None:
        """The read that was under way is done."""
        self._reading = None
        if reading.cancelled():
            self._open = True  # by the server or by ``stop``: whoever still wants a message asks the server itself
        elif (failure := reading.exception()) is not None:
            self._failure = failure
            self._open = True
        elif self._receive is not _disconnected:  # else it came too late: the application has been told of the end
            self._buffer = self._buffer or deque()
            self._buffer.append((reading.result(), self._held_since(reading.result()) or 0))
            self._open = self._open or self._buffer[-1][1] == 0  # behind the messages before it
        self._wake()  # a caller that must go on waiting asks for the next one

    @failsafe
    def _held_since(self, message: Message) -> int:
        """The time from which this message is held back, 0 where it opens the gate or finds it open."""
        if self._open or not _is_clients_message(message):
            return 0
        self._held += 1
        return time.perf_counter_ns()

    # -- when time is up ----------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        try:
            connection = self._connection
            if connection.state not in _SHUT:
                self._open_up()
            elif connection.timed_out and not self._open:
                self._time_is_up()
        except Exception as error:  # noqa: BLE001 - as above
            self._give_up(error)

    def _time_is_up(self) -> None:
        if self._connection.policy.gate_timeout_action == "close" and self._connection.state is State.CONNECTED:
            # All that the application gets from here on: the messages that wait were for one that is ready.
            self._longest_wait_ns = int(self.longest_wait_ms * _NS_PER_MS)
            self._buffer, self._receive = None, _disconnected
            if self._reading is not None:
                self._reading.cancel()
            self._connection.closed_for_the_application(TRY_AGAIN_LATER)  # which opens the gate
            self._closing = self._loop.create_task(self._close(), name="acceptfirst-gate-close")
        else:
            self._open_up()

    async def _close(self) -> None:
        try:
            self._connection.close_code = await close_try_again_later(self._send, NOT_IN_TIME)
        except Exception as error:  # noqa: BLE001 - the client may be gone already; there is nobody to tell
            if not isinstance(error, OSError):
                record_failure("HoldGate.close", error)


async def _disconnected() -> Message:
    return {"type": "websocket.disconnect", "code": TRY_AGAIN_LATER, "reason": NOT_IN_TIME}


def _is_clients_message(message: Any) -> bool:
    return isinstance(message, dict) and dict.get(message, "type") == "websocket.receive"
