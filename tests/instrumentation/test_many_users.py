"""Hundreds of users at once through one middleware: nothing of one is ever seen in what is told of another.

Every user has a number, and all that is his carries it: a phase's name, a secret that he sends, how many messages, the
code that his connection closes with, the race that it shows, his coordinator. Afterwards everything that was told
(spans, detectors, notes, log, timelines) is asked for each user's own, and searched for everybody else's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import socket
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import acceptfirst
from acceptfirst import HandshakeCoordinator, Policy, RaceConditionDetector
from acceptfirst.diagnosis.rate_limit import RateLimit
from acceptfirst.diagnosis.violation_log import LOGGER_NAME

USERS_IN_PROCESS = 400
USERS_ON_THE_WIRE = 150
SEED = 20_261_125
RACES = ["", "receive_after_local_close", "send_after_close", "double_close"]

dice = random.Random(SEED)  # noqa: S311 - the same interleavings each time, no secret


def secret(user: int) -> str:
    """What only this user knows."""
    return f"secret-of-{user:04}"


def messages_of(user: int) -> int:
    """How many he sends."""
    return user % 5 + 1


class UsersCoordinator(HandshakeCoordinator):
    """Knows whose it is."""

    user = -1


def make_coordinator(environment: str, detector: RaceConditionDetector, scope: Any) -> HandshakeCoordinator:
    """A coordinator for each user."""
    made = UsersCoordinator(environment, detector)
    made.user = int(scope["path"].rpartition("/")[2])
    return made


@dataclass
class Told:
    """What one user's connection was told of itself."""

    connection_id: str = ""
    coordinator: Any = None
    ready: bool = False
    note: str = ""
    timeline: str = ""


@dataclass
class Crowd:
    """What everybody was told."""

    told: dict[int, Told] = field(default_factory=dict)
    middleware: Any = None
    spans: Any = None
    records: list[logging.LogRecord] = field(default_factory=list)

    def attributes_of(self, user: int, name: str) -> list[dict[str, Any]]:
        """Of this user's spans with this name."""
        spans = [dict(span.attributes) for span in self.spans.named(name)]
        return [own for own in spans if own["acceptfirst.connection.id"] == self.told[user].connection_id]


async def pause() -> None:
    """Let some others go first."""
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(0)


async def show_race(websocket: WebSocket, race: str) -> None:
    """What follows the close."""
    if race == "receive_after_local_close":
        await websocket.receive_text()
    elif race == "send_after_close":
        await websocket.send_text("too late")
    elif race == "double_close":
        await websocket.close()


def chat_of(crowd: Crowd) -> FastAPI:
    """An application whose handler does to each user what is his."""
    app = FastAPI()

    @app.websocket("/ws/{user}")
    async def chat(websocket: WebSocket, user: int) -> None:
        told = crowd.told[user] = Told(coordinator=acceptfirst.coordinator(websocket))
        told.connection_id = told.coordinator.get_coordination_summary()["connection_id"]
        acceptfirst.identify(websocket, str(user))
        await pause()
        await websocket.accept()
        async with acceptfirst.phase(websocket, f"phase_{user:04}"):
            await pause()
        acceptfirst.ready(websocket)
        told.ready = await told.coordinator.coordinate_handshake()
        for _ in range(messages_of(user)):
            assert await websocket.receive_text() == secret(user)
            await pause()
            await websocket.send_text(secret(user))
        await websocket.close(4000 + user)
        await pause()
        try:
            await show_race(websocket, RACES[user % len(RACES)])
        except RuntimeError as error:
            told.note = "\n".join(error.__notes__)
        told.timeline = acceptfirst.explain(websocket)

    return app


def instrumented(crowd: Crowd) -> Any:
    """One middleware for all of them."""
    policy = Policy(environment="testing", readiness_mode="event", handshake_timeout_ms=60_000)
    crowd.middleware = acceptfirst.AcceptFirstMiddleware(
        chat_of(crowd), policy=policy, tracer_provider=crowd.spans.provider, coordinator_factory=make_coordinator
    )
    crowd.middleware._telemetry.log._limit = RateLimit(burst=100_000, interval_s=60.0)
    return crowd.middleware


async def in_process(crowd: Crowd, server: Any) -> None:
    """Everybody at once on one loop, without a socket."""
    app = instrumented(crowd)

    async def play(user: int) -> None:
        hello = {"type": "websocket.receive", "text": secret(user)}
        script = server([{"type": "websocket.connect"}, *[hello] * messages_of(user)])
        script.scope |= {"path": f"/ws/{user}", "root_path": "", "query_string": b"", "subprotocols": []}
        await pause()
        assert await script.run(app, patience_s=60) is None

    await asyncio.gather(*(play(user) for user in range(USERS_IN_PROCESS)))


