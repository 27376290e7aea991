"""The chat over real connections: the race under the blind policy, and its absence behind the gate."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from acceptfirst.policy import Policy
from acceptfirst_chat.conversation import BAD_MESSAGE, BAD_TOKEN
from acceptfirst_chat.guests import Guest, Kind, Stay, stay
from acceptfirst_chat.plants import CHAT_ROUTE, TIMING_RACE
from acceptfirst_chat.sessions import TokenError, token_of, user_of


def guest(kind: Kind = "eager", thinks_s: float = 0.0) -> Guest:
    """A guest whom nobody has seen, so that everything is cold."""
    return Guest(user="anna", room="lobby", kind=kind, arrives_s=0.0, thinks_s=thinks_s, seed="1")


async def close_code(url: str, token: str, *messages: str) -> int | None:
    """Say something to the chat and give the code that it closes with."""
    address = url + CHAT_ROUTE.format(room="lobby")
    async with connect(address, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as connection:
        try:
            for message in messages:
                await connection.send(message)
            while True:
                await connection.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


def test_guest_is_turned_away_and_comes_again_when_the_policy_is_blind(
    start_backend: Any, receiver: Any, blind: Policy
) -> None:
    """Every attempt but the last met a session that was not there; the backend, the spans and the client agree."""
    receiver.spans.clear()
    backend = start_backend(blind)
    stayed: Stay = asyncio.run(stay(backend.url, guest()))
    happened = backend.stopped()

    assert stayed.answered
    assert stayed.attempts > 1
    assert happened.planted == {TIMING_RACE.name: stayed.attempts - 1}
    assert receiver.patterns_by_route() == {CHAT_ROUTE: [TIMING_RACE.name] * (stayed.attempts - 1)}


def test_guests_need_one_attempt_each_when_messages_are_held(start_backend: Any, receiver: Any, held: Policy) -> None:
    """Eager, slow and gone: no message comes early, and nobody comes twice."""
    receiver.spans.clear()
    backend = start_backend(held)
    guests = [guest(), guest("slow", 0.1), guest("impatient", 0.05)]

    async def all_at_once() -> list[Stay]:
        """They share one cold start."""
        return await asyncio.gather(*(stay(backend.url, one) for one in guests))

    stays = asyncio.run(all_at_once())
    happened = backend.stopped()

    assert [one.attempts for one in stays] == [1, 1, 1]
    assert [one.answered for one in stays] == [True, True, False]
    assert (happened.planted, receiver.patterns_by_route()) == ({}, {})


@pytest.fixture(scope="module")
def held_chat(start_backend: Any) -> Any:
    """One backend behind a gate, for what strangers may send."""
    return start_backend(
        Policy(environment="production", readiness_mode="event", gate="hold", handshake_timeout_ms=5000.0)
    )


@pytest.mark.parametrize(
    "message", ["no json", "[]", '{"type": 1}', '"text"', "{}", json.dumps({"text": "x"})], ids=str
)
def test_chat_refuses_a_message_that_it_cannot_read(held_chat: Any, message: str) -> None:
    """With a code and a reason, and without dying."""
    assert asyncio.run(close_code(held_chat.url, token_of("anna"), message)) == BAD_MESSAGE


@pytest.mark.parametrize("token", ["", "anna", "anna.", ".", "anna.0123"], ids=repr)
def test_chat_refuses_a_token_that_is_not_the_users(held_chat: Any, token: str) -> None:
    """After accept, so that the client sees the code."""
    assert asyncio.run(close_code(held_chat.url, token)) == BAD_TOKEN


def test_token_of_one_user_is_no_token_of_another() -> None:
    """The signature belongs to the name."""
    signature = token_of("anna").removeprefix("anna.")

    with pytest.raises(TokenError):
        user_of(f"bert.{signature}")


def test_user_of_reads_a_name_with_dots() -> None:
    """The signature is what stands behind the last one."""
    assert user_of(token_of("anna.b.c")) == "anna.b.c"
