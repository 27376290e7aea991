"""The coordinator waits for events, within a deadline, and belongs to one connection."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import Any

import pytest

import acceptfirst
from acceptfirst import ApplicationConnectionState as State
from acceptfirst import HandshakeCoordinator, Policy, RaceConditionDetector

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


def test_unbound_coordinator_walks_the_sequence_at_once() -> None:
    """With nothing to wait for it validates and is true."""
    coordinator = HandshakeCoordinator("testing")

    assert asyncio.run(coordinator.coordinate_handshake()) is True
    assert [new for _, new, _ in coordinator.state_transitions] == [
        State.HANDSHAKE_PENDING,
        State.CONNECTED,
        State.READY_FOR_MESSAGES,
    ]
    assert coordinator.validate_state_sequence()
    assert coordinator.is_ready_for_messages()
    assert (coordinator.get_handshake_duration() or 0.0) >= 0.0


def test_changes_carry_aware_utc_times() -> None:
    """Old state, new state, and a time with a zone."""
    coordinator = HandshakeCoordinator("production")
    asyncio.run(coordinator.coordinate_handshake())

    assert all(at.tzinfo is UTC for _, _, at in coordinator.get_state_history())


def test_new_coordinator_has_no_duration() -> None:
    """None until ready."""
    assert HandshakeCoordinator("testing").get_handshake_duration() is None


def test_reset_begins_again() -> None:
    """After a reset the sequence can be walked once more."""
    coordinator = HandshakeCoordinator("testing")
    asyncio.run(coordinator.coordinate_handshake())
    coordinator.reset()

    assert coordinator.get_current_state() is State.INITIALIZING
    assert coordinator.state_transitions == []
    assert asyncio.run(coordinator.coordinate_handshake()) is True


def test_forced_error_is_a_state_and_a_pattern() -> None:
    """The reason is kept; the handshake is no more ready."""
    detector = RaceConditionDetector("testing")
    coordinator = HandshakeCoordinator("testing", detector)
    coordinator.force_error_state("no such user")

    assert coordinator.get_current_state() is State.ERROR
    assert asyncio.run(coordinator.coordinate_handshake()) is False
    assert detector.get_detected_patterns()[0].details == {"reason": "no such user"}


def test_summary_says_where_it_stands() -> None:
    """State, readiness and validity in one dictionary."""
    coordinator = HandshakeCoordinator("staging")
    asyncio.run(coordinator.coordinate_handshake())
    summary = coordinator.get_coordination_summary()

    assert (summary["environment"], summary["current_state"]) == ("staging", "READY_FOR_MESSAGES")
    assert summary["transition_count"] == 3
    assert summary["sequence_is_valid"] is True


def coordinated(setup_s: float, results: list[Any]) -> Any:
    """An application that gets ready ``setup_s`` after accept and asks the coordinator."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        asyncio.get_running_loop().call_later(setup_s, acceptfirst.ready, scope)
        results.append(await acceptfirst.coordinator(scope).coordinate_handshake())
        results.append(acceptfirst.coordinator(scope))
        await receive()

    return app


def run(app: Any, server: Any, **settings: Any) -> None:
    """One connection under a policy."""
    policy = Policy(environment="testing", **{"readiness_mode": "event"} | settings)
    asyncio.run(server([CONNECT, 0.2, DISCONNECT]).run(acceptfirst.instrument(app, policy=policy)))


def test_bound_coordinator_waits_for_the_event_and_not_longer(server: Any) -> None:
    """It is true when ready() was said, although the ladder's delay is far longer."""
    results: list[Any] = []
    run(coordinated(0.02, results), server, delay_ladder_ms=(250.0,), handshake_timeout_ms=5000)

    assert results[0] is True
    assert 0.02 <= results[1].get_handshake_duration() < 0.2


def test_bound_coordinator_gives_up_at_the_handshake_timeout(server: Any) -> None:
    """It is false when nobody said ready in time."""
    results: list[Any] = []
    run(coordinated(0.15, results), server, handshake_timeout_ms=30)

    assert results[0] is False


