"""Random applications under random servers do and see the same with and without us, and our record of them holds.

Hypothesis draws a program for the application (a small language of steps, with tasks that receive and send across one
another) and a plan for the server and its client: what comes when, in which kind of awaitable, what fails, when the
application's task is cancelled. Each pair runs bare and instrumented on an event loop with a clock of its own, so that
both runs are repeatable, and all that anybody could see is written down: every step with its task, its moment, how
often its task had been suspended until then, and the very objects and exceptions that went to and fro.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter, OrderedDict, UserDict
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, failsafe, middleware
from acceptfirst.connection import Connection
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.signature import describe

Step = tuple[Any, ...]
Entry = tuple[Any, ...]

GONE: Final = {"type": "websocket.disconnect", "code": 1006}
TICK_S: Final = 1 / 64  # a binary fraction, so that sums of ticks are exact and never meet a deadline of ours
PATIENCE_S: Final = 8.0
CHAT_MAX: Final = 12


class Hostile(dict[str, Any]):
    """A message whose fields can't be asked for by name."""

    def get(self, *_: Any) -> Any:
        """Raise."""
        raise LookupError("this message has no get")


ODD: Final[dict[str, Callable[[], Any]]] = {
    "nothing": lambda: None,
    "empty": dict,
    "number": lambda: 7,
    "text": lambda: "websocket.accept",
    "bytes": lambda: b"\x00",
    "list": lambda: [{"type": "websocket.send"}],
    "no type": lambda: {"text": "x"},
    "type of bytes": lambda: {"type": b"websocket.send"},
    "type of list": lambda: {"type": ["websocket.send"]},
    "unknown type": lambda: {"type": "lifespan.startup"},
    "proxy": lambda: MappingProxyType({"type": "websocket.accept"}),
    "user's dict": lambda: UserDict({"type": "websocket.send", "text": "x"}),
    "ordered": lambda: OrderedDict(type="websocket.send", text="x"),
    "counter": lambda: Counter(type=1),
    "hostile": lambda: Hostile(type="websocket.send"),
}
SENDS: Final[dict[str, Callable[[], Any]]] = {
    "accept": lambda: {"type": "websocket.accept"},
    "send": lambda: {"type": "websocket.send", "text": "x"},
    "huge": lambda: {"type": "websocket.send", "bytes": bytes(1 << 20), "extra": object()},
    "close": lambda: {"type": "websocket.close", "code": 4000},
    "odd close": lambda: {"type": "websocket.close", "code": "4000"},
    "deny": lambda: {"type": "websocket.http.response.start", "status": 403},
    "deny more": lambda: {"type": "websocket.http.response.body", "more_body": True},
    "deny body": lambda: {"type": "websocket.http.response.body", "body": b""},
    **ODD,
}
RECEIVES: Final[dict[str, Callable[[], Any]]] = {
    "connect": lambda: {"type": "websocket.connect"},
    "message": lambda: {"type": "websocket.receive", "text": "x"},
    "ordered message": lambda: OrderedDict(type="websocket.receive", text="x"),
    "disconnect": lambda: {"type": "websocket.disconnect", "code": 1001},
    "odd disconnect": lambda: {"type": "websocket.disconnect", "code": "1001"},
    "short disconnect": lambda: {"type": "websocket.disconnect"},
    **ODD,
}
ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "OSError": lambda: OSError(32, "gone"),
    "RuntimeError": lambda: RuntimeError("Unexpected ASGI message"),
    "ValueError": lambda: ValueError("the application's own", 7),
    "KeyError": lambda: KeyError("key"),
}


def failure(name: str) -> Exception:
    """A new exception of this name."""
    return ERRORS[name]()


@dataclass(frozen=True)
class Plan:
    """What the server and its client will do.

    Attributes:
        incoming: ticks since the one before, and the message.
        talkative: whether disconnects go on after the script; else the server falls silent.
        receive_kind: what ``receive`` gives: a coroutine, a future or an awaitable of another kind.
        receive_fails: errors by the number of the call; at once or when awaited.
        send_fails: likewise.
        send_ticks: how long a send takes; -1 does not suspend.
        cancelled_at: when the application's task is cancelled, in ticks.
    """

    incoming: list[tuple[int, Any]]
    talkative: bool = True
    receive_kind: str = "coroutine"
    receive_fails: dict[int, tuple[str, bool]] = field(default_factory=dict)
    send_fails: dict[int, tuple[str, bool]] = field(default_factory=dict)
    send_ticks: int = -1
    cancelled_at: int | None = None


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine that is driven by a task, and counts how often the task has stepped into it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.steps = 0

    def send(self, value: Any) -> Any:
        """One step."""
        self.steps += 1
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """One step, with an exception."""
        self.steps += 1
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """As the coroutine's."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


class Awaited:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def told(error: BaseException | None) -> Entry:
    """All that can be compared of an exception."""
    if error is None:
        return ("none",)
    return (type(error), error.args, type(error.__cause__), type(error.__context__), error.__suppress_context__)


class Journal:
    """What anybody could see, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, *entry: Any) -> None:
        """Write down, with the moment."""
        self.entries.append((asyncio.get_running_loop().time(), *entry))


