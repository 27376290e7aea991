"""The four ways to tell that a connection is ready, in an application that does not wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import acceptfirst
from acceptfirst import Policy

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
MESSAGE = {"type": "websocket.receive", "text": "hi"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def app_ready_after(setup_s: float) -> Any:
    """An application that reads at once and gets ready ``setup_s`` after accept, in a task of its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def set_up() -> None:
            with acceptfirst.phase(scope, "auth"):
                await asyncio.sleep(setup_s)
            acceptfirst.ready(scope)

        setting_up = asyncio.create_task(set_up())
        while (await receive())["type"] == "websocket.receive":
            pass
        await setting_up

    return app


def observed(app: Any, spans: Any, **options: Any) -> Any:
    """The application with the middleware around it."""
    return acceptfirst.instrument(app, environment="testing", tracer_provider=spans.provider, **options)


def test_message_before_ready_is_a_violation_in_event_mode(server: Any, spans: Any) -> None:
    """The application was still authenticating when it got the message."""
    app = observed(app_ready_after(0.03), spans, readiness="event")
    asyncio.run(server([CONNECT, MESSAGE, 0.05, DISCONNECT]).run(app))

    assert spans.violations() == ["early_message_before_ready"]
    assert spans.last()["acceptfirst.messages.early"] == 1


def test_message_after_ready_is_none_in_event_mode(server: Any, spans: Any) -> None:
    """The same application is fine when the client is slower."""
    app = observed(app_ready_after(0.01), spans, readiness="event")
    asyncio.run(server([CONNECT, 0.04, MESSAGE, DISCONNECT]).run(app))

    assert spans.violations() == []
    assert spans.last()["acceptfirst.signature"] == "CAPGRDZ"


def test_ready_before_accept_is_remembered(server: Any, spans: Any) -> None:
    """READY follows accept at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        acceptfirst.ready(scope)
        await send(ACCEPT)
        await receive()

    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(app, spans, readiness="event")))
    assert spans.last()["acceptfirst.signature"] == "CAGDZ"


def test_blind_mode_calls_the_end_of_the_delay_ready(server: Any, spans: Any) -> None:
    """Nobody tells, so the policy's delay stands in for it."""
    policy = Policy(environment="testing", readiness_mode="blind", delay_ladder_ms=(20.0,))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()

    asyncio.run(server([CONNECT, 0.06, DISCONNECT]).run(observed(app, spans, policy=policy)))
    ready = spans.named("websocket.transition")[2]
    assert ready.end_time - ready.start_time >= 20_000_000
    assert ready.attributes["acceptfirst.delay.applied_ms"] == 20.0


def test_blind_delay_that_was_too_short_is_found_out_by_the_shadow_ready(server: Any, spans: Any) -> None:
    """The delay was over, a message was handled, and only then was the application ready."""
    policy = Policy(environment="testing", readiness_mode="blind", delay_ladder_ms=(5.0,))
    app = observed(app_ready_after(0.05), spans, policy=policy)
    asyncio.run(server([CONNECT, 0.02, MESSAGE, 0.06, DISCONNECT]).run(app))

    assert spans.violations() == ["early_message_before_ready"]
    assert spans.last()["acceptfirst.phase.ready.duration_ms"] >= 50


def test_blind_mode_never_makes_the_application_wait(server: Any, spans: Any) -> None:
    """In observe a message that comes within the delay is handed over at once; it only counts."""
    policy = Policy(environment="testing", readiness_mode="blind", delay_ladder_ms=(200.0,))
    took: list[float] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        started = asyncio.get_running_loop().time()
        await receive()
        took.append(asyncio.get_running_loop().time() - started)

    asyncio.run(server([CONNECT, MESSAGE]).run(observed(app, spans, policy=policy)))
    assert took[0] < 0.2
    assert spans.violations() == ["early_message_before_ready"]


def test_polled_mode_is_ready_when_the_check_says_so(server: Any, spans: Any) -> None:
    """A check that says yes the third time makes the connection ready the third time."""
    answers = iter([False, False, True])
    asked: list[Any] = []

    async def check(scope: Any) -> bool:
        asked.append(scope["path"])
        return next(answers)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await receive()

    asyncio.run(server([CONNECT, 0.1, DISCONNECT]).run(observed(app, spans, readiness=check)))
    assert asked == ["/ws"] * 3
    assert spans.last()["acceptfirst.signature"] == "CAGDZ"


@pytest.mark.parametrize("call", [acceptfirst.ready, acceptfirst.explain])
def test_calls_do_nothing_outside_an_instrumented_connection(call: Any) -> None:
    """Code that uses them runs the same without us."""
    assert not call({"type": "websocket"})


def test_phase_outside_an_instrumented_connection_lets_the_exception_through() -> None:
    """The context manager is transparent."""
    with pytest.raises(KeyError), acceptfirst.phase({}, "auth"):
        raise KeyError("x")


def test_identified_user_is_hashed_and_never_named(server: Any, spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans carry a keyed hash, the same for the same user."""
    monkeypatch.setenv("ACCEPTFIRST_HASH_KEY", "k")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        acceptfirst.identify(scope, "ada@example.org")

    for _ in range(2):
        asyncio.run(server([]).run(observed(app, spans)))
    hashes = {str(span.attributes["acceptfirst.user.hash"]) for span in spans.named("websocket.transition")}
    assert len(hashes) == 1
    assert "ada" not in hashes.pop()
