"""A connection on which nobody receives is found while it is open, and one on which somebody does never is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acceptfirst import AcceptFirstMiddleware
from acceptfirst.connection import SCOPE_KEY, Connection
from acceptfirst.open_connections import BATCH, OpenConnections
from acceptfirst.policy import Policy
from acceptfirst.unread import notable_unread_ms

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "x"}
MESSAGE = {"type": "websocket.receive", "text": "x"}
LEFT = {"type": "websocket.disconnect", "code": 1001}
PATIENCE_S = 10.0

Application = Callable[[Any, Any, Any], Awaitable[None]]


def age(connection: Connection, seconds: float) -> None:
    """Make everything that this connection has measured so much older."""
    connection.unread_since_monotonic_ns -= int(seconds * 1e9)
    connection.last_frame_monotonic_ns -= int(seconds * 1e9)


def watched(app: Application, spans: Any, every_s: float = 0.01, **options: Any) -> AcceptFirstMiddleware:
    """The application behind the middleware, looked at much more often than in life."""
    middleware = AcceptFirstMiddleware(app, tracer_provider=spans.provider, **options)
    middleware._telemetry.open_connections = OpenConnections(every_s)
    return middleware


async def until(claim: Callable[[], bool]) -> None:
    """Wait until something holds, with patience."""
    async with asyncio.timeout(PATIENCE_S):
        while not claim():  # noqa: ASYNC110 - what is waited for is an exported span, which sets no event
            await asyncio.sleep(0.005)


def test_send_only_handler_is_found_while_its_connection_is_open(spans: Any, server: Any) -> None:
    """An hour of quotes, and nobody listens for the client's leaving."""
    seen: list[str] = []

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send(TEXT)
        age(scope[SCOPE_KEY], 61)
        await until(lambda: bool(spans.violations()))
        seen.extend(spans.violations())

    asyncio.run(server([CONNECT]).run(watched(quotes, spans)))
    assert seen == ["zombie_half_open"] == spans.violations()
    (violation,) = spans.named("websocket.violation")
    assert violation.attributes["acceptfirst.unread_ms"] >= 61_000
    assert "for 61 s no receive was pending" in violation.attributes["acceptfirst.pattern.evidence"]
    assert spans.last()["acceptfirst.unread_ms"] >= 61_000


def test_send_only_handler_is_found_at_its_end_when_nobody_looked(spans: Any, server: Any) -> None:
    """No look came in between; the last transition tells the store the same."""

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        age(scope[SCOPE_KEY], 61)
        raise OSError("the client is gone")

    asyncio.run(server([CONNECT]).run(watched(quotes, spans, every_s=3600)))
    assert spans.violations() == ["zombie_half_open"]
    assert spans.last()["acceptfirst.unread_ms"] >= 61_000


def test_send_only_handler_is_not_taken_for_a_stalled_handshake(spans: Any, server: Any) -> None:
    """In mode auto the handshake timeout ends with accept: who never receives never becomes ready, and is not late."""

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.sleep(0.1)
        await send({"type": "websocket.close"})

    policy = Policy(environment="testing", handshake_timeout_ms=20)
    asyncio.run(server([CONNECT]).run(watched(quotes, spans, policy=policy)))
    assert spans.violations() == []
    assert spans.last()["acceptfirst.signature"] == "CAXZ"


