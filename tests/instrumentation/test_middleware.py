"""The middleware records what happened, in order, and changes nothing of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import acceptfirst
from acceptfirst import ConfigurationError, Policy, failsafe
from acceptfirst.connection import SCOPE_KEY

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close", "code": 4001}
SEND = {"type": "websocket.send", "text": "hello"}
MESSAGE = {"type": "websocket.receive", "text": "hi"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1001}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, answers each message, returns on disconnect."""
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


def observed(app: Any, spans: Any, **options: Any) -> Any:
    """The application with the middleware around it."""
    return acceptfirst.instrument(app, environment="testing", tracer_provider=spans.provider, **options)


def test_healthy_connection_passes_through_every_state(server: Any, spans: Any) -> None:
    """Connect, accept, first receive and disconnect give the four transitions of a good life."""
    asyncio.run(server([CONNECT, MESSAGE, DISCONNECT]).run(observed(echo, spans)))

    assert spans.transitions() == [
        ("INITIALIZING", "HANDSHAKE_PENDING", "connect"),
        ("HANDSHAKE_PENDING", "CONNECTED", "accept"),
        ("CONNECTED", "READY_FOR_MESSAGES", "ready"),
        ("READY_FOR_MESSAGES", "CLOSED", "disconnect"),
    ]
    assert spans.last()["acceptfirst.signature"] == "CAGRSDZ"
    assert spans.violations() == []


def test_accept_that_raises_is_never_recorded_as_accepted(server: Any, spans: Any) -> None:
    """Success is stamped after the await returns; a refused accept is an ``a``."""
    script = server([CONNECT], refuse={"websocket.accept": OSError("gone")})
    error = asyncio.run(script.run(observed(echo, spans)))

    assert isinstance(error, OSError)
    assert spans.last()["acceptfirst.signature"] == "CaE"
    assert ("HANDSHAKE_PENDING", "CONNECTED", "accept") not in spans.transitions()
    assert spans.violations() == ["accept_after_client_gone"]


def test_accept_is_stamped_after_the_await_returned(spans: Any, server: Any) -> None:
    """A send that takes 50 ms makes the accept transition at least 50 ms long."""

    class Slow(server):  # type: ignore[misc]
        async def send(self, message: Any) -> None:
            """Take a while."""
            await asyncio.sleep(0.05)
            await super().send(message)

    asyncio.run(Slow([CONNECT, DISCONNECT]).run(observed(echo, spans)))

    accepted = spans.named("websocket.transition")[1]
    assert accepted.end_time - accepted.start_time >= 50_000_000


async def never_called(scope: Any, receive: Any, send: Any) -> None:
    """Returns at once."""


async def fails_at_once(scope: Any, receive: Any, send: Any) -> None:
    """Fails before any event."""
    raise ValueError("early")


async def accepts_without_connect(scope: Any, receive: Any, send: Any) -> None:
    """Accepts before it has received the connect."""
    await send(ACCEPT)


async def closes_first(scope: Any, receive: Any, send: Any) -> None:
    """Refuses."""
    await receive()
    await send(CLOSE)


async def denies(scope: Any, receive: Any, send: Any) -> None:
    """Refuses by a denial response."""
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def closes_after_accept(scope: Any, receive: Any, send: Any) -> None:
    """Accepts and closes."""
    await receive()
    await send(ACCEPT)
    await send(CLOSE)


async def fails_after_close(scope: Any, receive: Any, send: Any) -> None:
    """Closes and then fails."""
    await closes_after_accept(scope, receive, send)
    raise ValueError("late")