def test_retries_change_no_state_and_never_accept_again(server: Any) -> None:
    """Attempts go up by the ladder, the sequence of states is that of a single handshake."""
    results: list[Any] = []
    run(coordinated(0.08, results), server, delay_ladder_ms=(10.0, 250.0), handshake_timeout_ms=5000)

    coordinator = results[1]
    assert results[0] is True
    assert coordinator.attempt == 1
    assert [new for _, new, _ in coordinator.state_transitions][:3] == [
        State.HANDSHAKE_PENDING,
        State.CONNECTED,
        State.READY_FOR_MESSAGES,
    ]


def test_blind_coordinator_waits_out_the_delay(server: Any) -> None:
    """Where nobody can tell, the delay stands in."""
    results: list[Any] = []
    run(coordinated(10, results), server, readiness_mode="blind", delay_ladder_ms=(30.0,), handshake_timeout_ms=5000)

    assert results[0] is True
    assert results[1].get_handshake_duration() >= 0.03


def test_coordinator_belongs_to_one_connection(server: Any) -> None:
    """Binding it to a second one is refused."""
    shared = HandshakeCoordinator("testing")
    results: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            results.append(acceptfirst.coordinator(scope))
        except RuntimeError as error:
            results.append(str(error))

    instrumented: Any = acceptfirst.instrument(app, environment="testing", coordinator_factory=lambda *_: shared)
    for _ in range(2):
        asyncio.run(server([CONNECT]).run(instrumented))
    assert results[0] is shared
    assert "of its own for each connection" in results[1]


@pytest.mark.parametrize("environment", ["prod", "CI", "stage", "dev"])
def test_aliases_of_environments_are_known(environment: str) -> None:
    """People write prod."""
    assert HandshakeCoordinator(environment).environment in ("production", "testing", "staging", "development")


async def races(scope: Any, receive: Any, send: Any) -> None:
    """Closes twice."""
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.close"})
    await send({"type": "websocket.close"})


@pytest.mark.parametrize("asked", ["before the race", "after the race"])
def test_coordinators_detector_knows_its_own_connection_only(server: Any, asked: str) -> None:
    """Whether the coordinator was there before the race or not; the process's detector knows them all."""
    ids: list[str] = []
    details: list[list[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if asked == "before the race":
            acceptfirst.coordinator(scope)
        await races(scope, receive, send)
        own = acceptfirst.coordinator(scope)
        ids.append(own.get_coordination_summary()["connection_id"])
        details.append([pattern.details["connection"] for pattern in own.detector.get_detected_patterns()])

    instrumented: Any = acceptfirst.AcceptFirstMiddleware(app, environment="testing")
    for _ in range(2):
        asyncio.run(server([CONNECT]).run(instrumented))
    assert details == [[ids[0]], [ids[1]]]
    assert [pattern.details["connection"] for pattern in instrumented.detector.get_detected_patterns()] == ids


def test_coordinator_of_another_connection_is_never_given_out(server: Any) -> None:
    """Not at the second call either: a coordinator that refused to be bound is not kept."""
    shared = HandshakeCoordinator("testing")
    given: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for _ in range(2):
            try:
                given.append(acceptfirst.coordinator(scope))
            except RuntimeError:
                given.append(None)

    instrumented: Any = acceptfirst.instrument(app, environment="testing", coordinator_factory=lambda *_: shared)
    for _ in range(2):
        asyncio.run(server([CONNECT]).run(instrumented))
    assert given == [shared, shared, None, None]


def test_factory_that_asks_for_the_scope_makes_each_users_coordinator(server: Any) -> None:
    """What the application's authentication put into the scope is there."""

    class UsersCoordinator(HandshakeCoordinator):
        user = ""

    def make(environment: str, detector: RaceConditionDetector, scope: Any) -> HandshakeCoordinator:
        made = UsersCoordinator(environment, detector)
        made.user = scope["user"]
        return made

    users: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        coordinator = acceptfirst.coordinator(scope)
        assert isinstance(coordinator, UsersCoordinator)
        users.append(coordinator.user)

    instrumented: Any = acceptfirst.instrument(app, environment="testing", coordinator_factory=make)
    for user in ("anna", "ben"):
        script = server([CONNECT])
        script.scope["user"] = user
        asyncio.run(script.run(instrumented))
    assert users == ["anna", "ben"]
