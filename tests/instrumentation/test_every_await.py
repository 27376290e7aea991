"""At each moment in which an application waits for its server it is cancelled, refused, left or thrown away.

Everything that happens to it, and everything that it and the server then see of one another, is the same with and
without us: messages, exceptions with their identity, cause, context and the frames that are not ours, cancellations and
what is left of them.
"""

from __future__ import annotations

import asyncio
import itertools
import traceback
import types
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, failsafe

OURS: Final = str(Path(acceptfirst.__file__).parent)
SUSPENSIONS: Final = 3
"""How often each receive and each send suspends."""
MOMENTS: Final = range(30)
"""More than those that are driven by hand have."""
PATIENCE_S: Final = 30.0
INCOMING: Final = ["connect", "receive", "receive", "disconnect"]
MODES: Final = ["auto", "event", "blind", "polled"]


@types.coroutine
def suspended() -> Generator[None, None, None]:
    """Give way once, to whoever drives."""
    yield


class Journal:
    """What could be seen, in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self.thrown: list[BaseException] = []

    def note(self, *entry: Any) -> None:
        """Write down."""
        self.entries.append(entry)

    def throwing(self, error: BaseException) -> BaseException:
        """An exception whose identity is to be known again."""
        self.thrown.append(error)
        return error

    def told(self, error: BaseException | None) -> Any:
        """All that can be compared of an exception, and of those behind it."""
        if error is None:
            return None
        known = [error is thrown for thrown in self.thrown]
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__) if OURS not in frame.filename]
        behind = (self.told(error.__cause__), self.told(error.__context__), error.__suppress_context__)
        arguments = [self.told(each) if isinstance(each, BaseException) else each for each in _flat(error.args)]
        return (type(error).__name__, arguments, known, frames, *behind)


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    """The arguments of an exception; those of a group hold a list of others."""
    for each in arguments:
        yield from each if isinstance(each, list) else [each]


@dataclass
class Server:
    """Delivers its messages; at one moment of its waiting it does what is to be done then."""

    journal: Journal
    moment: int
    act: Callable[[Server], None]
    moments: Any = field(default_factory=itertools.count)
    incoming: list[str] = field(default_factory=lambda: list(INCOMING))
    is_gone: bool = False

    async def receive(self) -> dict[str, Any]:
        """The next message; disconnects for ever where the client is gone."""
        await self._wait("receive")
        kind = self.incoming.pop(0) if self.incoming and not self.is_gone else "disconnect"
        return {"type": f"websocket.{kind}", "code": 1006, "text": "x"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take it, or refuse it where the client is gone."""
        await self._wait(f"send {message['type']}")
        if self.is_gone:
            raise self.journal.throwing(OSError(32, "the client is gone"))
        self.journal.note("sent", message["type"])

    async def _wait(self, what: str) -> None:
        try:
            for _ in range(SUSPENSIONS):
                if next(self.moments) == self.moment:
                    self.journal.note("now", what)
                    self.act(self)
                await suspended()
        except BaseException as error:
            self.journal.note("interrupted", what, self.journal.told(error))
            raise


# -- applications ------------------------------------------------------------------------------------------------------


@dataclass
class Life:
    """What an application has of its connection."""

    journal: Journal
    scope: Any
    asgi_receive: Any
    asgi_send: Any

    async def receive(self) -> str:
        """The type of the next message."""
        message = await self.asgi_receive()
        self.journal.note("received", message)
        return str(message["type"])

    async def send(self, kind: str) -> None:
        """Send a message of this type."""
        await self.asgi_send({"type": f"websocket.{kind}"})
        self.journal.note("send returned", kind)

    async def talk(self) -> None:
        """From connect to close."""
        await self.receive()
        await self.send("accept")
        acceptfirst.ready(self.scope)
        while await self.receive() == "websocket.receive":
            await self.send("send")
        await self.send("close")


async def plain(life: Life) -> None:
    """Handles nothing."""
    await life.talk()


async def tidies_up(life: Life) -> None:
    """Closes in any case, and answers with an error of its own."""
    try:
        await life.talk()
    except OSError as error:
        raise ValueError("could not talk") from error
    finally:
        await life.send("close")


async def is_stubborn(life: Life) -> None:
    """Goes on after a cancellation, and takes it back."""
    for _ in range(2):
        try:
            await life.talk()
        except asyncio.CancelledError as error:
            life.journal.note("swallowed", life.journal.told(error))
            if (task := asyncio.current_task()) is not None:
                task.uncancel()


