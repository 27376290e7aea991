"""The start-up gate: what a new WebSocket gets while a dependency is down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import acceptfirst
from acceptfirst import ConfigurationError, Dependency, DependencyError

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
MESSAGE = {"type": "websocket.receive", "text": "hi"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
DENIES = {"type": "websocket", "path": "/ws", "headers": [], "extensions": {"websocket.http.response": {}}}


async def up() -> bool:
    """A check that says yes."""
    return True


async def down() -> bool:
    """A check that can't reach anything."""
    raise ConnectionRefusedError("redis://user:secret@10.0.0.1")


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """An application that takes one message."""
    await receive()
    await send(ACCEPT)
    await receive()


def guarded(app: Any, spans: Any, *checks: Any, **options: Any) -> acceptfirst.AcceptFirstMiddleware:
    """The application behind a start-up gate."""
    dependencies = [Dependency(f"dep{n}", check, interval_ms=10) for n, check in enumerate(checks)]
    settings = {"when_unready": "reject", "environment": "testing", **options}
    return acceptfirst.AcceptFirstMiddleware(app, dependencies=dependencies, tracer_provider=spans.provider, **settings)


def run(app: Any, *scripts: Any) -> None:
    """Let the checks answer, then run the connections."""

    async def main() -> None:
        app.startup_gate.monitor.start()
        async with asyncio.timeout(5):
            while any(status.is_up is None for status in acceptfirst.dependencies(app)):  # noqa: ASYNC110 - no event is set
                await asyncio.sleep(0.001)
        for script in scripts:
            await script.run(app)

    asyncio.run(main())


def test_server_that_knows_denial_responses_answers_503_with_retry_after(server: Any, spans: Any) -> None:
    """The client's library gets an HTTP status that every proxy understands, and when to come again."""
    script = server([CONNECT], scope=DENIES)
    run(guarded(chat, spans, down), script)

    start, body = script.sent
    assert (start["status"], body["type"]) == (503, "websocket.http.response.body")
    assert dict(start["headers"])[b"retry-after"] == b"1"


def test_other_servers_accept_and_close_with_1013(server: Any, spans: Any) -> None:
    """A browser never sees a refused handshake's status, but it does see a close code."""
    script = server([CONNECT])
    run(guarded(chat, spans, down), script)

    assert [(sent["type"], sent.get("code")) for sent in script.sent] == [
        ("websocket.accept", None),
        ("websocket.close", 1013),
    ]


def test_server_that_refuses_1013_is_given_4013(server: Any, spans: Any) -> None:
    """As daphne does, which would leave the connection open for ever."""
    script = server([CONNECT])
    deliver = script.send

    async def send(message: Any) -> None:
        if message.get("code") == 1013:
            raise RuntimeError("invalid close code 1013")
        await deliver(message)

    script.send = send
    run(guarded(chat, spans, down), script)
    assert (script.sent[-1]["code"], spans.last()["acceptfirst.close.code"]) == (4013, 4013)
    assert spans.violations() == ["dependency_not_ready"]


def test_refusal_before_accept_is_a_plain_close(server: Any, spans: Any) -> None:
    """By choice, where a client should not see an open connection at all."""
    script = server([CONNECT])
    run(guarded(chat, spans, down, unready_close="before_accept"), script)

    assert [sent["type"] for sent in script.sent] == ["websocket.close"]


@pytest.mark.parametrize(
    ("scope", "options", "signature"),
    [
        (DENIES, {}, "CNZ"),
        (None, {}, "CAXZ"),
        (None, {"unready_close": "before_accept"}, "CXZ"),
        (None, {"readiness": "blind"}, "CAXZ"),
        (None, {"readiness": up}, "CAXZ"),
    ],
)
def test_refused_connection_is_recorded_as_rejected(
    server: Any, spans: Any, scope: Any, options: Any, signature: str
) -> None:
    """Spans of its own, the outcome, and one violation, in whatever way and mode it was refused."""
    script = server([CONNECT]) if scope is None else server([CONNECT], scope=scope)
    run(guarded(chat, spans, down, **options), script)

    assert spans.named("websocket.handshake")[0].attributes["acceptfirst.handshake.outcome"] == "rejected"
    assert (spans.last()["acceptfirst.signature"], spans.violations()) == (signature, ["dependency_not_ready"])
    assert spans.last()["acceptfirst.close.initiator"] == "server"


