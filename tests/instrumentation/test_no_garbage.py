"""A thousand connections leave nothing of ours behind, though no garbage collector runs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
from opentelemetry.sdk.trace import TracerProvider

import acceptfirst
from acceptfirst import AcceptFirstMiddleware, Policy, failsafe
from acceptfirst.deadlines import LANES_MAX
from acceptfirst.detector import PATTERNS_KEPT_MAX

CONNECTIONS: Final = 1000
BOUNDED: Final = {"Lane": LANES_MAX, "RaceConditionPattern": PATTERNS_KEPT_MAX}
"""What is kept on purpose, up to so many."""
INCOMING: Final = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "a"},
    {"type": "websocket.receive", "text": "b"},
    {"type": "websocket.disconnect", "code": 1001},
]


async def healthy(scope: Any, receive: Any, send: Any) -> None:
    """A phase, ready, an answer to each message."""
    await receive()
    with acceptfirst.phase(scope, "auth", receives=True):
        await send({"type": "websocket.accept"})
    acceptfirst.ready(scope)
    acceptfirst.identify(scope, "user")
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": "x"})


async def fails(scope: Any, receive: Any, send: Any) -> None:
    """Two violations, and an exception."""
    del scope
    await receive()
    with suppress(OSError):
        await send({"type": "websocket.send", "text": "early"})
    await send({"type": "websocket.accept"})
    await receive()
    await send({"type": "websocket.close"})
    with suppress(OSError):
        await send({"type": "websocket.close"})
    raise ConnectionError("redis is away")


async def is_cancelled(scope: Any, receive: Any, send: Any) -> None:
    """Reads in a task, and cancels it."""
    del scope
    await receive()
    await send({"type": "websocket.accept"})
    reader = asyncio.create_task(receive())
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait({reader})


async def fails_at_first(scope: Any) -> bool:
    """A readiness check that fails once for each connection."""
    if scope.setdefault("asked", False):
        return True
    scope["asked"] = True
    raise ConnectionError("not yet")


HOLD: Final = Policy(environment="testing", readiness_mode="event", gate="hold", handshake_timeout_ms=60_000.0)
MODES: Final[dict[str, dict[str, Any]]] = {
    "auto": {},
    "event": {"readiness": "event"},
    "blind": {"readiness": "blind"},
    "polled": {"readiness": fails_at_first},
    "hold": {"policy": HOLD},
}


def ours() -> Counter[str]:
    """Objects of our classes that are alive, by class."""
    types = [type(each) for each in gc.get_objects()]
    # As text: a class that is a metaclass too may have a descriptor there.
    return Counter(cls.__qualname__ for cls in types if str(cls.__module__).partition(".")[0] == "acceptfirst")


@contextmanager
def without_the_collector() -> Iterator[None]:
    """Only reference counts let go."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("app", [healthy, fails, is_cancelled])
def test_thousand_connections_leave_nothing_of_ours_behind(server: Any, jumping_loop: Any, app: Any, mode: str) -> None:
    """As many objects of each class as after the first few, which make what is made once."""
    wrapped = AcceptFirstMiddleware(app, tracer_provider=TracerProvider(shutdown_on_exit=False), **MODES[mode])

    async def live(connections: int) -> None:
        for _ in range(connections):
            with suppress(ConnectionError):
                one = server(INCOMING)
                await wrapped(one.scope, one.receive, one.send)
        await asyncio.sleep(60)  # for deadlines and sweeps

    with without_the_collector(), asyncio.Runner(loop_factory=jumping_loop) as loop:
        loop.run(live(5))
        before = ours()
        loop.run(live(CONNECTIONS))
        left = ours() - before

    failsafe.failures.pop("readiness check", None)
    assert {name: count for name, count in left.items() if count > BOUNDED.get(name, 0)} == {}
