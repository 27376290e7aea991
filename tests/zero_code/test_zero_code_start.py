"""`opentelemetry-instrument` with a real server: applications that know nothing of us are observed, and do start."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect

BARE = """
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
"""

HEALTHY = ["HANDSHAKE_PENDING", "CONNECTED", "READY_FOR_MESSAGES", "CLOSED"]


async def say(url: str, *, headers: dict[str, str] | None = None) -> str:
    """Connect, say something, give the answer."""
    async with connect(url, additional_headers=headers or {}) as client:
        await client.send("hello")
        return str(await client.recv())


def test_fastapi_application_is_observed_without_a_line_of_code(serve: Any, receiver: Any, chat: str) -> None:
    """One set of spans, with the route's template, and the resource that the environment describes."""
    described = {
        "OTEL_SERVICE_NAME": "chat",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging,service.version=7",
    }
    served = serve(chat, environment={**receiver.environment, **described})
    assert asyncio.run(say(served.url("/chat/den"))) == "hello"
    served.stop()

    assert list(receiver.steps().values()) == [HEALTHY]
    (handshake,) = [span for span in receiver.spans() if span.name == "websocket.handshake"]
    assert handshake.attributes["http.route"] == "/chat/{room}"
    assert handshake.attributes["acceptfirst.environment"] == "staging"
    assert (handshake.resource["service.name"], handshake.resource["service.version"]) == ("chat", "7")


def test_handshake_is_the_child_of_the_frameworks_own_server_span(serve: Any, receiver: Any, chat: str) -> None:
    """FastAPI traces by itself where a provider is set: that span is around ours, both are in the client's trace."""
    served = serve(chat, environment=receiver.environment)
    asyncio.run(say(served.url("/chat/den"), headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}))
    served.stop()

    (handshake,) = [span for span in receiver.spans() if span.name == "websocket.handshake"]
    (around,) = [span for span in receiver.spans("fastapi") if span.name.startswith("WS ")]
    assert handshake.trace_id == around.trace_id == "a" * 32
    assert handshake.parent_id == around.span_id


def test_bare_application_is_observed_when_uvicorn_loads_it(serve: Any, receiver: Any) -> None:
    """It has no lifespan either, and its last spans still arrive though uvicorn ends by the signal."""
    served = serve(BARE, environment=receiver.environment, ready="Uvicorn running")
    assert asyncio.run(say(served.url("/"))) == "hello"
    served.stop()

    assert list(receiver.steps().values()) == [HEALTHY]


def test_options_come_from_the_environment(serve: Any, receiver: Any, chat: str, tmp_path: Any) -> None:
    """Environment, readiness, policy and excluded paths."""
    policy = tmp_path / "policy.toml"
    policy.write_text('schema_version = 1\n[testing]\nversion = "from-a-file"\nhandshake_timeout_ms = 5000\n')
    options = {
        "ACCEPTFIRST_ENVIRONMENT": "ci",
        "ACCEPTFIRST_READINESS": "blind",
        "ACCEPTFIRST_POLICY": str(policy),
        "ACCEPTFIRST_EXCLUDE": "/chat/secret, /nowhere",
        "OTEL_PYTHON_EXCLUDED_URLS": "hea.th,^/chat/x+$",
    }
    served = serve(chat, environment={**receiver.environment, **options})
    for room in ("den", "secret", "health", "xxx"):
        asyncio.run(say(served.url(f"/chat/{room}")))
    served.stop()

    assert len(receiver.steps()) == 1
    span = receiver.spans()[0]
    assert span.attributes["acceptfirst.environment"] == "testing"
    assert span.attributes["acceptfirst.readiness.mode"] == "blind"
    assert span.attributes["acceptfirst.policy.version"] == "from-a-file"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCEPTFIRST_ENVIRONMENT", "moon"),
        ("ACCEPTFIRST_READINESS", "polled"),
        ("ACCEPTFIRST_GATE", "hold"),  # contradicts readiness auto
        ("ACCEPTFIRST_POLICY", "/nowhere/policy.toml"),
        ("ACCEPTFIRST_PATTERNS", "/nowhere/patterns.toml"),
        ("ACCEPTFIRST_LOG_CORRELATION", "perhaps"),
        ("OTEL_PYTHON_ACCEPTFIRST_EXCLUDED_URLS", "(unclosed"),
    ],
)
def test_application_starts_with_the_defaults_when_a_variable_is_wrong(
    serve: Any, receiver: Any, chat: str, name: str, value: str
) -> None:
    """What is wrong is logged, and the application is observed all the same."""
    served = serve(chat, environment={**receiver.environment, name: value})
    assert asyncio.run(say(served.url("/chat/den"))) == "hello"
    log = served.stop()

    assert list(receiver.steps().values()) == [HEALTHY]
    assert any(words in log for words in (name, "can't be used", f"no new policy: {value}"))
    assert {span.attributes["acceptfirst.gate"] for span in receiver.spans()} == {"observe"}


@pytest.mark.parametrize(
    "silence",
    [
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "acceptfirst"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
        {"OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=lambda silence: "-".join(f"{name}={value}" for name, value in silence.items()),
)
def test_whoever_switches_telemetry_off_is_not_heard(
    serve: Any, receiver: Any, chat: str, silence: dict[str, str]
) -> None:
    """By the loader, by the SDK, by a sampler, by having no exporter."""
    served = serve(chat, environment={**receiver.environment, **silence})
    assert asyncio.run(say(served.url("/chat/den"))) == "hello"
    served.stop()

    assert receiver.spans() == []


def test_log_records_and_exemplars_name_the_connection(serve: Any, receiver: Any) -> None:
    """With correlation on, what the application logs is exported with the ids of its connection and its trace."""
    application = """
        import logging
        from fastapi import FastAPI, WebSocket

        app = FastAPI()


        @app.websocket("/chat")
        async def chat(websocket: WebSocket):
            await websocket.accept()
            text = await websocket.receive_text()
            logging.getLogger("chat").warning("somebody said something")
            await websocket.send_text(text)
    """
    signals = {
        "ACCEPTFIRST_LOG_CORRELATION": "true",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true",
    }
    served = serve(application, environment={**receiver.environment, **signals})
    asyncio.run(say(served.url("/chat")))
    receiver.wait_for(lambda: receiver.logs)  # the SDK sends those by itself, soon
    served.stop()

    (handshake,) = [span for span in receiver.spans() if span.name == "websocket.handshake"]
    records = [
        record
        for request in receiver.logs
        for of_resource in request.resource_logs
        for of_scope in of_resource.scope_logs
        for record in of_scope.log_records
    ]
    (said,) = [record for record in records if record.body.string_value == "somebody said something"]
    ids = {pair.key: pair.value.string_value for pair in said.attributes}
    assert ids["connection_id"] == handshake.connection
    assert (ids["trace_id"], ids["span_id"]) == (handshake.trace_id, handshake.span_id)
    exemplars = {
        (metric.name, exemplar.trace_id.hex(), exemplar.span_id.hex())
        for request in receiver.metrics
        for of_resource in request.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in [*metric.sum.data_points, *metric.histogram.data_points]
        for exemplar in point.exemplars
        if of_scope.scope.name == "acceptfirst"
    }
    ours = {"acceptfirst.handshakes", "acceptfirst.handshake.duration"}
    assert {(name, handshake.trace_id, handshake.span_id) for name in ours} <= exemplars