def test_handler_that_stops_receiving_is_found_after_a_chat(spans: Any, server: Any) -> None:
    """On the short path of a chat only the counts tell that there were receives."""

    async def chat(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(10):
            await receive()
            await send(TEXT)
        age(scope[SCOPE_KEY], 61)
        await until(lambda: bool(spans.violations()))

    asyncio.run(server([CONNECT, *[MESSAGE] * 10]).run(watched(chat, spans)))
    assert spans.violations() == ["zombie_half_open"]


def test_handler_that_receives_is_never_found(spans: Any, server: Any) -> None:
    """A client that says nothing for an hour is listened to all the time."""

    async def listen(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        age(scope[SCOPE_KEY], 3600)
        await receive()

    asyncio.run(server([CONNECT, 0.1, LEFT]).run(watched(listen, spans)))
    assert spans.violations() == []
    assert "acceptfirst.unread_ms" not in spans.last()


def test_handler_that_receives_is_not_found_when_another_task_closes(spans: Any, server: Any) -> None:
    """The reader was waiting until the end."""

    async def kick(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        reader = asyncio.create_task(receive())
        await asyncio.sleep(0.01)
        age(scope[SCOPE_KEY], 3600)
        await send({"type": "websocket.close"})
        reader.cancel()

    asyncio.run(server([CONNECT]).run(watched(kick, spans, every_s=3600)))
    assert spans.violations() == []


def test_long_chat_is_not_taken_for_silence_at_its_end(spans: Any, server: Any) -> None:
    """The last receive that was timed is an hour old, the last one that was counted is not."""

    async def chat(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send(TEXT)
        await receive()
        scope[SCOPE_KEY].unread_since_monotonic_ns -= int(3600e9)
        await send({"type": "websocket.close"})

    asyncio.run(server([CONNECT, MESSAGE, MESSAGE]).run(watched(chat, spans, every_s=3600)))
    assert spans.violations() == []
    assert "acceptfirst.unread_ms" not in spans.last()


def test_receive_with_a_deadline_of_its_own_counts(spans: Any, server: Any) -> None:
    """Asking now and then is listening: a receive that was cancelled ends a silence too."""

    async def poll(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(3):
            age(scope[SCOPE_KEY], 40)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)
        await send({"type": "websocket.close"})

    asyncio.run(server([CONNECT]).run(watched(poll, spans, every_s=3600)))
    assert spans.violations() == []


def test_time_after_the_end_does_not_count(spans: Any, server: Any) -> None:
    """Who has seen the disconnect needs to listen no more."""

    async def linger(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        age(scope[SCOPE_KEY], 3600)
        await asyncio.sleep(0.05)

    asyncio.run(server([CONNECT, LEFT]).run(watched(linger, spans)))
    assert spans.violations() == []
    assert "acceptfirst.unread_ms" not in spans.last()


def test_users_pattern_may_ask_for_less_than_a_minute(spans: Any, server: Any, tmp_path: Path) -> None:
    """The look knows no threshold; the catalogue does. Real time, nothing made older."""
    own = tmp_path / "own.toml"
    own.write_text(
        'schema_version = 1\n[[pattern]]\nname = "deaf"\nseverity = "warning"\ntitle = "t"\ncause = "c"\n'
        'remedy = "r"\ndelay_helps = "useless"\nfixed_by = "code"\n[[pattern.match]]\nsignature = "A"\n'
        'conditions = [{ field = "unread_ms", minimum = 1000 }]\n'
    )

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await until(lambda: bool(spans.violations()))

    asyncio.run(server([CONNECT]).run(watched(quotes, spans, patterns=own)))
    assert spans.violations() == ["deaf"]


def test_less_than_a_second_is_not_told(spans: Any, server: Any) -> None:
    """Bytes on every span for what every application does would be waste."""
    told: list[float | None] = []

    async def work(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        told.append(notable_unread_ms(scope[SCOPE_KEY]))
        age(scope[SCOPE_KEY], 1)
        told.append(notable_unread_ms(scope[SCOPE_KEY]))
        await send({"type": "websocket.close"})

    asyncio.run(server([CONNECT]).run(watched(work, spans, every_s=3600)))
    assert told[0] is None
    assert told[1] is not None


def test_registry_is_empty_when_all_are_gone(spans: Any, server: Any) -> None:
    """However each of them ended."""
    counted: list[int] = []

    async def end(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.01)
        counted.append(len(middleware._telemetry.open_connections))
        if scope["path"] == "/raise":
            raise ValueError("no")
        await send(ACCEPT)

    middleware = watched(end, spans)

    async def several() -> None:
        scopes: list[dict[str, Any]] = [
            {"type": "websocket", "path": path, "headers": []} for path in ("/a", "/raise", "/b")
        ]
        await asyncio.gather(*(server([CONNECT], scope=scope).run(middleware) for scope in scopes))

    asyncio.run(several())
    assert max(counted) == 3
    assert len(middleware._telemetry.open_connections) == 0


def test_timer_stops_when_nothing_is_open(spans: Any, server: Any) -> None:
    """An idle application has no timer of ours."""

    async def end(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await until(lambda: len(middleware._telemetry.open_connections) > 0)

    middleware = watched(end, spans)

    async def one_and_wait() -> bool:
        await server([CONNECT]).run(middleware)
        current = middleware._telemetry.open_connections._current
        assert current is not None
        armed_first = current[1]._armed
        await until(lambda: not current[1]._armed)
        return armed_first

    assert asyncio.run(one_and_wait()) is True


def test_registry_begins_anew_on_another_loop(spans: Any, server: Any) -> None:
    """A thread or a forked process with a loop of its own gets a timer of its own."""

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        age(scope[SCOPE_KEY], 61)
        before = len(spans.violations())
        await until(lambda: len(spans.violations()) > before)

    middleware = watched(quotes, spans)
    for _ in range(2):
        asyncio.run(server([CONNECT]).run(middleware))
    assert spans.violations() == ["zombie_half_open"] * 2


def test_every_connection_is_looked_at_however_many_there_are(spans: Any, server: Any) -> None:
    """In batches, so that the event loop gets its turns."""
    many = BATCH + 7

    async def quotes(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        age(scope[SCOPE_KEY], 61)
        await until(lambda: len(spans.violations()) == many)

    middleware = watched(quotes, spans, every_s=0.3)

    async def all_of_them() -> None:
        await asyncio.gather(*(server([CONNECT]).run(middleware, patience_s=30) for _ in range(many)))

    asyncio.run(all_of_them())
    assert spans.violations() == ["zombie_half_open"] * many
