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
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

from acceptfirst.asgi import Message, Receive, Send
from acceptfirst.connection import Connection
from acceptfirst.failsafe import record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.readiness.acting_task import acts_for
from acceptfirst.readiness.try_again_later import TRY_AGAIN_LATER, close_try_again_later

NOT_IN_TIME: Final = "not ready in time"
_SHUT: Final = frozenset({State.INITIALIZING, State.HANDSHAKE_PENDING, State.CONNECTED})
_NS_PER_MS: Final = 1_000_000


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
        while self._connection.state is State.CONNECTED and not self._may_take():
            self._read_ahead()
            await self._wait()

    async def receive(self) -> Message:
        """The next message: what was read ahead comes first."""
        while True:
            if self._may_take():
                if self._buffer:
                    return self._take()
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                if self._open and self._reading is None:
                    return await self._receive()
            self._read_ahead()
            await self._wait()

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

    def _take(self) -> Message:
        buffer: Any = self._buffer
        message, read_ns = buffer.popleft()
        if not self._open:  # it went straight to a task that is admitted
            self._held -= 1
            if not self._connection.admitted:
                self._first_taken = True
            if self._waiters:
                self._read_ahead()  # there is room again, and a disconnect behind it must not be held
        elif read_ns:
            self._longest_wait_ns = max(self._longest_wait_ns, time.perf_counter_ns() - read_ns)
        return message  # type: ignore[no-any-return]  # the buffer is a deque of messages, there or not

    async def _wait(self) -> None:
        """Wait for a change; each caller has a future of its own, since a cancellation ends the future as well."""
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
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

    # -- reading ahead ------------------------------------------------------------------------------------------------

    def _read_ahead(self) -> None:
        """Ask the server for one more, where none is asked for and there is room."""
        if self._reading is not None or self._failure is not None:
            return
        if self._buffer is None or len(self._buffer) < self._connection.policy.gate_buffer:
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
        else:
            self._keep(reading.result())
        self._wake()  # a caller that must go on waiting asks for the next one

    def _keep(self, message: Message) -> None:
        if self._receive is _disconnected:
            return  # it came too late for an application that has been told of the end
        if self._buffer is None:
            self._buffer = deque()
        if not self._open and _is_clients_message(message):
            self._held += 1
            self._buffer.append((message, time.perf_counter_ns()))
        else:
            self._buffer.append((message, 0))
            self._open = True  # behind the messages before it

    # -- when time is up ----------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        connection = self._connection
        if connection.state not in _SHUT:
            self._open_up()
        elif connection.timed_out and not self._open:
            self._time_is_up()

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
    return isinstance(message, dict) and message.get("type") == "websocket.receive"
