"""A route's own policy: what it says of readiness and gate holds for that route's connections and for no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import acceptfirst
from acceptfirst import Policy
from acceptfirst.middleware import ConfigurationError

SCRIPT: list[dict[str, Any] | float] = [
    {"type": "websocket.connect"},
    {"type": "websocket.receive", "text": "early"},
    0.05,  # the client stays until the application is ready: a disconnect would open the gate
    {"type": "websocket.disconnect", "code": 1000},
]
BLIND = Policy(environment="testing", readiness_mode="blind", gate="observe", delay_ladder_ms=(1.0,))
HELD = replace(BLIND, readiness_mode="event", gate="hold", handshake_timeout_ms=5000.0)


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, is ready 20 ms later, and reads from accept on in a task of its own."""
    await receive()
    await send({"type": "websocket.accept"})

    async def read() -> None:
        while (await receive())["type"] == "websocket.receive":
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.02)
    acceptfirst.ready(scope)
    await reader


def run_on(route: str, server: Any, spans: Any, policy: Policy) -> dict[str, Any]:
    """Run the slow application on a route; gives the attributes of its last transition."""
    app = acceptfirst.instrument(slow_app, environment="testing", policy=policy, tracer_provider=spans.provider)
    script = server(SCRIPT)
    script.scope["route"] = SimpleNamespace(path=route)
    asyncio.run(script.run(app))
    last: dict[str, Any] = spans.last()
    return last


def test_route_holds_messages_when_only_its_own_policy_says_so(server: Any, spans: Any) -> None:
    """The environment is blind, the route waits for the event: nothing arrives early."""
    last = run_on("/chat", server, spans, replace(BLIND, routes={"/chat": HELD}))

    assert (last["acceptfirst.readiness.mode"], last["acceptfirst.gate"]) == ("event", "hold")
    assert last["acceptfirst.messages.early"] == 0


def test_neighbour_keeps_the_policy_of_its_environment(server: Any, spans: Any) -> None:
    """Another route's gate does not reach it."""
    last = run_on("/other", server, spans, replace(BLIND, routes={"/chat": HELD}))

    assert (last["acceptfirst.readiness.mode"], last["acceptfirst.gate"]) == ("blind", "observe")
    assert last["acceptfirst.messages.early"] == 1


def test_route_is_let_through_when_only_its_environment_holds(server: Any, spans: Any) -> None:
    """The route's ``observe`` undoes the environment's ``hold``."""
    last = run_on("/chat", server, spans, replace(HELD, routes={"/chat": BLIND}))

    assert last["acceptfirst.gate"] == "observe"
    assert last["acceptfirst.messages.early"] == 1


def test_instrument_refuses_a_route_that_polls_without_a_check() -> None:
    """What can't work on one route is said when the application is instrumented, as for the whole."""
    policy = replace(BLIND, routes={"/chat": replace(BLIND, readiness_mode="polled")})

    with pytest.raises(ConfigurationError, match="polled"):
        acceptfirst.instrument(slow_app, environment="testing", policy=policy)
