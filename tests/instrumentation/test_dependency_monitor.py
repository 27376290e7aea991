"""The monitor asks in the background, on each event loop, from the start-up to the shutdown."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Self

import httpx
import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import acceptfirst
from acceptfirst import Dependency
from acceptfirst.readiness.monitor import DependencyMonitor


async def up() -> bool:
    """A check that says yes."""
    return True


async def until(is_true: Callable[[], object]) -> None:
    """Wait on the loop until something is true."""
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application between its start-up and its shutdown, as a server runs it."""
    started, ends = asyncio.Event(), asyncio.Event()
    events = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, Any]:
        for event in events:
            return event
        await ends.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        started.set()

    lifespan = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await started.wait()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client
    ends.set()
    await lifespan


def monitor(*dependencies: Dependency) -> DependencyMonitor:
    """One that reports to nobody."""
    return DependencyMonitor(dependencies, lambda _: None)


def test_lifespan_begins_when_every_dependency_has_answered_where_the_gate_rejects() -> None:
    """The server opens its port knowing what is down."""
    order: list[str] = []

    async def slow() -> bool:
        await asyncio.sleep(0.03)
        order.append("answer")
        return True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def send(message: Any) -> None:
        order.append(message["type"])

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    watched: Any = acceptfirst.instrument(app, dependencies=[Dependency("slow", slow)], when_unready="reject")
    asyncio.run(watched({"type": "lifespan"}, receive, send))
    assert order == ["answer", "lifespan.startup.complete"]


def test_lifespan_waits_for_nothing_where_the_gate_observes() -> None:
    """A check that hangs is nobody's delay."""
    order: list[str] = []

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    async def send(message: Any) -> None:
        order.append(message["type"])

    async def main() -> None:
        watched: Any = acceptfirst.instrument(app, dependencies=[Dependency("x", hang, deadline_ms=3_600_000)])
        async with asyncio.timeout(5):
            await watched({"type": "lifespan"}, send, send)

    asyncio.run(main())
    assert order == ["lifespan.startup.complete"]


def test_checks_end_before_the_application_shuts_down() -> None:
    """An application that closes its clients in its shutdown is not asked for them any more."""
    state = {"closed": False, "asked_too_late": False}

    async def check() -> bool:
        state["asked_too_late"] |= state["closed"]
        return True

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        state["closed"] = True
        await asyncio.sleep(0.03)

    app = Starlette(lifespan=lifespan)
    acceptfirst.instrument(app, dependencies=[Dependency("x", check, interval_ms=1)], when_unready="reject")

    async def main() -> None:
        async with running(app):
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert state == {"closed": True, "asked_too_late": False}


def test_no_task_is_left_after_the_shutdown() -> None:
    """Neither of the checks nor of the monitor."""

    async def main() -> set[str]:
        watch = monitor(Dependency("x", up), Dependency("y", asyncio.Event().wait))
        watch.start()
        await asyncio.sleep(0.01)
        await watch.stop()
        await asyncio.sleep(0)
        return {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}  # type: ignore[union-attr]  # there is one

    assert asyncio.run(main()) == set()


def test_each_event_loop_has_a_watch_of_its_own() -> None:
    """After a fork, or in another thread, clients of the old loop are of no use; the old loop's watch is let go."""
    loops: list[Any] = []

    async def check() -> bool:
        loops.append(asyncio.get_running_loop())
        return True

    watch = monitor(Dependency("x", check))

    async def main() -> None:
        watch.start()
        await until(lambda: watch.statuses()[0].is_up)

    asyncio.run(main())
    asyncio.run(main())
    assert (len(set(loops)), len(watch._watches)) == (2, 1)


def test_watch_whose_tasks_were_cancelled_is_begun_anew() -> None:
    """Somebody who cancels all tasks of a loop does not freeze what is known."""

    async def main() -> list[bool | None]:
        watch = monitor(Dependency("x", up))
        watch.start()
        await until(lambda: watch.statuses()[0].is_up)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)
        seen = [watch.statuses()[0].is_up]
        watch.start()
        await until(lambda: watch.statuses()[0].is_up)
        return [*seen, watch.statuses()[0].is_up]

    assert asyncio.run(main()) == [None, True]


