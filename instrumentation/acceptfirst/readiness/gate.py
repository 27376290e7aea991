"""``gate="hold"``: keeps client messages back until the application is ready for them, in order.

Design constraints:

- order is kept and nothing is dropped: a message is read from the server once and handed on once;
- at most ``gate_buffer`` messages are read ahead; then the server is asked for no more, and back-pressures the client;
- a disconnect is never held: it opens the gate behind the messages before it;
- nothing is read ahead until somebody waits, so an application that does not read pays nothing;
- it never deadlocks an application that reads before it says that it is ready: a phase that receives admits the task
  that entered it, and without any phase the first receive after accept is let through to the task that accepted;
- when the handshake timeout runs out the gate opens, or the connection is closed with 1013, as the policy says.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from acceptfirst.asgi import Message, Receive, Send
from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ApplicationConnectionState as State

TRY_AGAIN_LATER: Final = 1013
_SHUT: Final = frozenset({State.INITIALIZING, State.HANDSHAKE_PENDING, State.CONNECTED})


class HoldGate:
    """Stands between one connection's server and its application."""

    def __init__(self, connection: Connection, receive: Receive, send: Send) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._open = asyncio.Event()
        self._buffer: deque[Message] = deque()
        self._reading: asyncio.Task[Message] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._accepting_task: asyncio.Task[Any] | None = None
        self._first_let_through = False
        self._closing: asyncio.Task[None] | None = None
        connection.on_move(self._moved)

    async def wait_until_open(self) -> None:
        """Wait where the task that runs now may not receive yet."""
        if self._connection.state is State.CONNECTED and not self._may_pass():
            await self._wait()

    async def receive(self) -> Message:
        """The next message: what was read ahead comes first."""
        while not self._buffer:
            if self._open.is_set() and self._reading is None:
                return await self._receive()
            reading = self._shared_reading()
            await asyncio.wait({reading})  # a caller that is cancelled here leaves the message for the next one
            if self._reading is reading:
                self._reading = None
                return reading.result()
        return self._buffer.popleft()

    def accepted(self) -> None:
        """Accept returned, in the task that runs now."""
        self._accepting_task = asyncio.current_task()

    def stop(self) -> None:
        """The application is gone: nobody reads any more."""
        for task in (self._pump, self._reading):
            if task is not None:
                task.cancel()

    def _may_pass(self) -> bool:
        if self._open.is_set():
            return True
        task = asyncio.current_task()
        if self._connection.admitted_task is not None:
            return self._connection.admitted_task is task
        if not self._first_let_through and task is self._accepting_task and not self._connection.phases_seen:
            self._first_let_through = True
            return True
        return False

    async def _wait(self) -> None:
        if self._pump is None:
            self._pump = asyncio.create_task(self._read_ahead(), name="acceptfirst-gate")
        await self._open.wait()

    def _shared_reading(self) -> asyncio.Task[Message]:
        """The one read that is under way: while the gate is shut the pump and an admitted task both wait for it."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._receive_one(), name="acceptfirst-gate-read")
        return self._reading

    async def _receive_one(self) -> Message:
        return await self._receive()

    async def _read_ahead(self) -> None:
        opened = asyncio.ensure_future(self._open.wait())
        try:
            while not self._open.is_set() and len(self._buffer) < self._connection.policy.gate_buffer:
                reading = self._shared_reading()
                await asyncio.wait({reading, opened}, return_when=asyncio.FIRST_COMPLETED)
                if reading.done() and self._reading is reading and not self._open.is_set():
                    self._keep(reading)
        finally:
            opened.cancel()

    def _keep(self, reading: asyncio.Task[Message]) -> None:
        if reading.cancelled() or reading.exception() is not None:
            self._open.set()  # the server's own failure belongs to whoever receives next: it stays in ``_reading``
            return
        self._reading = None
        message = reading.result()
        self._buffer.append(message)
        if message["type"] == "websocket.disconnect":
            self._open.set()

    def _moved(self) -> None:
        connection = self._connection
        if connection.state not in _SHUT:
            self._open.set()
        elif connection.timed_out and not self._open.is_set():
            self._time_is_up()

    def _time_is_up(self) -> None:
        if self._connection.policy.gate_timeout_action == "close" and self._connection.state is State.CONNECTED:
            self._closing = asyncio.ensure_future(self._close())
        else:
            self._open.set()

    async def _close(self) -> None:
        self._connection.closed_for_the_application(TRY_AGAIN_LATER)
        self._buffer.clear()
        self._buffer.append({"type": "websocket.disconnect", "code": TRY_AGAIN_LATER, "reason": "not ready in time"})
        self._open.set()
        await self._send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "not ready in time"})
