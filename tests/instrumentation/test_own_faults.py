"""Every function of ours is made to raise, one at a time, and the application notices nothing.

Which functions those are is asked of the modules themselves, so that one which is written tomorrow is tried too. A
function's code is exchanged for code that raises; wherever a reference to it is kept, it is the raising one that runs.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import pkgutil
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.websockets import WebSocket

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, connection, failsafe, wire
from acceptfirst.readiness import gate
from acceptfirst.telemetry import lifetime

NOT_REACHED: Final = {
    "Connection.fail": "closes, where the application is to see something else than without us",
    "Connection.closed_for_the_application": "likewise",
    "HoldGate._is_overdue": "when something else of ours has failed",
    "Connection.look_again": "a minute on the clock, which does not jump",
}
CONNECT: Final = {"type": "websocket.connect"}
ACCEPT: Final = {"type": "websocket.accept"}
CLOSE: Final = {"type": "websocket.close", "code": 4000}
MESSAGE: Final = {"type": "websocket.receive", "text": "hi"}
ANSWER: Final = {"type": "websocket.send", "text": "hi"}
DISCONNECT: Final = {"type": "websocket.disconnect", "code": 1001}
PATIENCE_S: Final = 30.0

THE_WAY_ITSELF: Final = {
    "AcceptFirstMiddleware.__call__": "awaits the application",
    "AcceptFirstMiddleware._run_unobserved": "awaits the application",
    "Wire.__init__": "assignments, before there is anything to fall back to",
    "Wire.receive": "awaits the server",
    "Wire.send": "awaits the server",
    "Wire._receive_the_long_way": "awaits the server",
    "Wire._send_the_long_way": "awaits the server",
    "Wire._watch": "awaits the server",
    "HoldGate.receive": "awaits the server",
    "HoldGate._receive_one": "awaits the server",
    "HoldGate._read": "hands on what the server said",
    "HoldGate._wake": "hands on that there is something",
    "HoldGate._give_up": "is the net",
    "_observed": "awaits the framework",
    "record_failure": "is the net",
    "failsafe": "is the net",
    "phase.__enter__": "calls what is guarded",
    "phase.__aenter__": "calls what is guarded",
    "phase.__aexit__": "calls what is guarded",
    "explain": "calls what is guarded",
}
"""What can't be guarded, since its failure can't be told from that of what it awaits; kept too small to fail."""

ASKED_FOR: Final = {
    "coordinator",
    "AcceptFirstMiddleware.coordinator",
    "HandshakeCoordinator.__init__",
    "HandshakeCoordinator.bind",
    "HandshakeCoordinator.get_current_state",
    "HandshakeCoordinator.is_ready_for_messages",
    "ApplicationConnectionState.is_ready_for_messages",
    "RaceConditionDetector.__init__",
    "normalise_environment",
    "current",
}
"""What gives an application its coordinator, and that one's answers: nothing can stand in for them."""


# -- applications that go everywhere -----------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """A healthy life."""
    del scope
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def gets_ready(scope: Any, receive: Any, send: Any) -> None:
    """Phases, an early message, ready, and all that an application may ask about itself."""
    await receive()
    acceptfirst.identify(scope, "user")
    with acceptfirst.phase(scope, "slow"):
        await send(ACCEPT)
        await receive()
        await asyncio.sleep(0.01)
    async with acceptfirst.phase(scope, "auth", receives=True):
        await receive()
    acceptfirst.ready(scope)
    acceptfirst.explain(scope)
    await echo_on(receive, send)


async def coordinates(scope: Any, receive: Any, send: Any) -> None:
    """Asks for its coordinator, early and again."""
    await receive()
    acceptfirst.coordinator(scope)
    await send(ACCEPT)
    acceptfirst.coordinator(scope).get_current_state()
    acceptfirst.coordinator(scope).is_ready_for_messages()
    await echo_on(receive, send)


async def echo_on(receive: Any, send: Any) -> None:
    """Answers until the end."""
    while (await receive())["type"] == "websocket.receive":
        await send(ANSWER)


async def misbehaves(scope: Any, receive: Any, send: Any) -> None:
    """Sends, accepts and closes in all the wrong moments, receives twice at once, and fails."""
    del scope
    await receive()
    for message in (ANSWER, ACCEPT, ACCEPT, ANSWER):
        with suppress(OSError):
            await send(message)
    await asyncio.gather(receive(), receive())
    for late in (CLOSE, CLOSE, ANSWER):
        with suppress(OSError):
            await send(late)
    raise ConnectionError("redis is away")


