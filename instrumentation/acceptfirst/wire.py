"""One connection's ``receive`` and ``send``, as the application gets them.

Design constraints:

- what the application sees is what the server sent, in the same order and, in ``gate="observe"``, at the same moment:
  the server's awaitable is awaited here and nothing else is;
- an event is told after the await returned; a cancellation passes through untouched;
- a message on a connection that is ready and settled costs a few additions; everything else goes through the
  connection's own methods.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator
from time import perf_counter_ns
from typing import Any, Final, cast

from acceptfirst.asgi import Message, Receive, Send
from acceptfirst.connection import Connection
from acceptfirst.diagnosis.annotation import receive_failed, send_failed
from acceptfirst.failsafe import failsafe, record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.readiness.gate import HoldGate
from acceptfirst.readiness.poll import ReadinessPoll, poll_readiness

_SEND: Final = "websocket.send"
_RECEIVE: Final = "websocket.receive"


class Wire:
    """Stands between one connection's server and its application; the place where failures of ours stop."""

    __slots__ = (
        "_connection",
        "_fetch",
        "_gate",
        "_poll",
        "_polling",
        "_prepares",
        "_receive",
        "_send",
        "_settled",
        "_watched",
        "has_tasks",
    )

    def __init__(self, connection: Connection, receive: Receive, send: Send, poll: ReadinessPoll | None) -> None:
        self._connection = connection
        self._receive = receive
        self._fetch = receive  # brings the next message: the server, or a gate in front of it
        self._send = send
        self._poll = poll
        self._polling: Any = None
        self._gate: HoldGate | None = None
        self._settled = self._watched = False  # watched: receives are looked at for messages that had been waiting
        self._prepares = False  # accept begins something: a gate, or a poll
        self.has_tasks = False  # tasks of ours may run for this connection

    async def receive(self) -> Message:
        """The application's ``receive``."""
        connection = self._connection
        if connection.settled and not connection.receives_pending:
            connection.receives_pending = 1
        else:
            if self._gate is not None:
                await self._gate.wait_until_open()  # before it counts: one that is held back races with none
            try:
                connection.receive_began()
            except Exception as error:  # noqa: BLE001 - ours must never reach the application
                record_failure("Connection.receive_began", error)
        try:
            message = await (self._watch() if self._watched else self._fetch())
        except BaseException as error:
            receive_failed(connection, error)
            raise
        # It may have ended while we waited, and what the server delivers may be anything.
        if connection.settled and type(message) is dict and message.get("type") == _RECEIVE:
            connection.receives_pending -= 1
            connection.messages_received += 1
            connection.last_frame_monotonic_ns = perf_counter_ns()
            if connection.unspoken:
                connection.spoke("R")
            return message
        try:
            if isinstance(message, dict):
                connection.received(dict.get(message, "type", ""), dict.get(message, "code"))
            else:
                connection.received("")
            if not self._settled:
                self._settle()
        except Exception as error:  # noqa: BLE001 - as above
            record_failure("Connection.received", error)
        return message

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        connection = self._connection
        if connection.settled and type(message) is dict and message.get("type") == _SEND:
            kind = _SEND
        else:
            kind = dict.get(message, "type", "") if isinstance(message, dict) else ""  # a subclass's own get may fail
            try:
                connection.send_began(kind)
            except Exception as error:  # noqa: BLE001 - as above
                record_failure("Connection.send_began", error)
        try:
            await self._send(message)
        except Exception as error:
            send_failed(connection, kind, error)
            raise
        if connection.settled and kind is _SEND:  # as above
            connection.messages_sent += 1
            connection.last_frame_monotonic_ns = perf_counter_ns()
            if connection.unspoken:
                connection.spoke("S")
            return
        try:
            connection.sent(kind, message)
            if kind == "websocket.accept" and (self._prepares or not self._settled):
                self._accepted()
        except Exception as error:  # noqa: BLE001 - as above
            record_failure("Connection.sent", error)

    @failsafe
    def stop(self) -> None:
        """The application is gone."""
        if self._gate is not None:
            self._gate.stop()
        if self._polling is not None:
            self._polling.cancel()

    def _settle(self) -> None:
        """The connect was delivered, or accept returned: the route's policy has been looked up, and the modes stay."""
        self._settled = True
        if self._connection.gate_mode == "hold":
            self._gate = self._connection.gate = HoldGate(self._connection, self._receive, self._send)
            self._fetch = self._gate.receive
            self.has_tasks = True
            self._prepares = True
        elif self._connection.readiness_mode == "auto":
            self._watched = True
        else:
            self._prepares = True

    def _accepted(self) -> None:
        if not self._settled:
            self._settle()
        if self._gate is not None:
            self._gate.accepted()
        if self._connection.readiness_mode == "polled" and self._poll is not None and self._polling is None:
            self._polling = poll_readiness(self._connection, self._poll)
            self.has_tasks = True

    @types.coroutine
    def _watch(self) -> Generator[Any, Any, Message]:
        """Await a receive, and tell whether it was done in its first step: then its message had been waiting.

        Once one suspends, everything that was waiting has been read, and later receives are not looked at any more.
        """
        receiving = self._receive()
        is_ready = self._connection.state is State.READY_FOR_MESSAGES
        if not is_ready or type(receiving) is not types.CoroutineType:
            self._watched = not is_ready  # what is not a coroutine is a future, or a server's that is not in Python
            return cast("Message", (yield from _awaited(receiving)))
        try:
            yielded = receiving.send(None)
        except StopIteration as done:
            message: Any = done.value
            if type(message) is dict and message.get("type") == "websocket.receive":
                self._connection.messages_early += 1
            else:
                self._watched = False
            return cast("Message", message)
        self._watched = False
        while True:  # it has taken its first step: from here on its steps are passed on
            sent, thrown = None, None
            try:
                sent = yield yielded
            except BaseException as error:  # noqa: BLE001 - a cancellation too belongs to the server's coroutine
                thrown = error
            try:  # not in the handler, where what it raises would be told to come from what was thrown
                yielded = receiving.send(sent) if thrown is None else receiving.throw(thrown)
            except StopIteration as done:
                return cast("Message", done.value)
            finally:
                del thrown  # a cancellation's traceback holds this frame and all of the application's


async def _awaited(receiving: Awaitable[Message]) -> Message:
    return await receiving