async def fails_when_ready(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, receives, fails."""
    await receive()
    await send(ACCEPT)
    await receive()
    raise ConnectionError("redis is away")


ENDINGS: list[tuple[Any, str, str]] = [
    (never_called, "Z", "CLOSED:return"),
    (fails_at_once, "E", "HANDSHAKE_PENDING:connect ERROR:exception CLOSED:exception"),
    (accepts_without_connect, "AZ", "HANDSHAKE_PENDING:connect CONNECTED:accept CLOSED:return"),
    (closes_first, "CXZ", "HANDSHAKE_PENDING:connect CLOSED:close"),
    (denies, "CNZ", "HANDSHAKE_PENDING:connect CLOSED:denial"),
    (closes_after_accept, "CAXZ", "HANDSHAKE_PENDING:connect CONNECTED:accept CLOSED:close"),
    (fails_after_close, "CAXE", "HANDSHAKE_PENDING:connect CONNECTED:accept CLOSED:close"),
    (
        fails_when_ready,
        "CAGRE",
        "HANDSHAKE_PENDING:connect CONNECTED:accept READY_FOR_MESSAGES:ready ERROR:exception CLOSED:exception",
    ),
]


@pytest.mark.parametrize(("app", "signature", "path"), ENDINGS, ids=[app.__name__ for app, _, _ in ENDINGS])
def test_every_ending_takes_the_contracts_path(server: Any, spans: Any, app: Any, signature: str, path: str) -> None:
    """However an application ends a connection, each transition starts where the last one led, as the table says."""
    asyncio.run(server([CONNECT, MESSAGE]).run(observed(app, spans)))

    steps = spans.transitions()
    assert [f"{new}:{trigger}" for _, new, trigger in steps] == path.split()
    assert [old for old, _, _ in steps] == ["INITIALIZING", *[new for _, new, _ in steps[:-1]]]
    assert spans.last()["acceptfirst.signature"] == signature


def test_cancellation_passes_through_untouched(server: Any, spans: Any) -> None:
    """A task that is cancelled in the middle of a receive is cancelled, not failed."""

    async def main() -> None:
        task = asyncio.create_task(server([CONNECT]).run(observed(echo, spans)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert spans.last()["error.type"] == "CancelledError"


def test_scope_of_the_server_is_left_alone(server: Any, spans: Any) -> None:
    """The application gets a copy: the server's own scope has no key of ours."""
    script = server([CONNECT, DISCONNECT])
    before = dict(script.scope)
    asyncio.run(script.run(observed(echo, spans)))

    assert script.scope == before


def test_http_requests_pass_by(spans: Any) -> None:
    """A scope that is not a WebSocket's reaches the application as the object it was."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    call = ({"type": "http", "path": "/"}, object(), object())
    asyncio.run(observed(app, spans)(*call))
    assert seen[0] == call
    assert seen[0][0] is call[0]


def test_excluded_path_is_not_observed(server: Any, spans: Any) -> None:
    """``exclude`` names paths that we don't touch."""
    asyncio.run(server([CONNECT, DISCONNECT]).run(observed(echo, spans, exclude=["/ws"])))

    assert spans.transitions() == []


def test_second_middleware_around_the_same_connection_stays_silent(server: Any, spans: Any) -> None:
    """Two of us give one set of spans."""
    app = acceptfirst.AcceptFirstMiddleware(observed(echo, spans), tracer_provider=spans.provider)
    asyncio.run(server([CONNECT, DISCONNECT]).run(app))

    assert len(spans.named("websocket.handshake")) == 1


@pytest.mark.parametrize("path", ["/a", "/b", "/c"])
def test_connections_interleaved_through_one_middleware_equal_each_alone(server: Any, spans: Any, path: str) -> None:
    """Nothing of one connection is seen in another's record."""
    scripts = {
        "/a": [CONNECT, 0.01, MESSAGE, 0.02, MESSAGE, DISCONNECT],
        "/b": [CONNECT, 0.015, DISCONNECT],
        "/c": [CONNECT, MESSAGE, 0.03, {"type": "websocket.disconnect", "code": 4999}],
    }

    async def run(names: list[str]) -> dict[str, dict[str, Any]]:
        app = observed(echo, spans)
        servers = [server(scripts[name], scope={"type": "websocket", "path": name, "headers": []}) for name in names]
        records: dict[str, Any] = {}

        async def recording(scope: Any, receive: Any, send: Any) -> None:
            records[scope["path"]] = scope[SCOPE_KEY]
            await echo(scope, receive, send)

        app.app = recording
        await asyncio.gather(*(one.run(app) for one in servers))
        return {
            name: {
                "signature": str(record.signature),
                "states": [(t.old, t.new, t.trigger) for t in record.transitions],
                "counts": (record.messages_received, record.messages_sent, record.messages_early),
                "code": record.close_code,
            }
            for name, record in records.items()
        }

    together = asyncio.run(run(["/a", "/b", "/c", "/a", "/b"]))
    alone = asyncio.run(run([path]))
    assert together[path] == alone[path]


class Broken:
    """A provider whose every part raises."""

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        """Raise."""
        raise RuntimeError("tracing is broken")

    def get_meter(self, *_: Any, **__: Any) -> Any:
        """Give a meter whose instruments raise when they are used."""
        return self

    def create_counter(self, *_: Any, **__: Any) -> Any:
        """Give an instrument that raises."""
        return self

    create_histogram = create_up_down_counter = create_counter

    def add(self, *_: Any, **__: Any) -> None:
        """Raise."""
        raise RuntimeError("metrics are broken")

    record = add


def test_telemetry_that_always_raises_leaves_the_traffic_identical(server: Any) -> None:
    """What the client gets is byte for byte what it gets without us, and our failures are counted."""
    script = [CONNECT, MESSAGE, MESSAGE, DISCONNECT]
    bare, broken = server(script), server(script)
    provider: Any = Broken()
    asyncio.run(bare.run(echo))
    asyncio.run(broken.run(acceptfirst.instrument(echo, tracer_provider=provider, meter_provider=provider)))

    assert broken.sent == bare.sent
    assert sum(failsafe.failures.values()) > 0
    failsafe.failures.clear()


def test_own_failure_is_logged_once_and_counted_always(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred failures are one line in the log."""
    provider: Any = Broken()
    app = acceptfirst.instrument(echo, tracer_provider=provider, meter_provider=provider)
    for _ in range(3):
        asyncio.run(server([CONNECT, DISCONNECT]).run(app))

    assert len(caplog.records) == len(failsafe.failures)
    assert failsafe.failures["HandshakeMeter.finished"] == 3
    failsafe.failures.clear()


def test_hold_with_auto_is_refused_when_the_application_is_instrumented() -> None:
    """Auto calls the first receive ready, hold would keep that receive back: a contradiction."""
    with pytest.raises(ConfigurationError, match="gate 'hold' can't work with readiness 'auto'"):
        acceptfirst.instrument(echo, gate="hold")


def test_policy_file_that_cannot_be_used_falls_back_to_the_default(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken policy is one line in the log, never the end of the backend."""
    path = tmp_path / "policy.toml"
    path.write_text("schema_version = 1\n[testing]\ndelay_ladder_ms = [9999]\n")
    app: Any = acceptfirst.instrument(echo, environment="testing", policy=path)

    assert app.policy.delay_ladder_ms == (5.0,)
    assert "expected delay_ladder_ms to be a number from 0 to 250, but got 9999" in caplog.text


def test_policy_file_that_contradicts_the_code_falls_back_too(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A file that asks for polling where no check was given must not keep a backend from starting."""
    path = tmp_path / "policy.toml"
    path.write_text('schema_version = 1\n[testing]\nreadiness_mode = "polled"\n')
    app: Any = acceptfirst.instrument(echo, environment="testing", policy=path)

    assert app.policy.version == "default"
    assert "readiness 'polled' needs a check" in caplog.text


def test_handshake_that_exceeds_its_timeout_is_reported_while_it_is_stuck(server: Any, spans: Any) -> None:
    """A stall is a violation at once, not when the connection ends."""
    seen: list[list[str]] = []

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(0.05)
        seen.append(spans.violations())
        await send(ACCEPT)

    policy = Policy(environment="testing", handshake_timeout_ms=10)
    asyncio.run(server([CONNECT]).run(observed(stuck, spans, policy=policy)))
    assert seen == [["handshake_stalled"]]


def test_two_receives_at_once_are_seen_although_no_server_raises(server: Any, spans: Any) -> None:
    """The second reader is reported as concurrent_receive."""

    async def two_readers(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.gather(receive(), receive())

    script = server([CONNECT, 0.01, MESSAGE, MESSAGE])
    asyncio.run(script.run(observed(two_readers, spans)))
    assert "concurrent_receive" in spans.violations()


def test_reader_that_waited_beside_the_one_told_first_has_not_received_after_disconnect(
    server: Any, spans: Any
) -> None:
    """Uvicorn wakes every receive that is pending; only one that begins afterwards asked for more."""

    async def two_readers(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.gather(receive(), receive())

    script = server([CONNECT, 0.01, DISCONNECT, DISCONNECT])
    asyncio.run(script.run(observed(two_readers, spans)))
    assert spans.violations() == ["concurrent_receive"]


def test_auto_mode_counts_messages_that_were_waiting(server: Any, spans: Any) -> None:
    """Two messages that were there before the first receive are early; the third, which came later, is not."""
    asyncio.run(server([CONNECT, MESSAGE, MESSAGE, 0.01, MESSAGE, DISCONNECT]).run(observed(echo, spans)))

    assert spans.last()["acceptfirst.messages.early"] == 2
    assert spans.last()["acceptfirst.messages.received"] == 3
    assert spans.violations() == []


def test_slow_work_before_the_first_receive_counts_as_a_stall(server: Any, spans: Any) -> None:
    """A framework takes the connect when it accepts; what the application does before that delays the client too."""

    async def slow_dependency(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await receive()
        await send(ACCEPT)

    policy = Policy(environment="testing", handshake_timeout_ms=10)
    asyncio.run(server([CONNECT]).run(observed(slow_dependency, spans, policy=policy)))
    assert spans.violations() == ["handshake_stalled"]
    assert spans.last()["acceptfirst.signature"] == "TCAZ"


def test_stray_timer_never_fires_after_the_end(server: Any, spans: Any) -> None:
    """A connection that ended before its timeout is not reported when the time is up."""

    async def main() -> None:
        policy = Policy(environment="testing", handshake_timeout_ms=10)
        await server([CONNECT]).run(observed(closes_first, spans, policy=policy))
        await asyncio.sleep(0.03)

    asyncio.run(main())
    assert spans.last()["acceptfirst.signature"] == "CXZ"
    assert spans.violations() == ["handshake_rejected_403"]


def test_accepted_connection_of_auto_mode_has_no_handshake_left_to_stall(server: Any, spans: Any) -> None:
    """Its first receive is its readiness, whenever that comes: a handler that only sends has not stalled."""

    async def push(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.sleep(0.05)
        await send({"type": "websocket.close"})

    policy = Policy(environment="testing", handshake_timeout_ms=10)
    asyncio.run(server([CONNECT]).run(observed(push, spans, policy=policy)))
    assert spans.violations() == []
