"""``gate="hold"`` may make an application wait, but whatever is drawn it gets every message, once and in order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, failsafe

TICK_S: Final = 1 / 64
CONNECT: Final = {"type": "websocket.connect"}
GONE: Final = {"type": "websocket.disconnect", "code": 1001}
ODD: Final = [None, {}, {"type": None}, 7, b"x", {"type": ["x"]}, MappingProxyType({"type": "websocket.disconnect"})]


@dataclass(frozen=True)
class Life:
    """One connection behind a gate; all times in ticks.

    Attributes:
        messages: pause before each, and the message.
        readers: when each of the readers' tasks is started, and when it is cancelled.
        ready_after: when the application says ready; never where it is ``None``.
        authenticates: how it reads its first message: not, in a receiving phase, or just so.
        fails_at: calls of the server's receive that raise.
        gate_buffer: of the policy.
        timeout: the handshake timeout.
    """

    messages: list[tuple[int, Any]]
    readers: list[tuple[int, int | None]]
    ready_after: int | None
    authenticates: str
    fails_at: set[int]
    gate_buffer: int
    timeout: int


MESSAGE = st.one_of(
    st.integers(0, 9).map(lambda number: {"type": "websocket.receive", "text": str(number)}),
    st.integers(0, 9).map(lambda number: OrderedDict(type="websocket.receive", text=str(number))),
    st.sampled_from(ODD),
)
TICKS = st.integers(0, 12)
LIVES = st.builds(
    Life,
    messages=st.lists(st.tuples(TICKS, MESSAGE), max_size=8),
    readers=st.lists(st.tuples(TICKS, st.one_of(st.none(), st.integers(0, 30))), max_size=3),
    ready_after=st.one_of(st.none(), TICKS),
    authenticates=st.sampled_from(["no", "in a phase", "just so"]),
    fails_at=st.sets(st.integers(2, 6), max_size=2),
    gate_buffer=st.integers(1, 3),
    timeout=st.integers(1, 40),
)


@dataclass
class Server:
    """Delivers the messages, then disconnects for ever; notes how many it was asked for beyond what was handed on."""

    life: Life
    calls: int = 0
    given: list[Any] = field(default_factory=list)
    queue: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    def start(self) -> None:
        """Begin to talk."""
        self.queue.put_nowait(CONNECT)
        at = 0
        for ticks, message in [*self.life.messages, (1, GONE)]:
            at += ticks
            asyncio.get_running_loop().call_later(at * TICK_S, self.queue.put_nowait, message)

    async def receive(self) -> Any:
        """The next message; a call that fails loses none."""
        self.calls += 1
        if self.calls in self.life.fails_at:
            raise OSError("the server's own")
        message = GONE if self.given and self.given[-1] is GONE else await self.queue.get()
        self.given.append(message)
        return message

    async def send(self, _: Any) -> None:
        """Take it."""


class Application:
    """Accepts, perhaps reads a first message, reads in tasks that come and go, and reads the rest when all are gone."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.got: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The application."""
        self._receive = receive
        await self._take()
        await send({"type": "websocket.accept"})
        if self.life.authenticates == "in a phase":
            with acceptfirst.phase(scope, "auth", receives=True):
                await self._take()
        elif self.life.authenticates == "just so":
            await self._take()
        if self.life.ready_after is not None:
            asyncio.get_running_loop().call_later(self.life.ready_after * TICK_S, acceptfirst.ready, scope)
        readers = [await self._reader(start, stop) for start, stop in self.life.readers]
        await asyncio.sleep(1)
        for reader in readers:
            reader.cancel()
        await asyncio.wait({asyncio.create_task(self._read())})

    async def _take(self) -> bool:
        """Whether there may be more."""
        try:
            self.got.append(await self._receive())
        except OSError:
            return True
        return self.got[-1] is not GONE

    async def _read(self) -> None:
        while await self._take():
            pass

    async def _reader(self, start: int, stop: int | None) -> asyncio.Task[None]:
        await asyncio.sleep(start * TICK_S)
        reader = asyncio.create_task(self._read())
        if stop is not None:
            asyncio.get_running_loop().call_later(stop * TICK_S, reader.cancel)
        return reader


async def live(life: Life) -> tuple[list[Any], Server, list[str]]:
    """One connection; gives what the application got, the server, and the tasks of ours that are left."""
    server, app = Server(life), Application(life)
    server.start()
    policy = Policy(
        environment="testing",
        readiness_mode="event",
        gate="hold",
        gate_buffer=life.gate_buffer,
        handshake_timeout_ms=life.timeout * TICK_S * 1000 + 1,
    )
    wrapped = AcceptFirstMiddleware(app, policy=policy)
    task = asyncio.create_task(wrapped({"type": "websocket", "path": "/", "headers": []}, server.receive, server.send))
    await asyncio.wait({task}, timeout=60)
    assert task.done(), "the application waits for ever"
    task.result()
    await asyncio.sleep(1)
    return (
        app.got,
        server,
        [other.get_name() for other in asyncio.all_tasks() if other.get_name().startswith("acceptf")],
    )


@settings(max_examples=200, deadline=None)
@given(LIVES)
def test_application_behind_a_gate_gets_each_message_once_and_in_order(jumping_loop: Any, life: Life) -> None:
    """Whoever reads, is cancelled, gets ready or never does: in the end what was sent was received, nothing else."""
    complaints: list[str] = []
    with asyncio.Runner(loop_factory=jumping_loop) as loop:
        loop.get_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        got, server, tasks_left = loop.run(live(life))

    assert [id(message) for message in got] == [id(message) for message in server.given]
    assert len(got) >= len(life.messages) + 1
    assert tasks_left == []
    assert complaints == []
    assert dict(failsafe.failures) == {}
