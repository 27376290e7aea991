"""Closes a connection with 1013, "try again later", or with the code that stands in for it where a server refuses that.

daphne's protocol library lets an application send 1000 and 3000 to 4999 only: it raises for 1013, and leaves the
connection open, also when the application returns.
"""

from __future__ import annotations

from typing import Final

from acceptfirst.asgi import Send

TRY_AGAIN_LATER: Final = 1013
STAND_IN: Final = 4013


async def close_try_again_later(send: Send, reason: str) -> int:
    """Close an accepted connection.

    Returns:
        The code that the server took.

    Raises:
        Exception: what the server raised, when the client is gone (``OSError``) or it refused both codes.
    """
    try:
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": reason})
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - each server has its own; a failure of the second attempt is raised
        await send({"type": "websocket.close", "code": STAND_IN, "reason": reason})
        return STAND_IN
    return TRY_AGAIN_LATER
