"""``gate="hold"`` in the corners: deadlines around the authentication, failing servers, tasks that are left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import acceptfirst
from acceptfirst import Policy

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def message(text: str) -> dict[str, Any]:
    """A client's message."""
    return {"type": "websocket.receive", "text": text}


@pytest.fixture
def hold(spans: Any) -> Any:
    """Puts an application behind a gate."""

    def behind_a_gate(app: Any, **settings: Any) -> Any:
        limits = {"handshake_timeout_ms": 5000, **settings}
        policy = Policy(environment="testing", readiness_mode="event", gate="hold", **limits)
        return acceptfirst.AcceptFirstMiddleware(app, policy=policy, tracer_provider=spans.provider)

    return behind_a_gate


@pytest.mark.parametrize("in_a_phase", [True, False])
def test_authentication_with_a_deadline_is_let_through_at_once(server: Any, hold: Any, in_a_phase: bool) -> None:
    """``asyncio.wait_for``, which before 3.12 receives in a task of its own, is the task that called it."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if in_a_phase:
            with acceptfirst.phase(scope, "auth", receives=True):
                got.append((await asyncio.wait_for(receive(), 1))["text"])
        else:
            got.append((await asyncio.wait_for(receive(), 1))["text"])
        acceptfirst.ready(scope)

    assert asyncio.run(server([CONNECT, message("token")]).run(hold(app))) is None
    assert got == ["token"]


def test_authentication_with_a_deadline_in_a_phase_is_no_early_message(server: Any, hold: Any, spans: Any) -> None:
    """The phase asked for it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        with acceptfirst.phase(scope, "auth", receives=True):
            await asyncio.wait_for(receive(), 1)
        acceptfirst.ready(scope)

    asyncio.run(server([CONNECT, message("token")]).run(hold(app)))
    assert spans.violations() == []


def test_second_receive_of_the_accepting_task_waits_for_ready(server: Any, hold: Any) -> None:
    """Only the first message is let through without a phase."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        order.append((await receive())["text"])

        def become_ready() -> None:
            order.append("ready")
            acceptfirst.ready(scope)

        asyncio.get_running_loop().call_later(0.03, become_ready)
        order.append((await receive())["text"])

    asyncio.run(server([CONNECT, message("token"), message("chat")]).run(hold(app)))
    assert order == ["token", "ready", "chat"]


def test_first_receive_that_gave_up_may_try_again(server: Any, hold: Any) -> None:
    """The privilege is spent with a message, not with an attempt."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        got.append((await receive())["text"])

    asyncio.run(server([CONNECT, 0.03, message("token")]).run(hold(app, handshake_timeout_ms=60_000), patience_s=3))
    assert got == ["token"]


def test_phase_inside_a_phase_leaves_the_outer_one_admitted(server: Any, hold: Any) -> None:
    """The end of the inner one is not the end of the outer one."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        with acceptfirst.phase(scope, "auth", receives=True):
            with acceptfirst.phase(scope, "second factor", receives=True):
                got.append((await receive())["text"])
            got.append((await receive())["text"])

    script = server([CONNECT, message("code"), message("token")])
    asyncio.run(script.run(hold(app, handshake_timeout_ms=60_000), patience_s=3))
    assert got == ["code", "token"]


def test_disconnect_is_noticed_after_the_only_place_was_emptied(server: Any, hold: Any) -> None:
    """With a buffer of one, the message in it goes to the phase, and the waiting reader learns that the client left."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.append((await receive())["type"])

        with acceptfirst.phase(scope, "set up"):
            reader = asyncio.create_task(read())
            await asyncio.sleep(0.01)  # the message is in the buffer now
        with acceptfirst.phase(scope, "auth", receives=True):
            got.append((await receive())["text"])
        await reader

    script = server([CONNECT, message("token"), DISCONNECT])
    asyncio.run(script.run(hold(app, gate_buffer=1, handshake_timeout_ms=60_000), patience_s=3))
    assert got == ["token", "websocket.disconnect"]


def test_receive_that_began_before_accept_gets_no_early_message(server: Any, hold: Any, spans: Any) -> None:
    """A task that watches for the client's leaving during the handshake is held like any other."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

        async def watch() -> None:
            order.append((await receive())["text"])

        watcher = asyncio.create_task(watch())
        await asyncio.sleep(0)
        await send(ACCEPT)
        await asyncio.sleep(0.02)
        order.append("ready")
        acceptfirst.ready(scope)
        await watcher

    asyncio.run(server([CONNECT, 0.01, message("chat")]).run(hold(app)))
    assert (order, spans.violations()) == (["ready", "chat"], [])


def test_cancelled_reader_leaves_the_others_waiting(server: Any, hold: Any) -> None:
    """One of three readers gives up; the other two get the messages."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.append((await receive())["text"])

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.sleep(0.01)
        readers[0].cancel()
        await asyncio.sleep(0)
        acceptfirst.ready(scope)
        await asyncio.gather(*readers[1:])

    asyncio.run(server([CONNECT, message("a"), message("b")]).run(hold(app)))
    assert got == ["a", "b"]