def test_dependency_that_is_down_is_asked_less_and_less_often() -> None:
    """1, 2, 4 … intervals; an answer sets it back."""
    asked: list[float] = []

    async def check() -> bool:
        asked.append(asyncio.get_running_loop().time())
        return False

    async def main() -> None:
        monitor(Dependency("x", check, interval_ms=10)).start()
        await until(lambda: len(asked) == 4)

    asyncio.run(main())
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[0] >= 0.009
    assert waits[1] >= 0.019
    assert waits[2] >= 0.039


def test_checks_run_outside_any_trace_and_uninstrumented() -> None:
    """A poll every second must not become a span every second of an instrumented client."""
    enabled: list[bool] = []

    async def check() -> bool:
        enabled.append(is_instrumentation_enabled())
        return True

    async def main() -> None:
        monitor(Dependency("x", check)).start()
        await until(lambda: enabled)

    asyncio.run(main())
    assert enabled == [False]


@pytest.mark.parametrize("answer", [None, False, 0])
def test_answer_that_is_not_true_is_a_no(answer: object) -> None:
    """Also the None of a check that forgot to return anything."""

    async def check() -> object:
        return answer

    async def main() -> bool | None:
        watch = monitor(Dependency("x", check))
        watch.start()
        await until(lambda: watch.statuses()[0].is_up is not None)
        return watch.statuses()[0].is_up

    assert asyncio.run(main()) is False


def readyz(request: Request) -> JSONResponse:
    """A readiness endpoint of a user's, not async, hence called in a thread."""
    known = acceptfirst.dependencies(request)
    return JSONResponse({status.name: status.is_up for status in known})


@pytest.mark.parametrize("by_hand", [False, True])
def test_readiness_endpoint_reads_what_is_known(by_hand: bool) -> None:
    """From a request, also in a thread, whether ``instrument`` added the middleware or the user did."""
    app = Starlette(routes=[Route("/readyz", readyz)])
    options: dict[str, Any] = {"dependencies": [Dependency("db", up)], "when_unready": "reject"}
    if by_hand:
        app.add_middleware(acceptfirst.AcceptFirstMiddleware, **options)
    else:
        acceptfirst.instrument(app, **options)

    async def main() -> Any:
        async with running(app) as client:
            return (await client.get("/readyz")).json()

    assert asyncio.run(main()) == {"db": True}


def test_nothing_is_known_of_an_application_without_dependencies() -> None:
    """An empty answer, no error."""
    assert acceptfirst.dependencies(Starlette()) == ()
    assert acceptfirst.dependencies({"type": "http"}) == ()


class Context:
    """What a pool gives: an async context manager around a connection."""

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.asked.append("released")

    async def execute(self, statement: str) -> None:
        """Of psycopg."""
        self.asked.append(f"execute {statement}")

    async def exec_driver_sql(self, statement: str) -> None:
        """Of SQLAlchemy."""
        self.asked.append(f"exec_driver_sql {statement}")


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"getconn", "connection"}, ["execute select 1", "released"]),
        ({"sync_engine", "connect"}, ["exec_driver_sql select 1", "released"]),
        ({"execute", "connect", "connection"}, ["execute select 1"]),
    ],
)
def test_postgres_clients_are_told_apart(has: set[str], expected: list[str]) -> None:
    """A pool, an engine of SQLAlchemy's and a connection of psycopg's: shapes only, the libraries are not here."""
    asked: list[str] = []
    context = Context(asked)
    methods: dict[str, Any] = {name: lambda: context for name in has}
    if "execute" in has:
        methods["execute"] = context.execute
    client = types.SimpleNamespace(**methods)

    async def check() -> object:
        return await acceptfirst.postgres_dependency(client).check()

    assert (asyncio.run(check()), asked) == (True, expected)
