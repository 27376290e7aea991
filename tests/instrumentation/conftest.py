"""A scripted ASGI server, and spans kept in memory: enough to check every order of events without a socket."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from acceptfirst import failsafe

Message = dict[str, Any]
Application = Callable[..., Awaitable[None]]

CONNECT: Message = {"type": "websocket.connect"}


@dataclass
class ScriptedServer:
    """Plays one connection: delivers the given messages in order, and keeps what the application sends.

    Attributes:
        incoming: what ``receive`` returns; a number is a pause in seconds before the next one. When the script is over,
            ``receive`` waits for ever, as a server with a silent client does.
        refuse: exceptions that ``send`` raises, by message type.
        sent: what the application sent, in order.
        scope: the ASGI scope.
    """

    incoming: Sequence[Message | float]
    refuse: Mapping[str, BaseException] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=lambda: {"type": "websocket", "path": "/ws", "headers": []})
    _position: int = 0

    async def receive(self) -> Message:
        """The next scripted message."""
        while self._position < len(self.incoming):
            step = self.incoming[self._position]
            self._position += 1
            if not isinstance(step, int | float):
                return step
            await asyncio.sleep(step)
        await asyncio.Event().wait()
        raise AssertionError("unreachable: the wait above has no end")

    async def send(self, message: Message) -> None:
        """Keep the message, or refuse it."""
        if (error := self.refuse.get(message["type"])) is not None:
            raise error
        self.sent.append(dict(message))

    async def run(self, app: Application, *, patience_s: float = 5.0) -> BaseException | None:
        """Run the application on this connection; gives the exception that left it."""
        try:
            async with asyncio.timeout(patience_s):
                await app(self.scope, self.receive, self.send)
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - the application's exception is what the test asks for
            return error
        return None


@dataclass
class Spans:
    """The spans that were exported so far."""

    exporter: InMemorySpanExporter
    provider: TracerProvider

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of one name, in the order of their export."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def transitions(self) -> list[tuple[str, str, str]]:
        """(from, to, trigger) of every transition span."""
        spans = [dict(span.attributes or {}) for span in self.named("websocket.transition")]
        keys = ("acceptfirst.state.from", "acceptfirst.state.to", "acceptfirst.transition.trigger")
        return [(str(a[keys[0]]), str(a[keys[1]]), str(a[keys[2]])) for a in spans]

    def violations(self) -> list[str]:
        """The pattern of every violation span."""
        return [str((span.attributes or {})["acceptfirst.pattern.type"]) for span in self.named("websocket.violation")]

    def last(self) -> dict[str, Any]:
        """The attributes of the transition into CLOSED."""
        return dict(self.named("websocket.transition")[-1].attributes or {})


@pytest.fixture
def spans() -> Iterator[Spans]:
    """An SDK provider that exports into memory at once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Spans(exporter, provider)
    provider.shutdown()


@pytest.fixture
def server() -> type[ScriptedServer]:
    """The scripted server's class."""
    return ScriptedServer


@pytest.fixture(scope="session")
def scripted_server() -> type[ScriptedServer]:
    """The same, for tests that Hypothesis repeats."""
    return ScriptedServer


@pytest.fixture(autouse=True)
def no_failure_of_ours() -> Iterator[None]:
    """Every test starts with no failure of ours counted, and fails when one was, unless it clears them itself."""
    failsafe.failures.clear()
    yield
    assert dict(failsafe.failures) == {}


class _AtOnce(selectors.DefaultSelector):
    """Never waits: where the loop would wait for its next timer, its clock jumps there."""

    loop: JumpingLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is there now; a loop that waits for nothing at all is a test that hangs."""
        if timeout is None:
            raise RuntimeError("expected a timer or a task that can go on, but everything waits for ever")
        if timeout > 0:
            self.loop.jump()
        return super().select(0)


class _StableTimer(asyncio.TimerHandle):
    """Timers of one moment go off in the order in which they were set, whoever else sets some in between."""

    number = 0

    def __lt__(self, other: Any) -> bool:
        return (self.when(), self.number) < (other.when(), other.number)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own that costs no time and runs the same each time.

    Timers go off exactly at their time, so that the moments which an application sees do not depend on whether others
    wake the loop in between.
    """

    def __init__(self) -> None:
        selector = _AtOnce()
        selector.loop = self
        self._now_s = 0.0
        self._timers = 0
        super().__init__(selector)
        self._clock_resolution = 1e-12

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now_s

    def jump(self) -> None:
        """Go to the next timer's time."""
        self._now_s = self._scheduled[0].when()  # type: ignore[attr-defined] # the loop's own heap, which has no public name

    def call_at(  # type: ignore[override] # the types of a callback's arguments are nobody's concern here
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As the loop's own, with a timer that keeps its place."""
        self._timers += 1
        timer = _StableTimer(when, callback, args, self, context)
        timer.number = self._timers
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined] # as above
        timer._scheduled = True  # type: ignore[attr-defined] # so that the loop counts it when it is cancelled
        return timer


@pytest.fixture(scope="session")
def jumping_loop() -> type[JumpingLoop]:
    """The class of event loops whose time jumps; for ``asyncio.Runner(loop_factory=...)``."""
    return JumpingLoop
