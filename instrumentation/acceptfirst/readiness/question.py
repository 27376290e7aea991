"""Asks a check of the user's whether something is ready, each time with a deadline of its own.

A check may hang, raise, or refuse to be cancelled: none of that may stop whoever asks. There is at most one call of a
check under way; one that does not end when it is cancelled is waited for again, not asked a second time beside itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

from acceptfirst.failsafe import failsafe

Outcome = Literal["up", "down", "failed", "timed_out"]


class Answer(NamedTuple):
    """What came of one call; times are Unix nanoseconds.

    Attributes:
        outcome: ``up`` where it returned something true, ``down`` something false, ``failed`` where it raised.
        error: what it raised, or the ``TimeoutError`` of its deadline.
        started_ns: when it was asked.
        ended_ns: when the answer was there, or the deadline ran out.
    """

    outcome: Outcome
    error: BaseException | None
    started_ns: int
    ended_ns: int

    @property
    def is_yes(self) -> bool:
        """Whether it is ready."""
        return self.outcome == "up"


class Question:
    """One check, asked again and again.

    Args:
        check: gives something true when all is well; anything else, and any exception, is a no.
    """

    __slots__ = ("_check", "_pending")

    def __init__(self, check: Callable[[], Awaitable[object]]) -> None:
        self._check = check
        self._pending: asyncio.Task[object] | None = None

    async def ask(self, deadline_s: float) -> Answer:
        """Ask once, and wait no longer than the deadline for the answer."""
        started_ns, began = time.time_ns(), time.perf_counter_ns()
        task = self._pending
        if task is None or task.done():
            task = self._pending = asyncio.ensure_future(self._call())
            task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=deadline_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        ended_ns = started_ns + time.perf_counter_ns() - began
        if not task.done():
            task.cancel()
            return Answer("timed_out", TimeoutError(), started_ns, ended_ns)
        return _answer_of(task, started_ns, ended_ns)

    async def _call(self) -> object:
        return await self._check()

    @failsafe
    def _ended(self, task: asyncio.Task[object]) -> None:
        """Let go of a call: what it raised holds its frame, and that one holds us."""
        if self._pending is task:
            self._pending = None
        if not task.cancelled():
            task.exception()  # taken, so that asyncio does not complain where nobody waits for it any more


def _answer_of(task: asyncio.Task[object], started_ns: int, ended_ns: int) -> Answer:
    if task.cancelled():
        return Answer("failed", asyncio.CancelledError(), started_ns, ended_ns)
    error = task.exception()
    if error is not None:
        return Answer("failed", error, started_ns, ended_ns)
    return Answer("up" if task.result() else "down", None, started_ns, ended_ns)