def test_refused_connection_does_not_get_ready_between_accept_and_close(server: Any, spans: Any) -> None:
    """In blind mode a delay of nothing is over before a slow close returns."""
    script = server([CONNECT])
    deliver = script.send

    async def send_slowly(message: Any) -> None:
        if message["type"] == "websocket.close":
            await asyncio.sleep(0.02)
        await deliver(message)

    script.send = send_slowly
    policy = acceptfirst.Policy(environment="testing", readiness_mode="blind", delay_ladder_ms=(0.0,))
    run(guarded(chat, spans, down, policy=policy), script)
    assert spans.named("websocket.handshake")[0].attributes["acceptfirst.handshake.outcome"] == "rejected"


def test_evidence_of_a_refusal_names_the_dependency_and_no_secret(server: Any, spans: Any) -> None:
    """Which one, and the class of what its check raised."""
    run(guarded(chat, spans, up, down), server([CONNECT], scope=DENIES))

    evidence = str(spans.named("websocket.violation")[0].attributes["acceptfirst.pattern.evidence"])
    assert "dep1 (ConnectionRefusedError, for " in evidence
    assert ("dep0" in evidence, "secret" in evidence) == (False, False)


def test_application_never_sees_a_refused_connection(server: Any, spans: Any) -> None:
    """It is not called."""
    called: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["type"])

    run(guarded(app, spans, down), server([CONNECT]))
    assert called == []


def test_refusal_of_a_client_that_is_gone_raises_nothing(server: Any, spans: Any) -> None:
    """The server has nobody to tell either."""
    script = server([CONNECT], refuse={"websocket.accept": OSError("gone")})
    errors: list[Any] = []

    async def main() -> None:
        app = guarded(chat, spans, down)
        app.startup_gate.monitor.start()  # type: ignore[union-attr]  # there is a dependency, hence a gate
        await asyncio.sleep(0.05)
        errors.append(await script.run(app))

    asyncio.run(main())
    assert (errors, spans.last()["acceptfirst.signature"]) == ([None], "CaZ")


def test_connection_is_let_through_when_every_dependency_is_up(server: Any, spans: Any) -> None:
    """Nothing of it differs from one without dependencies."""
    script = server([CONNECT, MESSAGE])
    run(guarded(chat, spans, up, up), script)
    assert (script.sent, spans.last()["acceptfirst.signature"]) == ([ACCEPT], "CAGRZ")


def test_connection_is_let_through_while_nothing_is_known(server: Any, spans: Any) -> None:
    """Without a lifespan the first connection begins the watch; what is unknown refuses nobody and nobody waits."""
    script = server([CONNECT, MESSAGE])
    asyncio.run(script.run(guarded(chat, spans, down)))
    assert script.sent == [ACCEPT]


def test_dependency_that_is_not_required_refuses_nobody(server: Any, spans: Any) -> None:
    """It is watched and told of, and no more."""
    dependencies = [Dependency("cache", down, required=False), Dependency("db", up)]
    app: Any = acceptfirst.AcceptFirstMiddleware(
        chat, dependencies=dependencies, when_unready="reject", tracer_provider=spans.provider
    )
    script = server([CONNECT, MESSAGE])
    run(app, script)
    assert script.sent == [ACCEPT]


