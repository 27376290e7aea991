"""The clients of the bug routes: each does what it takes to make one bug happen, over a real connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from acceptfirst_chat.plants import BUG_ROUTES

OPEN_TIMEOUT_S: Final = 15.0
STAY_S_MAX: Final = 15.0
IMPATIENT_S: Final = 0.25
"""How long an impatient client waits for the handshake."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a visitor does once it is in.

    Attributes:
        says: how many messages it sends at once.
        hears: how many answers it waits for before it leaves.
        leaves: ``close`` says goodbye, ``abort`` cuts the TCP connection, ``stay`` waits until the server ends it.
        patience_s: how long it waits for the handshake.
    """

    says: int = 0
    hears: int = 0
    leaves: Literal["close", "abort", "stay"] = "stay"
    patience_s: float = OPEN_TIMEOUT_S


_CHATS: Final = Behaviour(says=1, hears=1, leaves="close")
_PROVOKES: Final = Behaviour(says=1, leaves="stay")
_WAITS: Final = Behaviour()

BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "receive_before_accept": _WAITS,
    "receive_on_unaccepted_object": _PROVOKES,
    "receive_after_local_close": _PROVOKES,
    "receive_after_failed_send": Behaviour(says=1, hears=1, leaves="abort"),
    "receive_after_disconnect": _CHATS,
    "send_before_accept": _CHATS,
    "double_accept": _WAITS,
    "accept_after_client_gone": Behaviour(patience_s=IMPATIENT_S),
    "handshake_stalled": _CHATS,
    "handshake_rejected_403": _WAITS,
    "send_after_disconnect": _CHATS,
    "send_after_close": _PROVOKES,
    "double_close": _PROVOKES,
    "concurrent_receive": Behaviour(says=2, hears=2, leaves="close"),
    "dependency_not_ready": _WAITS,
    "auth_timeout": _WAITS,
    "denial_response": _WAITS,
}


async def visit(base_url: str, plant: str) -> None:
    """Visit a bug route once.

    However the connection ends is how that bug ends it, so nothing of it is an error here.

    Args:
        base_url: such as ``ws://127.0.0.1:8000``.
        plant: the bug's name.
    """
    behaviour = BEHAVIOURS[plant]
    try:
        connection = await connect(
            base_url + BUG_ROUTES[plant].route, open_timeout=behaviour.patience_s, proxy=None, compression=None
        )
    except (InvalidHandshake, OSError, EOFError):
        return  # refused, or out of patience (a TimeoutError)
    try:
        async with asyncio.timeout(STAY_S_MAX):
            await _stay(connection, behaviour)
    except (ConnectionClosed, TimeoutError):
        pass
    finally:
        await connection.close()


async def _stay(connection: ClientConnection, behaviour: Behaviour) -> None:
    for number in range(behaviour.says):
        await connection.send(f"message {number}")
    for _ in range(behaviour.hears):
        await connection.recv()
    if behaviour.leaves == "abort":
        connection.transport.abort()
    elif behaviour.leaves == "stay":
        await connection.wait_closed()