class Server:
    """Plays a plan."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._plan = plan
        self._journal = journal
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._receives = self._sends = 0
        at = 0
        for ticks, message in plan.incoming:
            at += ticks
            if at:
                asyncio.get_running_loop().call_later(at * TICK_S, self._queue.put_nowait, message)
            else:
                self._queue.put_nowait(message)
        self._left = len(plan.incoming)

    def receive(self) -> Any:
        """An awaitable of the plan's kind."""
        self._receives += 1
        self._journal.note("server", "asked for", self._receives)
        name, at_once = self._plan.receive_fails.get(self._receives, ("", False))
        if at_once:
            raise failure(name)
        coroutine = self._interruptible(name)
        if self._plan.receive_kind == "future":
            return asyncio.ensure_future(coroutine)
        return Awaited(coroutine) if self._plan.receive_kind == "awaitable" else coroutine

    async def _interruptible(self, fails: str) -> Any:
        """Note what is thrown into the server's wait: a cancellation is the server's to see."""
        try:
            return await self._next(fails)
        except BaseException as error:
            self._journal.note("server", "was interrupted", told(error))
            raise

    async def _next(self, fails: str) -> Any:
        if fails:
            raise failure(fails)
        if self._left <= 0 and self._plan.talkative:
            return GONE
        message = await self._queue.get()
        self._left -= 1
        return message

    def send(self, message: Any) -> Any:
        """A coroutine, or an error at once."""
        self._sends += 1
        name, at_once = self._plan.send_fails.get(self._sends, ("", False))
        self._journal.note("server", "got", id(message))
        if at_once:
            raise failure(name)
        return self._keep(message, name)

    async def _keep(self, message: Any, fails: str) -> None:
        if self._plan.send_ticks >= 0:
            await asyncio.sleep(self._plan.send_ticks * TICK_S)
        if fails:
            raise failure(fails)
        self._journal.note("server", "sent", id(message))


class Player:
    """Plays a program as an application."""

    def __init__(self, outgoing: dict[str, Any], journal: Journal) -> None:
        self._outgoing = outgoing
        self._journal = journal
        self.tasks: list[asyncio.Task[Any]] = []

    async def __call__(self, program: list[Step], scope: Any, receive: Any, send: Any) -> None:
        """The application."""
        self._scope, self._receive, self._send = scope, receive, send
        await self._run(program, "main")

    async def _run(self, program: list[Step], name: str) -> bool:
        """Play the steps; whether one of them said that it is over."""
        for number, step in enumerate(program):
            label = f"{name}.{number}"
            try:
                is_over = await self._step(step, label)
            except BaseException as error:
                self._note(label, step[0], "raised", told(error))
                raise
            self._note(label, step[0], "done")
            if is_over:
                return True
        return False

    def _note(self, label: str, *entry: Any) -> None:
        coroutine: Any = cast("asyncio.Task[Any]", asyncio.current_task()).get_coro()
        self._journal.note(label, coroutine.steps, *entry)

    async def _step(self, step: Step, label: str) -> bool:
        kind, *rest = step
        play: Any = getattr(self, f"_play_{kind}")
        return bool(await play(label, *rest))

    async def _play_receive(self, label: str) -> None:
        self._note(label, id(await self._receive()))

    async def _play_send(self, _: str, name: str) -> None:
        await self._send(self._outgoing[name])

    async def _play_sleep(self, _: str, ticks: int) -> None:
        await asyncio.sleep(ticks * TICK_S)

    async def _play_return(self, _: str) -> bool:
        return True

    async def _play_raise(self, _: str, name: str) -> None:
        raise failure(name)

    async def _play_chat(self, label: str, program: list[Step]) -> bool:
        """Play the steps for each message, until something else comes."""
        for number in range(CHAT_MAX):
            message = await self._receive()
            self._note(label, id(message))
            if not isinstance(message, dict) or dict.get(message, "type") != "websocket.receive":
                break
            if await self._run(program, f"{label}.{number}"):
                return True
        return False

    async def _play_swallow(self, label: str, program: list[Step]) -> bool:
        with suppress(Exception):
            return await self._run(program, label)
        return False

    async def _play_outlive(self, label: str, program: list[Step]) -> bool:
        with suppress(asyncio.CancelledError):
            return await self._run(program, label)
        return False

    async def _play_within(self, label: str, ticks: int, program: list[Step]) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(ticks * TICK_S):
                return await self._run(program, label)
        return False

    def _spawned(self, label: str, program: list[Step]) -> asyncio.Task[Any]:
        task = asyncio.create_task(Counted(self._run(program, label)))
        self.tasks.append(task)
        return task

    async def _play_spawn(self, label: str, program: list[Step]) -> None:
        self._spawned(label, program)

    async def _play_gather(self, label: str, programs: list[list[Step]]) -> None:
        await asyncio.gather(*(self._spawned(f"{label}/{n}", program) for n, program in enumerate(programs)))

    async def _play_cancel(self, _: str, index: int) -> None:
        if self.tasks:
            self.tasks[index % len(self.tasks)].cancel("not needed any more")

    async def _play_join(self, _: str, index: int) -> None:
        if self.tasks and (task := self.tasks[index % len(self.tasks)]) is not asyncio.current_task():
            await asyncio.wait({task})

    async def _play_ready(self, _: str) -> None:
        acceptfirst.ready(self._scope)

    async def _play_tell(self, _: str) -> None:
        acceptfirst.identify(self._scope, "user")
        acceptfirst.explain(self._scope)

    async def _play_coordinate(self, _: str) -> None:
        acceptfirst.coordinator(self._scope).is_ready_for_messages()

    async def _play_phase(self, label: str, receives: bool, program: list[Step]) -> bool:
        with acceptfirst.phase(self._scope, "phase", receives=receives):
            return await self._run(program, label)