async def is_refused_by_starlette(scope: Any, receive: Any, send: Any) -> None:
    """Each of Starlette's guards fires, and the last one's exception leaves."""
    websocket = WebSocket(scope, receive, send)
    with suppress(RuntimeError):
        await websocket.receive_text()
    with suppress(RuntimeError):
        await websocket.send_text("early")
    await websocket.accept()
    with suppress(RuntimeError):
        await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
    with suppress(RuntimeError):
        await websocket.receive()
    with suppress(RuntimeError):
        await websocket.close()
    await WebSocket(scope, receive, send).receive_text()


async def denies(scope: Any, receive: Any, send: Any) -> None:
    """Refuses by a response of its own."""
    del scope
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def is_slow(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer than the handshake may."""
    await receive()
    await asyncio.sleep(2)
    await send(ACCEPT)
    acceptfirst.ready(scope)
    await echo_on(receive, send)
    await asyncio.sleep(7)  # longer than a closed connection's last transition is kept back


async def reads_in_a_task(scope: Any, receive: Any, send: Any) -> None:
    """Reads in a task of its own from accept on, and gets ready meanwhile; messages must come long before the end."""
    await receive()
    await send(ACCEPT)
    reader = asyncio.create_task(echo_thrice(receive, send))
    await asyncio.sleep(0.05)
    acceptfirst.ready(scope)
    await reader
    await receive()


async def is_never_ready(scope: Any, receive: Any, send: Any) -> None:
    """Reads in tasks, of which one is cancelled, and never says that it is ready."""
    del scope
    await receive()
    await send(ACCEPT)
    gone = asyncio.create_task(receive())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.create_task(echo_thrice(receive, send))
    await receive()


async def echo_thrice(receive: Any, send: Any) -> None:
    """Answers three messages, which come soon."""
    async with asyncio.timeout(5):
        for _ in range(3):
            await receive()
            await send(ANSWER)


async def is_cancelled(scope: Any, receive: Any, send: Any) -> None:
    """Is cancelled in a receive."""
    del scope
    await receive()
    await send(ACCEPT)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await receive()
    asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)  # type: ignore[union-attr] # there is one
    await receive()


class Foreign(trace.TracerProvider):
    """A provider that is not the SDK's."""

    def __init__(self) -> None:
        self._own = TracerProvider(shutdown_on_exit=False)

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:
        """A tracer."""
        return self._own.get_tracer(*arguments, **options)


class Instruments:
    """A meter provider whose instruments take everything."""

    def get_meter(self, *_: Any) -> Any:
        """A meter."""
        return self

    create_counter = create_histogram = create_up_down_counter = get_meter

    def add(self, *_: Any) -> None:
        """Take it."""

    record = add


class Route(NamedTuple):
    """What a framework leaves in the scope."""

    path: str


async def yes(_: Any) -> bool:
    """A readiness check."""
    return True


@dataclass
class Case:
    """One connection: how it is instrumented, what runs, what comes.

    Attributes:
        options: of the middleware; calls, since each run has a middleware of its own.
        app: the application.
        incoming: messages, and pauses in seconds.
        refuse: what the server's send raises, by message type.
    """

    options: Callable[[], dict[str, Any]]
    app: Any
    incoming: list[Any]
    refuse: dict[str, BaseException] = field(default_factory=dict)


def policy(**values: Any) -> Policy:
    """A policy with these values."""
    return Policy(environment="testing", **values)


def observed() -> dict[str, Any]:
    """Spans and metrics are taken."""
    return {"tracer_provider": TracerProvider(shutdown_on_exit=False), "meter_provider": Instruments()}


EVENT: Final = policy(readiness_mode="event", handshake_timeout_ms=500.0)
HOLD: Final = policy(readiness_mode="event", gate="hold", handshake_timeout_ms=500.0)
TALK: Final = [CONNECT, MESSAGE, 0.1, MESSAGE, 0.1, MESSAGE, DISCONNECT]
LISTENS: Final = [CONNECT, 0.01, *TALK[1:-1], 20, DISCONNECT]
CASES: Final = {
    "healthy": Case(observed, echo, TALK),
    "not drawn": Case(lambda: {**observed(), "policy": policy(sample_rate=0.0)}, misbehaves, TALK),
    "foreign provider": Case(lambda: {"tracer_provider": Foreign()}, misbehaves, TALK),
    "gets ready": Case(lambda: {**observed(), "policy": EVENT}, gets_ready, TALK),
    "misbehaves": Case(observed, misbehaves, TALK, {"websocket.send": OSError("gone")}),
    "guards": Case(observed, is_refused_by_starlette, TALK),
    "denies": Case(observed, denies, TALK),
    "slow": Case(observed, is_slow, TALK),
    "hold": Case(lambda: {**observed(), "policy": HOLD}, reads_in_a_task, LISTENS),
    "hold until time is up": Case(lambda: {**observed(), "policy": HOLD}, is_never_ready, LISTENS),
    "blind": Case(lambda: {**observed(), "readiness": "blind"}, reads_in_a_task, LISTENS),
    "polled": Case(lambda: {**observed(), "readiness": yes}, echo, TALK),
    "route": Case(lambda: {**observed(), "policy": policy(routes={"/r": EVENT})}, gets_ready, TALK),
    "coordinates": Case(observed, coordinates, TALK),
    "cancelled": Case(observed, is_cancelled, [CONNECT]),
}


# -- making ours raise -------------------------------------------------------------------------------------------------


class Planted(Exception):  # noqa: N818 - it is not an error of anybody's
    """What the exchanged code raises."""

    raised = 0

    def __init__(self) -> None:
        super().__init__("planted")
        Planted.raised += 1


def _raises(*_: Any, **__: Any) -> None:
    raise "placeholder"  # type: ignore[misc] # noqa: B016 - the constant is replaced by what is to be raised


async def _raises_when_awaited(*_: Any, **__: Any) -> None:
    raise "placeholder"  # type: ignore[misc] # noqa: B016 - as above


def raising(code: types.CodeType, error: type[BaseException]) -> types.CodeType:
    """Code that fits in the place of ``code`` and raises."""
    source = _raises_when_awaited if code.co_flags & inspect.CO_COROUTINE else _raises
    constants = tuple(error if constant == "placeholder" else constant for constant in source.__code__.co_consts)
    return source.__code__.replace(co_consts=constants, co_freevars=code.co_freevars)


@contextmanager
def made_to_raise(function: types.FunctionType, error: type[BaseException] = Planted) -> Iterator[None]:
    """Within, the function raises."""
    own = function.__code__
    function.__code__ = raising(own, error)
    try:
        yield
    finally:
        function.__code__ = own


def modules() -> list[str]:
    """All of ours."""
    names = [module.name for module in pkgutil.walk_packages(acceptfirst.__path__, "acceptfirst.")]
    return sorted(name for name in names if name != "acceptfirst.fastapi")  # which needs the real FastAPI around it


def _plain(value: Any) -> list[Any]:
    if isinstance(value, property):
        return [value.fget]
    return [inspect.unwrap(getattr(value, "__func__", value))]


def functions_of(name: str) -> list[types.FunctionType]:
    """The functions and methods that a module defines."""
    module = importlib.import_module(name)
    values = list(vars(module).values())
    for cls in [value for value in values if inspect.isclass(value) and value.__module__ == name]:
        values += vars(cls).values()
    plain = [function for value in values for function in _plain(value) if isinstance(function, types.FunctionType)]
    own = {id(f): f for f in plain if f.__module__ == name and f.__code__.co_filename == module.__file__}
    apart = {*THE_WAY_ITSELF, *nets_of(module)}
    return [f for f in own.values() if f.__qualname__ not in apart and not inspect.isgeneratorfunction(f)]


def nets_of(module: types.ModuleType) -> set[str]:
    """The functions that are guarded from the first line to the last, without a decorator: nothing is left to fail."""
    source = ast.parse(inspect.getsource(module))
    bodies = {"": source.body, **{f"{node.name}.": node.body for node in source.body if isinstance(node, ast.ClassDef)}}
    return {
        prefix + node.name
        for prefix, body in bodies.items()
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_a_net(node)
    }


def is_a_net(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether all of a function, its docstring apart, is one ``try`` that keeps ``Exception`` for itself."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    whole = body[0] if len(body) == 1 else None
    if not isinstance(whole, ast.Try) or whole.finalbody or len(whole.handlers) != 1:
        return False
    handler = whole.handlers[0]
    caught = handler.type.id if isinstance(handler.type, ast.Name) else ""
    return caught == "Exception" and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


# -- running -----------------------------------------------------------------------------------------------------------


async def live(server: Any, case: Case, app: Any) -> tuple[Any, ...]:
    """One connection; gives all that the server and the application saw."""
    seen: list[Any] = []
    scope = {"type": "websocket", "path": "/", "headers": [], "route": Route("/r")}
    one = server(case.incoming, refuse=case.refuse, scope=scope)

    async def receive() -> Any:
        message = await one.receive()
        seen.append(("received", message))
        return message

    task = asyncio.create_task(app(scope, receive, one.send))
    await asyncio.wait({task}, timeout=PATIENCE_S)
    if not task.done():
        return ("it hangs", seen, one.sent)
    error = None if task.cancelled() else task.exception()
    await asyncio.sleep(PATIENCE_S)  # for what comes later
    return (task.cancelled(), type(error), str(error), seen, one.sent, dict(one.scope) == scope)


@pytest.fixture
def run(jumping_loop: Any, server: Any) -> Iterator[Any]:
    """Runs all cases with ``wrap`` around their applications; gives what was seen, by case."""

    def runner(wrap: Callable[[str, Case], Any]) -> dict[str, tuple[Any, ...]]:
        seen = {}
        for name, case in CASES.items():
            with asyncio.Runner(loop_factory=jumping_loop) as loop:
                loop.get_loop().set_exception_handler(lambda *_: None)
                seen[name] = loop.run(live(server, case, wrap(name, case)))
        return seen

    yield runner
    for outlet in list(lifetime._outlets):  # or it would tell at exit what a failing function kept back
        outlet.forget()


@pytest.fixture
def bare(run: Any) -> dict[str, tuple[Any, ...]]:
    """What is seen without us."""
    return dict(run(lambda _, case: case.app))


def instrumented() -> Any:
    """All middlewares, made before anything raises: what is wrong at the start may be said at the start."""
    made = {name: AcceptFirstMiddleware(case.app, **case.options()) for name, case in CASES.items()}
    return lambda name, _: made[name]


def test_cases_are_the_same_with_us_when_nothing_fails(run: Any, bare: Any) -> None:
    """The cases themselves are sound: there is no failure of ours, and nobody hangs."""
    assert run(instrumented()) == bare
    assert [name for name, seen in bare.items() if seen[0] == "it hangs"] == []


def difference(name: str, seen: tuple[Any, ...], bare: tuple[Any, ...]) -> str:
    """The first thing in which a run is not like the bare one."""
    return next(
        (f"{name}: {ours!r} instead of {theirs!r}" for ours, theirs in zip(seen, bare, strict=False) if ours != theirs),
        "",
    )


@pytest.mark.parametrize("module", modules())
def test_failing_function_of_ours_changes_nothing_for_the_application(
    run: Any, bare: Any, module: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the application receives, what is sent and how it ends are equal, and the failure is told once."""
    broken: dict[str, str] = {}
    for function in functions_of(module):
        caplog.clear()
        failsafe.failures.clear()
        Planted.raised = 0
        wrap = instrumented()
        with made_to_raise(function):
            seen = run(wrap)
        told = [record for record in caplog.records if record.msg.startswith("acceptfirst failed in")]
        different = [name for name in CASES if seen[name] != bare[name]]
        is_asked_for = function.__qualname__ in ASKED_FOR
        if is_asked_for:
            different = [name for name in different if name != "coordinates"]
        if different:
            broken[function.__qualname__] = "; ".join(difference(name, seen[name], bare[name]) for name in different)
        elif Planted.raised and not failsafe.failures and not is_asked_for:
            broken[function.__qualname__] = f"raised {Planted.raised} times and was not counted"
        elif len(told) != len(failsafe.failures):
            broken[function.__qualname__] = f"{dict(failsafe.failures)} told {[r.getMessage() for r in told]}"
    failsafe.failures.clear()
    assert not broken, "\n".join(f"{function}: {how}" for function, how in broken.items())


def test_cases_reach_all_of_what_a_connection_runs(run: Any) -> None:
    """The test above would be true of cases that go nowhere; each method that they don't reach has its reason."""
    root = str(Path(acceptfirst.__file__).parent)
    reached = set()

    def note(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(root):
            reached.add(frame.f_code.co_qualname)

    wrap = instrumented()
    sys.setprofile(note)
    try:
        run(wrap)
    finally:
        sys.setprofile(None)
    here = (connection.Connection, wire.Wire, gate.HoldGate)
    methods = {f.__qualname__ for cls in here for f in functions_of(cls.__module__) if "." in f.__qualname__}
    assert methods - reached == NOT_REACHED.keys()
