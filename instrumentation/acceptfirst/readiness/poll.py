"""``polled`` readiness: a check of the user's, asked every few milliseconds until it says yes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from acceptfirst.asgi import Scope
from acceptfirst.connection import Connection
from acceptfirst.failsafe import record_failure
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst.policy import Policy
from acceptfirst.readiness.question import Question

ReadinessPoll = Callable[[Scope], Awaitable[object]]

SHARE_OF_TIMEOUT: Final = 0.5
"""A check that hangs is given up after this share of the handshake timeout, so that at least two fit in."""


def poll_readiness(connection: Connection, check: ReadinessPoll) -> asyncio.Task[None]:
    """Ask ``check`` until the connection is ready or has ended, also after the handshake timeout.

    A check that raises, or does not answer in its time, has not said yes; it is asked again, and the failure is counted
    like one of ours.
    """
    return asyncio.create_task(_poll(connection, check), name="acceptfirst-poll")


def check_deadline_ms(policy: Policy) -> float:
    """How long one call of the check may take, in milliseconds."""
    return max(policy.poll_interval_ms, policy.handshake_timeout_ms * SHARE_OF_TIMEOUT)


async def _poll(connection: Connection, check: ReadinessPoll) -> None:
    try:
        await _ask_until_ready(connection, check)
    except Exception as error:  # noqa: BLE001 - nobody awaits this task
        record_failure("poll_readiness", error)


async def _ask_until_ready(connection: Connection, check: ReadinessPoll) -> None:
    question = Question(partial(check, connection.scope))
    deadline_s = check_deadline_ms(connection.policy) / 1000
    while connection.state is State.CONNECTED:
        answer = await question.ask(deadline_s)
        if answer.is_yes:
            connection.say_ready()
            return
        if isinstance(answer.error, Exception):
            record_failure("readiness check", answer.error)
        await asyncio.sleep(connection.policy.poll_interval_ms / 1000)