# -- drawing -----------------------------------------------------------------------------------------------------------

TICKS = st.integers(0, 9)
TALK: st.SearchStrategy[Step] = st.sampled_from([("receive",), ("send", "send")])
LEAVES: st.SearchStrategy[Step] = st.one_of(
    TALK,
    TALK,
    st.sampled_from(["accept", "close", *SENDS]).map(lambda name: ("send", name)),
    st.tuples(st.just("sleep"), TICKS),
    st.tuples(st.just("cancel"), st.integers(0, 3)),
    st.tuples(st.just("join"), st.integers(0, 3)),
    st.sampled_from(
        [("return",), ("ready",), ("ready",), ("tell",), ("coordinate",), *(("raise", name) for name in ERRORS)]
    ),
)


def branches(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    """The steps that hold others."""
    program = st.lists(steps, max_size=4)
    return st.one_of(
        st.tuples(st.sampled_from(["spawn", "chat", "swallow", "outlive"]), program),
        st.tuples(st.just("within"), TICKS, program),
        st.tuples(st.just("gather"), st.lists(program, max_size=3)),
        st.tuples(st.just("phase"), st.booleans(), program),
    )


def mostly(usual: Any, drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is usual three times out of four, since most faults want a connection that lives until then."""
    return st.integers(0, 3).flatmap(lambda number: drawn if number == 3 else st.just(usual))


STEPS = st.recursive(LEAVES, branches, max_leaves=12)
BEGINNINGS = mostly(
    [("receive",), ("send", "accept")],
    st.sampled_from([[], [("send", "accept")], [("receive",)], [("receive",), ("send", "deny")]]),
)
PROGRAMS = st.builds(
    lambda head, ready, middle, chat, tail: [*head, *ready, *middle, *([("chat", chat)] if chat else []), *tail],
    BEGINNINGS,
    st.sampled_from([[], [("ready",)]]),
    st.lists(STEPS, max_size=4),
    st.lists(STEPS, max_size=3),
    st.lists(STEPS, max_size=4),
)
FAILURES = mostly(
    {},
    st.dictionaries(
        st.integers(1, 6), st.tuples(st.sampled_from(["OSError", "RuntimeError"]), st.booleans()), max_size=2
    ),
)
MESSAGE = mostly("message", st.sampled_from(sorted(RECEIVES))).map(lambda name: RECEIVES[name]())
PLANS = st.builds(
    Plan,
    incoming=st.builds(
        lambda connects, rest: [*connects, *rest],
        mostly([(0, {"type": "websocket.connect"})], st.just([])),
        st.lists(st.tuples(TICKS, MESSAGE), max_size=8),
    ),
    talkative=st.booleans(),
    receive_kind=st.sampled_from(["coroutine", "coroutine", "future", "awaitable"]),
    receive_fails=FAILURES,
    send_fails=FAILURES,
    send_ticks=st.integers(-1, 3),
    cancelled_at=mostly(None, st.integers(0, 20)),
)
MODES = st.sampled_from(["auto", "event", "blind", "polled"])


# -- running -----------------------------------------------------------------------------------------------------------


class Token:
    """Stands in the scope: as long as it is there, the application itself holds on to its scope."""


class Watched(Connection):
    """A record that can be watched until it is gone."""

    __slots__ = ("__weakref__",)
    made: list[weakref.ref[Watched]] = []  # noqa: RUF012 - one list for all, emptied by each run

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.made.append(weakref.ref(self))


class Ledger:
    """A meter provider whose instruments keep sums by name."""

    def __init__(self, name: str = "", sums: Counter[str] | None = None) -> None:
        self._name = name
        self.sums: Counter[str] = Counter() if sums is None else sums

    def get_meter(self, *_: Any) -> Any:
        """A meter."""
        return self

    def create_counter(self, name: str, *_: Any) -> Any:
        """An instrument."""
        return Ledger(name, self.sums)

    create_histogram = create_up_down_counter = create_counter

    def add(self, amount: float, *_: Any) -> None:
        """Sum up."""
        self.sums[self._name] += int(amount)

    def record(self, value: float, *_: Any) -> None:
        """Durations are never negative."""
        assert value >= 0


class Shelf(SpanProcessor):
    """Keeps finished spans."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


@dataclass
class Run:
    """What came of one run."""

    entries: list[Entry]
    outcome: Entry
    tasks_left: list[str]
    is_held: bool
    """Whether the application holds on to its scope."""


async def yes_at_the_third_time(scope: Any) -> bool:
    """A readiness check that fails first, then says no, then yes."""
    asked = scope.setdefault("asked", [])
    asked.append(1)
    if len(asked) == 1:
        raise ConnectionError("not yet")
    return len(asked) > 2


async def calm(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel until all are done: some outlive a cancellation or two."""
    for _ in range(30):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            break
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=1.0)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it is nobody's: or the loop complains


async def play(program: list[Step], plan: Plan, outgoing: dict[str, Any], wrap: Any) -> tuple[Run, weakref.ref[Token]]:
    """One connection from the server's call until nothing of it is left."""
    journal = Journal()
    player = Player(outgoing, journal)
    players = [player]
    server = Server(plan, journal)
    token = Token()
    scope = {"type": "websocket", "path": "/", "headers": [], "token": token}

    async def app(*arguments: Any) -> None:
        await players[0](program, *arguments)

    task = asyncio.create_task(Counted(wrap(app)(scope, server.receive, server.send)))
    if plan.cancelled_at is not None:
        asyncio.get_running_loop().call_later(plan.cancelled_at * TICK_S, task.cancel, "the server shuts down")
    await asyncio.wait({task}, timeout=PATIENCE_S)
    await calm([task])
    outcome = told(asyncio.CancelledError() if task.cancelled() else task.exception())
    journal.note("over")
    await asyncio.sleep(PATIENCE_S)
    await calm(player.tasks)
    await asyncio.sleep(PATIENCE_S)
    left = [
        type(other.get_coro()).__name__
        for other in asyncio.all_tasks() - {asyncio.current_task()}
        if other not in player.tasks
    ]
    players.clear()  # an application outlives its connections: what belongs to one is not on it
    return Run(journal.entries, outcome, left, False), weakref.ref(token)


@pytest.fixture(scope="module")
def run(jumping_loop: Any) -> Any:
    """Runs a program under a plan, as ``wrap`` wraps it."""

    def runner(program: list[Step], plan: Plan, outgoing: dict[str, Any], wrap: Any = lambda app: app) -> Run:
        with asyncio.Runner(loop_factory=jumping_loop) as loop:
            result, token = loop.run(play(program, plan, outgoing, wrap))
        result.is_held = token() is not None
        return result

    return runner


@pytest.fixture(autouse=True, scope="module")
def records_are_watched() -> Any:
    """The middleware makes records that can be watched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middleware, "Connection", Watched)
        patch.setattr(failsafe.logger, "disabled", True)  # a log record that is kept keeps the frames of its traceback
        yield


def instrumented(mode: Any, rate: float, ledger: Ledger, shelf: Shelf) -> Any:
    """Wraps an application."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(shelf)
    check: Any = yes_at_the_third_time if mode == "polled" else mode
    policy = Policy(environment="testing", delay_ladder_ms=(20.0,), sample_rate=rate)
    options: dict[str, Any] = {"tracer_provider": provider, "meter_provider": ledger}
    return lambda app: AcceptFirstMiddleware(app, readiness=check, policy=policy, **options)


def failures_of_ours() -> dict[str, int]:
    """What failed since the last call; the readiness check fails on purpose."""
    counted = dict(failsafe.failures)
    failsafe.failures.clear()
    counted.pop("readiness check", None)
    return counted


@settings(max_examples=150, deadline=None)
@given(PROGRAMS, PLANS, MODES)
def test_application_and_server_see_the_same_with_and_without_us(
    run: Any, program: list[Step], plan: Plan, mode: Any
) -> None:
    """Each step, its moment, its suspensions, its messages and exceptions are equal, and so is what is left."""
    outgoing = {name: make() for name, make in SENDS.items()}
    contents = repr((plan, outgoing))
    bare = run(program, plan, outgoing)
    observed = run(program, plan, outgoing, instrumented(mode, 1.0, Ledger(), Shelf()))

    assert observed.entries == bare.entries
    assert observed.outcome == bare.outcome
    assert observed.tasks_left == bare.tasks_left
    assert repr((plan, outgoing)) == contents
    assert failures_of_ours() == {}


def recorded(run: Any, program: list[Step], plan: Plan, mode: str, rate: float = 1.0) -> Any:
    """The record of an instrumented run, its sums and its spans."""
    kept: list[Any] = []
    ledger, shelf = Ledger(), Shelf()
    wrap = instrumented(mode, rate, ledger, shelf)

    def keeping(app: Any) -> Any:
        async def outer(scope: Any, receive: Any, send: Any) -> None:
            kept.append(scope[acceptfirst.connection.SCOPE_KEY])
            await app(scope, receive, send)

        return wrap(outer)

    run(program, plan, {name: make() for name, make in SENDS.items()}, keeping)
    assert failures_of_ours() == {}
    return kept[0], ledger.sums, shelf.spans


@settings(max_examples=80, deadline=None)
@given(PROGRAMS, PLANS, MODES)
def test_record_ends_closed_by_allowed_steps(run: Any, program: list[Step], plan: Plan, mode: str) -> None:
    """The states join on to each other, are in the table, never go back in time and end in CLOSED."""
    record, _, _ = recorded(run, program, plan, mode)

    state, at_ns = State.INITIALIZING, record.started_ns
    for step in record.transitions:
        assert (step.old, step.entered_ns) == (state, at_ns)
        assert step.new in ALLOWED_TRANSITIONS[state]
        assert step.entered_ns <= step.left_ns
        state, at_ns = step.new, step.left_ns
    assert state is State.CLOSED
    assert record.finished
    assert record.receives_pending == 0
    assert describe(str(record.signature))


@settings(max_examples=80, deadline=None)
@given(PROGRAMS, PLANS, MODES, st.sampled_from([0.0, 1.0]))
def test_telemetry_of_a_connection_adds_up(run: Any, program: list[Step], plan: Plan, mode: str, rate: float) -> None:
    """What was opened is closed, each violation and transition goes out once, each span has an identity of its own."""
    record, sums, spans = recorded(run, program, plan, mode, rate)

    assert (sums["acceptfirst.connections.open"], sums["acceptfirst.handshakes.open"]) == (0, 0)
    assert sums["acceptfirst.handshakes"] == 1
    by_name = Counter(span.name for span in spans)
    violations = [span.attributes["acceptfirst.pattern.type"] for span in spans if span.name == "websocket.violation"]
    assert len(violations) == len(set(violations)) == sums["acceptfirst.violations"]
    assert by_name["websocket.handshake"] == bool(rate or violations)
    assert by_name["websocket.transition"] == (len(record.transitions) if rate or violations else 0)
    assert len({span.context.span_id for span in spans}) == len(spans)
    assert all(span.context.is_valid and 0 < span.start_time <= span.end_time for span in spans)


@settings(max_examples=80, deadline=None)
@given(PROGRAMS, PLANS, MODES)
def test_record_is_gone_with_its_application_without_the_garbage_collector(
    run: Any, program: list[Step], plan: Plan, mode: str
) -> None:
    """No circle of references of ours keeps a connection where a bare application would let go of its scope."""
    assume("'coordinate'" not in repr(program))  # a coordinator and its connection know one another, by contract
    Watched.made.clear()
    outgoing = {name: make() for name, make in SENDS.items()}
    gc.disable()
    try:
        bare = run(program, plan, outgoing)
        run(program, plan, outgoing, instrumented(mode, 1.0, Ledger(), Shelf()))
        left = [record for made in Watched.made if (record := made()) is not None]
    finally:
        gc.enable()
    failures_of_ours()
    assert left == [] or bare.is_held
