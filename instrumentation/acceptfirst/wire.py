"""One connection's ``receive`` and ``send``, as the application gets them.

Design constraints:

- what the application sees is what the server sent, in the same order and, in ``gate="observe"``, at the same moment:
  the server's awaitable is awaited here and nothing else is;
- an event is told after the await returned; a cancellation passes through untouched;
- a message on a connection that is ready costs a few additions (``steady``); everything else takes the long way through
  the connection's own methods.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator
from functools import partial
from time import perf_counter_ns
from typing import Any, cast

from acceptfirst.asgi import Message, Receive, Send
from acceptfirst.connection import Connection
from acceptfirst.failsafe import failsafe
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.readiness.gate import HoldGate
from acceptfirst.readiness.poll import ReadinessPoll, poll_readiness


class Wire:
    """Stands between one connection's server and its application."""

    __slots__ = ("_connection", "_gate", "_plain", "_poll", "_polling", "_receive", "_send", "_settled", "_watched")

    def __init__(self, connection: Connection, receive: Receive, send: Send, poll: ReadinessPoll | None) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._poll = poll
        self._polling: Any = None
        self._gate: HoldGate | None = None
        self._settled = False
        self._plain = False  # modes are settled and there is no gate: a steady connection may take the short way
        self._watched = False  # receives are looked at for messages that had been waiting

    async def receive(self) -> Message:
        """The application's ``receive``."""
        connection = self._connection
        if not self._plain or not connection.steady or connection.receives_pending:
            return await self._receive_the_long_way()
        connection.asgi_calls += 1
        connection.receives_pending = 1
        try:
            message = await (self._receive_watched() if self._watched else self._receive())
        except BaseException:
            connection.receive_raised()
            raise
        # It may have ended while we waited.
        if connection.steady and type(message) is dict and message.get("type") == "websocket.receive":  # type: ignore[redundant-expr]
            connection.receives_pending -= 1
            connection.messages_received += 1
            connection.last_frame_monotonic_ns = perf_counter_ns()
            if "R" not in connection.signature.run:
                self._first_of_its_run("R")
        else:
            self._received(message)
        return message

    async def send(self, message: Message) -> None:
        """The application's ``send``."""
        connection = self._connection
        if not connection.steady or type(message) is not dict or message.get("type") != "websocket.send":
            await self._send_the_long_way(message)
            return
        connection.asgi_calls += 1
        try:
            await self._send(message)
        except Exception:
            connection.send_failed("websocket.send")
            raise
        if connection.steady and "S" in connection.signature.run:  # type: ignore[redundant-expr] # as above
            connection.messages_sent += 1
            connection.last_frame_monotonic_ns = perf_counter_ns()
        else:
            connection.sent("websocket.send", message)

    def stop(self) -> None:
        """The application is gone."""
        if self._gate is not None:
            self._gate.stop()
        if self._polling is not None:
            self._polling.cancel()

    async def _receive_the_long_way(self) -> Message:
        connection = self._connection
        if self._gate is not None:
            await self._gate.wait_until_open()  # before it counts as a receive: one that is held back races with none
        connection.receive_began()
        try:
            message = await self._next_message()
        except BaseException:
            connection.receive_raised()
            raise
        self._received(message)
        if not self._settled:
            self._settle()
        return message

    async def _send_the_long_way(self, message: Message) -> None:
        connection = self._connection
        kind = message.get("type", "") if isinstance(message, dict) else ""
        connection.send_began(kind)
        try:
            await self._send(message)
        except Exception:
            connection.send_failed(kind)
            raise
        connection.sent(kind, message)
        if kind == "websocket.accept":
            self._accepted()

    def _received(self, message: Any) -> None:
        get = getattr(message, "get", None)  # whatever the server delivers is the application's to judge
        if get is None:
            self._connection.received("")
        else:
            self._connection.received(get("type", ""), get("code"))

    @failsafe
    def _first_of_its_run(self, letter: str) -> None:
        self._connection.signature.add(letter)
        if letter == "R" and "R" not in self._connection.moments:
            self._connection.moments["R"] = self._connection.last_frame_ns

    @failsafe
    def _settle(self) -> None:
        """The connect was delivered, or accept returned: the route's policy has been looked up, and the modes stay."""
        self._settled = True
        self._watched = self._connection.readiness_mode == "auto"
        if self._connection.gate_mode == "hold":
            self._gate = HoldGate(self._connection, self._receive, self._send)
        else:
            self._plain = True

    @failsafe
    def _accepted(self) -> None:
        if not self._settled:
            self._settle()
        if self._gate is not None:
            self._gate.accepted()
        if self._connection.readiness_mode == "polled" and self._poll is not None and self._polling is None:
            self._polling = poll_readiness(self._connection, self._poll)

    def _next_message(self) -> Awaitable[Message]:
        if self._gate is not None:
            return self._gate.receive()
        if self._watched and self._connection.state is State.READY_FOR_MESSAGES:
            return self._receive_watched()
        return self._receive()

    async def _receive_watched(self) -> Message:
        """Receive, and tell whether that was done in its first step: then the message had been waiting.

        Once one suspends, everything that was waiting has been read, and later receives are not looked at any more.
        """
        receiving = self._receive()
        if type(receiving) is not types.CoroutineType:  # a future, or a server that is not written in Python
            self._watched = False
            return await receiving
        try:
            yielded = receiving.send(None)
        except StopIteration as done:
            self._done_at_once(done.value)
            return cast("Message", done.value)
        self._watched = False
        return await _resumed(receiving, yielded)

    @failsafe
    def _done_at_once(self, message: Message) -> None:
        if message.get("type") == "websocket.receive":
            self._connection.messages_early += 1
        else:
            self._watched = False


@types.coroutine
def _resumed(receiving: types.CoroutineType[Any, Any, Message], yielded: Any) -> Generator[Any, Any, Message]:
    """Await a coroutine that has taken its first step already, and yielded this."""
    while True:
        try:
            sent = yield yielded
        except BaseException as thrown:  # noqa: BLE001 - a cancellation too belongs to the server's coroutine
            step = partial(receiving.throw, thrown)
        else:
            step = partial(receiving.send, sent)
        try:
            yielded = step()
        except StopIteration as done:
            return cast("Message", done.value)