def test_failure_of_the_server_reaches_the_reader_behind_the_messages(server: Any, hold: Any) -> None:
    """What the server raises while the gate is shut is raised to whoever receives next, once the rest is read."""
    got: list[str] = []
    script = server([CONNECT, message("a")])
    deliver = script.receive

    async def receive_or_fail() -> Any:
        if script._position == 2:
            raise OSError("the transport broke")
        return await deliver()

    script.receive = receive_or_fail

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.append((await receive())["text"])
            await receive()

        await asyncio.create_task(read())

    error = asyncio.run(script.run(hold(app, handshake_timeout_ms=60_000), patience_s=3))
    assert (got, str(error)) == (["a"], "the transport broke")


def test_closed_application_gets_a_disconnect_however_often_it_asks(server: Any, hold: Any) -> None:
    """After 1013 nothing else comes, also not what the client had sent."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            got.extend([(await receive())["type"], (await receive())["type"]])

        await asyncio.create_task(read())

    script = server([CONNECT, message("a"), 0.05, message("b")])
    asyncio.run(script.run(hold(app, handshake_timeout_ms=20, gate_timeout_action="close")))
    assert got == ["websocket.disconnect"] * 2


def test_close_that_fails_is_nobodys_error(server: Any, hold: Any) -> None:
    """The client was gone when the gate wanted to close: the application's disconnect comes all the same."""
    got: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.create_task(asyncio.sleep(0.03))
        got.append((await receive())["type"])

    script = server([CONNECT], refuse={"websocket.close": OSError("gone")})
    error = asyncio.run(script.run(hold(app, handshake_timeout_ms=10, gate_timeout_action="close")))
    assert (got, error) == (["websocket.disconnect"], None)


def test_task_left_behind_goes_on_receiving_from_the_server(server: Any, hold: Any) -> None:
    """A reader that outlives the application is not cancelled by us; it asks the server, as it would without a gate."""
    got: list[str] = []

    async def main() -> None:
        readers: list[asyncio.Task[None]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(ACCEPT)

            async def read() -> None:
                got.append((await receive())["type"])

            readers.append(asyncio.create_task(read()))
            await asyncio.sleep(0.005)

        script = server([CONNECT, 0.02, DISCONNECT])
        script.receive = uncancelled(script.receive)
        await script.run(hold(app))
        await asyncio.wait_for(readers[0], 2)

    asyncio.run(main())
    assert got == ["websocket.disconnect"]


def uncancelled(receive: Any) -> Any:
    """A server's receive that loses nothing when it is cancelled, as a queue's does."""
    pending: list[asyncio.Task[Any]] = []

    async def receive_from_queue() -> Any:
        if not pending:
            pending.append(asyncio.create_task(receive()))
        event = await asyncio.shield(pending[0])
        pending.clear()
        return event

    return receive_from_queue


def test_last_transition_says_what_was_held_and_how_long(server: Any, hold: Any, spans: Any) -> None:
    """Two messages waited, the first one for thirty milliseconds; the authentication message did not wait."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        with acceptfirst.phase(scope, "auth", receives=True):
            await receive()

        async def read() -> None:
            await receive()
            await receive()

        reader = asyncio.create_task(read())
        await asyncio.sleep(0.03)
        acceptfirst.ready(scope)
        await reader

    asyncio.run(server([CONNECT, message("token"), message("a"), message("b")]).run(hold(app)))
    last = spans.last()
    assert (last["acceptfirst.gate.held"], last["acceptfirst.gate.wait_ms"] >= 25) == (2, True)


def test_last_transition_says_so_when_nothing_was_held(server: Any, hold: Any, spans: Any) -> None:
    """A gate that nobody had to wait at is one all the same."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        acceptfirst.ready(scope)

    asyncio.run(server([CONNECT]).run(hold(app)))
    assert (spans.last()["acceptfirst.gate.held"], spans.last()["acceptfirst.gate.wait_ms"]) == (0, 0.0)


def test_message_of_a_client_that_left_counts_as_early(server: Any, hold: Any, spans: Any) -> None:
    """The disconnect opens the gate behind it, and an application that is not ready handles it: that is early."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)

        async def read() -> None:
            while (await receive())["type"] != "websocket.disconnect":
                pass

        await asyncio.create_task(read())

    asyncio.run(server([CONNECT, message("a"), DISCONNECT]).run(hold(app)))
    assert (spans.last()["acceptfirst.messages.early"], spans.violations()) == (1, ["early_message_before_ready"])