async def has_tasks(life: Life) -> None:
    """Reads and writes at once."""
    await life.receive()
    await life.send("accept")
    async with asyncio.TaskGroup() as group:
        group.create_task(reads_on(life))
        group.create_task(life.send("send"))


async def reads_on(life: Life) -> None:
    """Until the end."""
    while await life.receive() == "websocket.receive":
        pass


async def is_shielded(life: Life) -> None:
    """Lets its last words be sent whatever happens to itself."""
    await life.receive()
    await asyncio.shield(life.send("accept"))
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await life.receive()
    await asyncio.shield(asyncio.ensure_future(life.send("close")))


async def uses_starlette(life: Life) -> None:
    """Through its WebSocket, whose methods are watched; closes twice, and receives after the end."""
    websocket = WebSocket(life.scope, life.asgi_receive, life.asgi_send)
    try:
        await websocket.accept()
        async for text in websocket.iter_text():
            life.journal.note("received", text)
            await websocket.send_text(text)
        with suppress(RuntimeError):
            await websocket.close()
    finally:
        await websocket.close()
        await websocket.receive_text()


async def is_a_starlette_application(life: Life) -> None:
    """With its routing, its middlewares and its handling of exceptions."""

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        life.journal.note("received", await websocket.receive_json())

    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    await app(life.scope, life.asgi_receive, life.asgi_send)


APPLICATIONS: Final = [
    plain,
    tidies_up,
    is_stubborn,
    has_tasks,
    is_shielded,
    uses_starlette,
    is_a_starlette_application,
]


# -- what happens ------------------------------------------------------------------------------------------------------


def cancel(server: Server) -> None:
    """The server shuts down: it cancels the application's task."""
    cast("asyncio.Task[Any]", server.task).cancel("the server shuts down")  # type: ignore[attr-defined] # set by ``live``


def cancel_twice(server: Server) -> None:
    """And again, in the next step."""
    cancel(server)
    asyncio.get_running_loop().call_soon(cancel, server)


def refuse(server: Server) -> None:
    """The server raises."""
    raise server.journal.throwing(RuntimeError("Unexpected ASGI message"))


def leave(server: Server) -> None:
    """The client vanishes: what is sent fails, what is received is a disconnect."""
    server.is_gone = True


EVENTS: Final = [cancel, cancel_twice, refuse, leave]


async def yes(_: Any) -> bool:
    """A readiness check."""
    return True


def wrapped(app: Any, mode: Any) -> Any:
    """The application with us around it."""
    policy = Policy(environment="testing", delay_ladder_ms=(0.0,))
    return AcceptFirstMiddleware(app, readiness=yes if mode == "polled" else mode, policy=policy)


