"""``polled`` readiness: a check of the user's, asked every few milliseconds until it says yes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from acceptfirst.asgi import Scope
from acceptfirst.connection import Connection
from acceptfirst.failsafe import record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State

ReadinessPoll = Callable[[Scope], Awaitable[bool]]


def poll_readiness(connection: Connection, check: ReadinessPoll) -> asyncio.Task[None]:
    """Ask ``check`` until the connection is ready or has ended.

    A check that raises has not said yes; it is asked again, and the failure is counted like one of ours.
    """
    return asyncio.create_task(_poll(connection, check), name="acceptfirst-poll")


async def _poll(connection: Connection, check: ReadinessPoll) -> None:
    while connection.state is State.CONNECTED:
        if await _says_yes(connection, check):
            connection.say_ready()
            return
        await asyncio.sleep(connection.policy.poll_interval_ms / 1000)


async def _says_yes(connection: Connection, check: ReadinessPoll) -> bool:
    try:
        return bool(await check(connection.scope))
    except Exception as error:  # noqa: BLE001 - a failing check must not end the connection
        record_failure("readiness check", error)
        return False