async def on_the_wire(crowd: Crowd) -> None:
    """Everybody at once through a real uvicorn."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    served = uvicorn.Server(uvicorn.Config(instrumented(crowd), log_level="error", ws="websockets-sansio"))
    serving = asyncio.create_task(served.serve([listener]))
    port = listener.getsockname()[1]

    async def talk(user: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/ws/{user}", open_timeout=60, proxy=None) as client:
            for _ in range(messages_of(user)):
                await client.send(secret(user))
                assert await client.recv() == secret(user)
            with pytest.raises(ConnectionClosed, match=str(4000 + user)):
                await client.recv()

    async with asyncio.timeout(100):
        await asyncio.gather(*(talk(user) for user in range(USERS_ON_THE_WIRE)))
        served.should_exit = True
        await serving


@pytest.fixture(params=["in process", "on the wire"])
def crowd(request: pytest.FixtureRequest, server: Any, spans: Any, caplog: pytest.LogCaptureFixture) -> Crowd:
    """What was told after everybody is gone."""
    gathered = Crowd(spans=spans)
    caplog.set_level(logging.WARNING, LOGGER_NAME)
    asyncio.run(in_process(gathered, server) if request.param == "in process" else on_the_wire(gathered))
    gathered.records = [record for record in caplog.records if record.name == LOGGER_NAME]
    return gathered


def assert_only_of(user: int, crowd: Crowd, text: str) -> None:
    """Neither another's connection, nor his phase, nor anybody's secret."""
    own = crowd.told[user].connection_id
    assert set(re.findall(r"\b[0-9a-f]{32}\b", text)) <= {own}
    assert set(re.findall(r"phase_(\d{4})", text)) <= {f"{user:04}"}
    assert "secret-of" not in text


def race_of(user: int) -> str:
    """The race that this user's connection shows, empty where it shows none."""
    return RACES[user % len(RACES)]


def test_each_user_has_his_own_coordinator_and_detector(crowd: Crowd) -> None:
    """Ready by his own readiness, and the detector knows his race and no other; the process's knows them all."""
    for user, told in crowd.told.items():
        assert (told.coordinator.user, told.ready, told.coordinator.validate_state_sequence()) == (user, True, True)
        known = told.coordinator.detector.get_detected_patterns()
        expected = [(race_of(user), told.connection_id)] if race_of(user) else []
        assert [(pattern.pattern_type, pattern.details["connection"]) for pattern in known] == expected
    assert len(crowd.middleware.detector.get_detected_patterns()) == sum(bool(race_of(user)) for user in crowd.told)


def test_each_users_note_and_timeline_speak_of_him_alone(crowd: Crowd) -> None:
    """His connection, his phase, his close code, his messages, his race."""
    for user, told in crowd.told.items():
        assert_only_of(user, crowd, told.note)
        assert_only_of(user, crowd, told.timeline)
        assert told.note.startswith(f"AcceptFirst: {race_of(user)} (") == bool(race_of(user))
        assert f"phase_{user:04}" in told.timeline
        assert f"with {4000 + user} by the application" in told.timeline
        assert f"{messages_of(user)} received, {messages_of(user)} sent" in told.timeline


def test_each_users_spans_hold_what_is_his_alone(crowd: Crowd) -> None:
    """One handshake, four transitions, and the violation that is his."""
    for user in crowd.told:
        transitions = crowd.attributes_of(user, "websocket.transition")
        violations = crowd.attributes_of(user, "websocket.violation")
        last = transitions[-1]
        counted = (last["acceptfirst.messages.received"], last["acceptfirst.messages.sent"])
        phases = [key for key in last if key.startswith("acceptfirst.phase.")]

        assert len(crowd.attributes_of(user, "websocket.handshake")) == 1
        assert [own["acceptfirst.transition.sequence"] for own in transitions] == [0, 1, 2, 3]
        assert phases == [f"acceptfirst.phase.phase_{user:04}.duration_ms"]
        assert (*counted, last["acceptfirst.close.code"]) == (messages_of(user), messages_of(user), 4000 + user)
        assert [own["acceptfirst.pattern.type"] for own in violations] == ([race_of(user)] if race_of(user) else [])
        assert_only_of(user, crowd, str(transitions + violations).replace(str(last["acceptfirst.user.hash"]), ""))


def test_users_have_as_many_hashes_as_they_are(crowd: Crowd) -> None:
    """One on all spans of a connection, and no two alike."""
    hashes: dict[str, set[str]] = {}
    for span in crowd.spans.exporter.get_finished_spans():
        own = dict(span.attributes)
        hashes.setdefault(own["acceptfirst.connection.id"], set()).add(own["acceptfirst.user.hash"])
    assert {len(of_one) for of_one in hashes.values()} == {1}
    assert len(set.union(*hashes.values())) == len(hashes) == len(crowd.told)


def test_each_line_of_the_log_is_of_one_user(crowd: Crowd) -> None:
    """As many as there are races, each with its own connection, and nothing of another in it."""
    users = {told.connection_id: user for user, told in crowd.told.items()}
    logged = [users[vars(record)["acceptfirst.connection.id"]] for record in crowd.records]

    assert sorted(logged) == [user for user in sorted(crowd.told) if race_of(user)]
    for user, record in zip(logged, crowd.records, strict=True):
        assert vars(record)["acceptfirst.pattern.type"] == race_of(user)
        assert_only_of(user, crowd, record.getMessage())