def application(journal: Journal, live_: Any) -> Any:
    """An ASGI application that is lived like this."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await live_(Life(journal, scope, receive, send))
        except BaseException as error:
            journal.note("left by", journal.told(error))
            raise

    return app


async def live(server: Server, app: Any) -> None:
    """One connection in a task of its own."""
    scope = {"type": "websocket", "path": "/", "headers": []}
    task = asyncio.create_task(app(scope, server.receive, server.send))
    server.task = task  # type: ignore[attr-defined] # for whoever cancels it
    await asyncio.wait({task}, timeout=PATIENCE_S)
    note, told = server.journal.note, server.journal.told
    note("ended", task.done(), task.cancelled(), task.cancelling())
    if task.done():
        try:
            task.result()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be compared
            note("outcome", told(error))
    await asyncio.sleep(PATIENCE_S)


def lived(loop_factory: Any, live_: Any, moment: int, event: Any, mode: str | None) -> list[tuple[Any, ...]]:
    """All that could be seen; without us where there is no mode."""
    journal = Journal()
    app = application(journal, live_)
    with asyncio.Runner(loop_factory=loop_factory) as loop:
        loop.get_loop().set_exception_handler(lambda _, context: journal.note("loop", context["message"]))
        loop.run(live(Server(journal, moment, event), app if mode is None else wrapped(app, mode)))
    return journal.entries


@pytest.mark.parametrize("live_", APPLICATIONS)
@pytest.mark.parametrize("event", EVENTS)
def test_application_sees_the_same_when_it_is_interrupted_at_any_await(
    jumping_loop: Any, live_: Any, event: Any
) -> None:
    """At each suspension of each receive and each send, in every mode."""
    for moment in itertools.count():
        bare = lived(jumping_loop, live_, moment, event, None)
        for mode in MODES:
            assert (moment, mode, lived(jumping_loop, live_, moment, event, mode)) == (moment, mode, bare)
        if "now" not in {entry[0] for entry in bare}:  # it was over before this moment came
            break
    assert moment > 2 * SUSPENSIONS
    assert dict(failsafe.failures) == {}


# -- driven by hand ----------------------------------------------------------------------------------------------------

ENDS: Final[dict[str, Callable[[], BaseException]]] = {
    "interrupt": lambda: KeyboardInterrupt("ctrl-c"),
    "exit": lambda: SystemExit(3),
    "cancellation": lambda: asyncio.CancelledError("by hand"),
    "group": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("x")]),
}


def driven(live_: Any, moment: int, end: Callable[[], BaseException] | None, *, with_us: bool) -> list[tuple[Any, ...]]:
    """All that could be seen when whoever drives the coroutine ends it at this suspension; by ``close`` if by nothing.

    No event loop runs, as under trio.
    """
    journal = Journal()
    server = Server(journal, -1, leave)
    app = application(journal, live_)
    scope = {"type": "websocket", "path": "/", "headers": []}
    outermost: Any = AcceptFirstMiddleware(app) if with_us else app
    coroutine: Coroutine[Any, Any, None] = outermost(scope, server.receive, server.send)
    try:
        for _ in range(moment + 1):
            coroutine.send(None)
        if end is None:
            coroutine.close()
        else:
            coroutine.throw(journal.throwing(end()))
        journal.note("goes on")
        coroutine.close()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be compared
        journal.note("outcome", journal.told(error))
    return journal.entries


@pytest.mark.parametrize("live_", [plain, tidies_up])
@pytest.mark.parametrize("end", [*ENDS, "garbage"])
def test_application_sees_the_same_when_it_is_thrown_away_at_any_await(live_: Any, end: str) -> None:
    """An interrupt, an exit, a coroutine that nobody wants any more."""
    for moment in MOMENTS:
        bare = driven(live_, moment, ENDS.get(end), with_us=False)
        assert (moment, driven(live_, moment, ENDS.get(end), with_us=True)) == (moment, bare)
    assert dict(failsafe.failures) == {}


# -- the application raises in every place -----------------------------------------------------------------------------


class Untold(Exception):  # noqa: N818 - a name that shows what is odd about it
    """Can't be written as text."""

    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __str__


class Frozen(Exception):  # noqa: N818 - likewise
    """Takes no attribute but those of the interpreter."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class OddNotes(Exception):  # noqa: N818 - likewise
    """Its notes are no list."""

    @property
    def __notes__(self) -> Any:  # type: ignore[override] # as it is meant
        raise LookupError("no notes")

    def add_note(self, note: str) -> None:
        """Refuse it."""
        raise TypeError(note)


class OddClass(Exception):  # noqa: N818 - likewise
    """Says that it is another class."""

    @property  # type: ignore[misc] # what no type checker expects
    def __class__(self) -> Any:
        raise LookupError("no class")


ERRORS: Final[dict[str, Callable[[], BaseException]]] = {
    "plain": lambda: ValueError("x", 7),
    "no text": Untold,
    "frozen": lambda: Frozen("x"),
    "odd notes": lambda: OddNotes("x"),
    "odd class": lambda: OddClass("x"),
    "group": lambda: ExceptionGroup("several", [ValueError("x"), OSError(5)]),
    "cancelled": lambda: asyncio.CancelledError("by itself"),
    "timeout": lambda: TimeoutError(),  # noqa: PLW0108 - like the others
    "stop": lambda: StopAsyncIteration("over"),
}
ODD: Final = {"application_raised", "kind_of_error"}
PLACES: Final = range(8)


def raising(place: int, make: Callable[[], BaseException]) -> Any:
    """An application that talks, and raises before its step of this number."""

    async def app(life: Life) -> None:
        steps: list[Callable[[], Any]] = [
            life.receive,
            lambda: life.send("accept"),
            life.receive,
            lambda: life.send("send"),
            life.receive,
            lambda: life.send("close"),
            life.receive,
        ]
        for step in steps[:place]:
            await step()
            acceptfirst.ready(life.scope)
        raise life.journal.throwing(make())

    return app


@pytest.mark.parametrize("name", ERRORS)
def test_exception_of_the_application_leaves_it_as_it_is(jumping_loop: Any, name: str) -> None:
    """The same object with the same frames, whatever its class allows, from each place of its life in every mode."""
    for place in PLACES:
        app = raising(place, ERRORS[name])
        bare = lived(jumping_loop, app, -1, leave, None)
        assert bare[-1][0] == "outcome"
        for mode in MODES:
            assert (place, mode, lived(jumping_loop, app, -1, leave, mode)) == (place, mode, bare)
    assert set(failsafe.failures) <= ODD, "an odd exception may cost its note, and nothing else"
    failsafe.failures.clear()
