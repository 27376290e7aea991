"""``gate="hold"`` under random interleavings of clients, readers, phases and cancellations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import acceptfirst
from acceptfirst import Policy

READERS = 3

STEPS = st.lists(
    st.one_of(
        st.sampled_from([("send",), ("send",), ("send",), ("ready",), ("leave",), ("first",), ("phase",), ("turn",)]),
        st.tuples(st.just("read"), st.integers(0, READERS - 1)),
        st.tuples(st.just("cancel"), st.integers(0, READERS)),
        st.tuples(st.just("turns"), st.integers(1, 6)),
    ),
    max_size=30,
)


@dataclass
class Client:
    """A server's queue for one connection, and what was asked of it."""

    queue: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[str] = field(default_factory=list)
    taken: int = 0
    left: bool = False

    async def receive(self) -> dict[str, Any]:
        """The next event; a message counts as taken from the server."""
        event = await self.queue.get()
        self.taken += event["type"] == "websocket.receive"
        return event

    async def send_to_server(self, message: Any) -> None:
        """What the application sends goes nowhere."""

    def say(self) -> None:
        """One more message, unless the client has left."""
        if not self.left:
            self.sent.append(str(len(self.sent)))
            self.queue.put_nowait({"type": "websocket.receive", "text": self.sent[-1]})

    def leave(self) -> None:
        """The client's disconnect; the first time only."""
        if not self.left:
            self.left = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})


@dataclass
class Application:
    """Plays the steps inside one connection, with readers in tasks of their own and one that accepted."""

    client: Client
    steps: list[tuple[Any, ...]]
    buffer: int
    got: list[str] = field(default_factory=list)
    too_early: list[str] = field(default_factory=list)
    read_ahead_max: int = 0
    is_ready: bool = False
    ended: bool = False
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application: its steps, then ready, then everything that is left."""
        self.scope, self.receive = scope, receive
        await receive()
        await send({"type": "websocket.accept"})
        for step in self.steps:
            await self.play(*step)
            self.read_ahead_max = max(self.read_ahead_max, self.client.taken - len(self.got))
        self.client.leave()
        self.become_ready()
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        while not self.ended:
            await self.read_one("drain", allowed=True)

    async def play(self, name: str, number: int = 1) -> None:
        """One step and one turn of the loop."""
        if name == "send":
            self.client.say()
        elif name == "leave":
            self.client.leave()
        elif name == "ready":
            self.become_ready()
        elif name == "read":
            self.start(number, self.read_one(f"reader {number}", allowed=False))
        elif name == "cancel" and number in self.tasks:
            self.tasks[number].cancel()
        elif name == "first":
            await self.read_for_a_while()
        elif name == "phase":
            self.start(READERS, self.read_in_a_phase())
        for _ in range(number if name == "turns" else 1):
            await asyncio.sleep(0)

    def start(self, number: int, reading: Any) -> None:
        """A task, unless the one of this number is still at work."""
        if number in self.tasks and not self.tasks[number].done():
            reading.close()
        else:
            self.tasks[number] = asyncio.create_task(reading)

    async def read_one(self, who: str, *, allowed: bool) -> None:
        """One receive; notes a message that came to a reader that nobody had admitted."""
        event = await self.receive()
        if event["type"] == "websocket.disconnect":
            self.ended = True
            return
        self.got.append(event["text"])
        if not (allowed or self.is_ready or self.client.left):
            self.too_early.append(f"{who} got {event['text']}")

    async def read_in_a_phase(self) -> None:
        """A phase that receives, in a task of its own."""
        with acceptfirst.phase(self.scope, "auth", receives=True):
            await self.read_one("phase", allowed=True)

    async def read_for_a_while(self) -> None:
        """The accepting task reads, and gives up soon."""
        reading = asyncio.wait_for(self.read_one("accepting task", allowed=True), 0.0005)
        try:
            await reading
        except TimeoutError:
            return

    def become_ready(self) -> None:
        """Say it."""
        self.is_ready = True
        acceptfirst.ready(self.scope)


def play(steps: list[tuple[Any, ...]], buffer: int, timeout_ms: float = 60_000) -> Application:
    """Run one connection behind a gate to its end, or fail after ten seconds."""
    policy = Policy(
        environment="testing",
        readiness_mode="event",
        gate="hold",
        gate_buffer=buffer,
        handshake_timeout_ms=timeout_ms,
    )

    async def run() -> Application:
        client = Client()
        client.queue.put_nowait({"type": "websocket.connect"})
        app = Application(client, steps, buffer)
        gated = acceptfirst.AcceptFirstMiddleware(app, policy=policy)
        async with asyncio.timeout(10):
            await gated({"type": "websocket", "path": "/", "headers": []}, client.receive, client.send_to_server)
        return app

    return asyncio.run(run())


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_application_receives_what_the_client_sent_when_anything_happens(
    steps: list[tuple[Any, ...]], buffer: int
) -> None:
    """In order, nothing twice, nothing lost, and it always ends."""
    app = play(steps, buffer)
    assert app.got == app.client.sent


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_gate_never_reads_further_ahead_than_its_buffer(steps: list[tuple[Any, ...]], buffer: int) -> None:
    """What was taken from the server and not handed on is never more than the policy allows."""
    assert play(steps, buffer).read_ahead_max <= buffer


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_no_reader_gets_a_message_before_ready_unless_it_is_admitted(steps: list[tuple[Any, ...]], buffer: int) -> None:
    """Only the phase and the task that accepted do, or whoever reads once the client has left."""
    assert play(steps, buffer).too_early == []


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 4))
def test_application_receives_everything_when_the_gate_times_out(steps: list[tuple[Any, ...]], buffer: int) -> None:
    """A timeout in the middle of anything opens the gate and neither drops nor reorders."""
    app = play(steps, buffer, timeout_ms=1)
    assert app.got == app.client.sent