def test_observing_gate_refuses_nobody(server: Any, spans: Any) -> None:
    """The default changes nothing for the application."""
    script = server([CONNECT, MESSAGE])
    run(guarded(chat, spans, down, when_unready="observe"), script)
    assert (script.sent, spans.violations()) == ([ACCEPT], [])


def test_failure_in_the_handshake_is_put_down_to_the_dependency_that_is_down(server: Any, spans: Any) -> None:
    """A KeyError says nothing of Redis; that Redis was down says all."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise KeyError("session")

    run(guarded(app, spans, down, when_unready="observe"), server([CONNECT]))
    evidence = str(spans.named("websocket.violation")[0].attributes["acceptfirst.pattern.evidence"])
    assert spans.violations() == ["dependency_not_ready"]
    assert "KeyError left the application" in evidence
    assert "Down: dep0 (ConnectionRefusedError" in evidence


def test_failure_after_ready_is_not_put_down_to_a_dependency(server: Any, spans: Any) -> None:
    """The handshake was over; whatever it was, waiting for the dependency would not have helped the handshake."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await chat(scope, receive, send)
        raise KeyError("session")

    run(guarded(app, spans, down, when_unready="observe"), server([CONNECT, MESSAGE]))
    assert (spans.violations(), spans.last()["acceptfirst.error.kind"]) == ([], "application")


def test_every_violation_tells_what_was_down(server: Any, spans: Any) -> None:
    """Also one that has nothing to do with it at first sight: the reader may see what the process could not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    run(guarded(app, spans, down, when_unready="observe"), server([CONNECT]))
    violation = spans.named("websocket.violation")[0].attributes
    assert violation["acceptfirst.pattern.type"] == "handshake_rejected_403"
    assert "Down: dep0" in violation["acceptfirst.pattern.evidence"]


def test_http_requests_are_never_touched(spans: Any) -> None:
    """The same scope, receive and send, whatever is down."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def main() -> list[Any]:
        gated = guarded(app, spans, down)
        gated.startup_gate.monitor.start()  # type: ignore[union-attr]  # as above
        await asyncio.sleep(0.05)
        given: Any = ({"type": "http", "path": "/readyz"}, object(), object())
        await gated(*given)
        return [given]

    assert asyncio.run(main()) == seen


def test_gauge_says_which_dependency_is_up(server: Any, spans: Any) -> None:
    """1 and 0, by name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    run(guarded(chat, spans, up, down, meter_provider=provider), server([CONNECT]))

    data = reader.get_metrics_data()
    assert data is not None
    metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    points: Any = next(metric.data.data_points for metric in metrics if metric.name == "acceptfirst.dependency.up")
    assert {p.attributes["acceptfirst.dependency.name"]: p.value for p in points} == {"dep0": 1, "dep1": 0}
    provider.shutdown()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dependencies": [Dependency("a", up), Dependency("a", up)]}, "twice: a"),
        ({"dependencies": [up]}, "acceptfirst.Dependency"),
        ({"when_unready": "reject"}, "dependencies="),
        ({"when_unready": "maybe"}, "observe or reject"),
        ({"unready_close": "never"}, "after_accept or before_accept"),
    ],
)
def test_contradiction_is_refused_when_the_application_is_instrumented(options: Any, word: str) -> None:
    """With what was expected."""
    with pytest.raises(ConfigurationError, match=word):
        acceptfirst.AcceptFirstMiddleware(chat, **options)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Dependency("", up), "a text that is not empty"),
        (lambda: Dependency("redis", True), "async callable"),  # type: ignore[arg-type]  # the mistake
        (lambda: Dependency("redis", up, deadline_ms=0), "deadline_ms"),
        (lambda: acceptfirst.redis_dependency(object()), "ping"),
        (lambda: acceptfirst.postgres_dependency(object()), "fetchval"),
    ],
)
def test_dependency_that_cannot_be_asked_is_refused(make: Any, word: str) -> None:
    """With what was expected and what came."""
    with pytest.raises(DependencyError, match=word):
        make()
