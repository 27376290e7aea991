"""Dependencies on a real Redis and a real Postgres that go away and come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no stubs
import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import acceptfirst

QUICK: dict[str, Any] = {"deadline_ms": 500, "interval_ms": 20}


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that supports lifespan and does nothing else."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def watched(dependency: acceptfirst.Dependency, provider: Any) -> AsyncIterator[Any]:
    """An instrumented application between its start-up and its shutdown."""
    app: Any = acceptfirst.instrument(nothing, dependencies=[dependency], tracer_provider=provider)
    started, ends = asyncio.Event(), asyncio.Event()
    events = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, Any]:
        for event in events:
            return event
        await ends.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        started.set()

    running = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await started.wait()
    try:
        yield app
    finally:
        ends.set()
        await running


def is_up(app: Any) -> bool | None:
    """What is known of the one dependency."""
    return acceptfirst.dependencies(app)[0].is_up


async def goes_and_comes_back(dependency: Any, server: Any, exported: Any, eventually: Any) -> list[bool | None]:
    """Up, killed, down, started again, up."""
    seen: list[bool | None] = []
    async with watched(dependency, exported.provider) as app:
        await eventually(lambda: is_up(app) is True)
        seen.append(is_up(app))
        server.kill()
        await eventually(lambda: is_up(app) is False)
        seen.append(is_up(app))
        await asyncio.to_thread(server.start)
        await eventually(lambda: is_up(app) is True)
        seen.append(is_up(app))
    return seen


@pytest.mark.parametrize("given", ["client", "callable", "url"])
def test_redis_is_seen_to_go_and_to_come_back(redis_server: Any, exported: Any, eventually: Any, given: str) -> None:
    """By the application's own client, by one that is made later, or by URL."""

    async def main() -> list[bool | None]:
        url = f"redis://127.0.0.1:{redis_server.port}/0"
        async with redis.asyncio.Redis.from_url(url) as client:
            source: Any = {"client": client, "callable": lambda: client, "url": url}[given]
            dependency = acceptfirst.redis_dependency(source, **QUICK)
            return await goes_and_comes_back(dependency, redis_server, exported, eventually)

    assert asyncio.run(main()) == [True, False, True]


@pytest.mark.parametrize("given", ["pool", "callable"])
def test_postgres_is_seen_to_go_and_to_come_back(
    postgres_server: Any, exported: Any, eventually: Any, given: str
) -> None:
    """By a pool of asyncpg's."""

    async def main() -> list[bool | None]:
        dsn = f"postgresql://tester@127.0.0.1:{postgres_server.port}/postgres"
        pool: Any = await asyncpg.create_pool(dsn, min_size=1, max_size=2)
        try:
            source = {"pool": pool, "callable": lambda: pool}[given]
            dependency = acceptfirst.postgres_dependency(source, **QUICK)
            return await goes_and_comes_back(dependency, postgres_server, exported, eventually)
        finally:
            pool.terminate()

    assert asyncio.run(main()) == [True, False, True]


def test_redis_that_hangs_is_down_when_the_deadline_is_over(redis_server: Any, exported: Any, eventually: Any) -> None:
    """Its connections stay open and nothing answers; it is asked on, and is up when it answers again."""

    async def main() -> list[bool | None]:
        async with redis.asyncio.Redis(port=redis_server.port) as client:
            dependency = acceptfirst.redis_dependency(client, deadline_ms=50, interval_ms=20)
            async with watched(dependency, exported.provider) as app:
                await eventually(lambda: is_up(app) is True)
                redis_server.freeze()
                await eventually(lambda: is_up(app) is False)
                redis_server.thaw()
                await eventually(lambda: is_up(app) is True)
                return [is_up(app)]

    assert asyncio.run(main()) == [True]
    outcomes = [a["acceptfirst.dependency.outcome"] for a in exported.attributes("acceptfirst.dependency.check")]
    assert (outcomes[0], set(outcomes[1:-1]), outcomes[-1]) == ("up", {"timed_out"}, "up")


def test_spans_are_of_changes_and_failures_and_tell_no_address(
    redis_server: Any, exported: Any, eventually: Any
) -> None:
    """Of all successful checks only those that changed something; never the text of an exception."""

    async def main() -> None:
        async with redis.asyncio.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0)) as client:
            dependency = acceptfirst.redis_dependency(client, **QUICK)
            await goes_and_comes_back(dependency, redis_server, exported, eventually)

    asyncio.run(main())
    spans = exported.attributes("acceptfirst.dependency.check")
    successes = [a["acceptfirst.dependency.changed"] for a in spans if a["acceptfirst.dependency.outcome"] == "up"]
    errors = {a["error.type"] for a in spans if a["acceptfirst.dependency.outcome"] == "failed"}
    assert (successes, errors) == ([True, True], {"ConnectionError"})
    assert str(redis_server.port) not in str(spans)
