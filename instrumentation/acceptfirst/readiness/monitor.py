"""Asks an application's dependencies, in the background, whether they are there.

Design constraints:

- no connection ever waits for a check: what is known is read, and nothing more;
- one watch for each middleware and event loop, since clients belong to loops; a process that forks, or a thread with a
  loop of its own, gets a watch of its own at its first connection;
- a failure of ours leaves a dependency unknown, and what is unknown refuses nobody;
- checks run without a trace around them and with other instrumentations suppressed: a poll makes no spans.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final, NamedTuple

from acceptfirst.asgi import ASGIApplication, Message, Receive, Scope, Send
from acceptfirst.failsafe import failsafe, logger, record_failure
from acceptfirst.readiness.dependencies import Dependency, DependencyStatus
from acceptfirst.readiness.question import Answer, Question

BACKOFF_MS_MAX: Final = 5000.0
"""While a dependency is down it is asked after 1, 2, 4 … intervals, but no later than this or its interval."""

STOP_PATIENCE_S: Final = 1.0
_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000


class Checked(NamedTuple):
    """One answer of one dependency, for whoever reports it."""

    dependency: Dependency
    answer: Answer
    changed: bool


Reporter = Callable[[Checked], object]


class _Watched:
    """One dependency on one loop."""

    __slots__ = ("dependency", "failures", "next_check", "question", "status")

    def __init__(self, dependency: Dependency) -> None:
        self.dependency = dependency
        self.question = Question(dependency.check)
        self.failures = 0
        self.next_check = 0.0  # the loop's time
        self.status = DependencyStatus(dependency.name, None, dependency.required)

    @property
    def is_down(self) -> bool:
        """Whether it is known to be down."""
        return self.status.is_up is False

    def take(self, answer: Answer) -> bool:
        """Keep an answer; gives whether it changed anything."""
        changed = self.status.is_up is not answer.is_yes
        self.failures = 0 if answer.is_yes else self.failures + 1
        at = datetime.fromtimestamp(answer.ended_ns / _NS_PER_S, UTC)
        self.status = DependencyStatus(
            self.dependency.name,
            answer.is_yes,
            self.dependency.required,
            since=at if changed else self.status.since,
            checked_at=at,
            duration_ms=(answer.ended_ns - answer.started_ns) / _NS_PER_MS,
            error_type=None if answer.error is None else type(answer.error).__name__,
        )
        return changed

    def wait_s(self) -> float:
        """How long to wait before the next call."""
        interval_ms = self.dependency.interval_ms
        doubled_ms = interval_ms * 2.0 ** min(max(self.failures - 1, 0), 16)
        return min(doubled_ms, max(interval_ms, BACKOFF_MS_MAX)) / 1000


class _Watch:
    """All dependencies on one loop, each asked by a task of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, dependencies: Sequence[Dependency], report: Reporter) -> None:
        self.loop = loop
        self.watched = [_Watched(dependency) for dependency in dependencies]
        self._report = report
        self._answered = 0
        self.all_answered = asyncio.Event()
        context = contextvars.Context()  # of no connection: whichever came first is not the cause of all checks
        self.tasks = [
            loop.create_task(self._ask(watched), name="acceptfirst-dependency", context=context)
            for watched in self.watched
        ]

    @property
    def is_over(self) -> bool:
        """Whether a task has ended; somebody may have cancelled all tasks of the loop."""
        return any(task.done() for task in self.tasks)

    async def _ask(self, watched: _Watched) -> None:
        from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 - few declare any

        try:
            with suppress_instrumentation():
                while True:
                    answer = await watched.question.ask(watched.dependency.deadline_ms / 1000)
                    self._take(watched, answer)
                    wait_s = watched.wait_s()
                    watched.next_check = self.loop.time() + wait_s
                    await asyncio.sleep(wait_s)
        except Exception as error:  # noqa: BLE001 - ours; what is unknown refuses nobody, and the next connection tries anew
            record_failure("DependencyMonitor._ask", error)
        finally:
            watched.status = DependencyStatus(watched.dependency.name, None, watched.dependency.required)

    @failsafe
    def _take(self, watched: _Watched, answer: Answer) -> None:
        is_first = watched.status.is_up is None
        changed = watched.take(answer)
        if is_first:
            self._answered += 1
            if self._answered == len(self.watched):
                self.all_answered.set()
        if changed:
            _log_change(watched.status, is_first=is_first)
        self._report(Checked(watched.dependency, answer, changed))


class DependencyMonitor:
    """What is known of the dependencies of one instrumented application.

    Args:
        dependencies: whom to ask; their names differ.
        report: is told each answer.
    """

    def __init__(self, dependencies: Sequence[Dependency], report: Reporter) -> None:
        self.dependencies = tuple(dependencies)
        self._report = report
        # Replaced as a whole: threads may have loops of their own.
        self._watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self._latest: _Watch | None = None

    @failsafe
    def start(self) -> None:
        """Ask from now on, on the loop that runs; harmless where that is done, or where no asyncio loop runs."""
        loop = _running_loop()
        if loop is None:
            return
        watch = self._watches.get(loop)
        if watch is None or watch.is_over:
            watch = _Watch(loop, self.dependencies, self._report)
            alive = {other: kept for other, kept in self._watches.items() if not other.is_closed()}
            self._watches = {**alive, loop: watch}
        self._latest = watch

    async def first_answers(self) -> None:
        """Wait until every dependency has answered, or not answered in its time."""
        watch = self._here()
        if watch is not None:
            patience_s = max(dependency.deadline_ms for dependency in self.dependencies) / 1000 + STOP_PATIENCE_S
            try:
                await asyncio.wait_for(watch.all_answered.wait(), patience_s)
            except TimeoutError as error:
                record_failure("DependencyMonitor.first_answers", error)

    async def stop(self) -> None:
        """Ask no more on this loop."""
        loop = _running_loop()
        watch = None if loop is None else self._watches.get(loop)
        if watch is None:
            return
        self._watches = {other: kept for other, kept in self._watches.items() if other is not loop}
        for task in watch.tasks:
            task.cancel()
        await asyncio.wait(watch.tasks, timeout=STOP_PATIENCE_S)

    def statuses(self) -> tuple[DependencyStatus, ...]:
        """What is known now, in the order in which the dependencies were given.

        From a thread without a loop: what is known on the loop that was watched last.
        """
        watch = self._here()
        if watch is None:
            return tuple(DependencyStatus(d.name, None, d.required) for d in self.dependencies)
        return tuple(watched.status for watched in watch.watched)

    def down(self) -> tuple[DependencyStatus, ...]:
        """The required ones that are known to be down."""
        watch = self._here()
        if watch is None:
            return ()
        return tuple(watched.status for watched in watch.watched if watched.is_down and watched.dependency.required)

    def retry_after_s(self) -> int:
        """Whole seconds, 1 or more, until all that are down have been asked again."""
        watch = self._here()
        if watch is None:
            return 1
        due = [watched.next_check for watched in watch.watched if watched.is_down]
        return max(1, ceil(max(due, default=0.0) - watch.loop.time()))

    def describe_down(self) -> str:
        """Which are down, for how long and why; empty where none is."""
        watch = self._here()
        return "" if watch is None else ", ".join(_words(w.status) for w in watch.watched if w.is_down)

    async def run_lifespan(
        self, app: ASGIApplication, scope: Scope, receive: Receive, send: Send, *, wait: bool
    ) -> None:
        """Run an application's lifespan: ask from the end of its start-up to the beginning of its shutdown.

        Args:
            app: the application.
            scope: of the lifespan.
            receive: of the server.
            send: of the server.
            wait: whether the server hears of the end of the start-up only when every dependency has answered.
        """

        async def receive_watched() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.stop()  # before the application closes the clients that the checks use
            return message

        async def send_watched(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.start()
                if wait:
                    await self.first_answers()
            await send(message)

        try:
            await app(scope, receive_watched, send_watched)
        finally:
            await self.stop()

    def _here(self) -> _Watch | None:
        loop = _running_loop()
        return self._latest if loop is None else self._watches.get(loop)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _words(status: DependencyStatus) -> str:
    since = status.since
    for_s = "" if since is None else f", for {max(0.0, time.time() - since.timestamp()):.1f} s"
    return f"{status.name} ({status.error_type or 'its check said no'}{for_s})"


def _log_change(status: DependencyStatus, *, is_first: bool) -> None:
    if not status.is_up:
        logger.warning("dependency %s is down: %s", status.name, status.error_type or "its check returned nothing true")
    elif not is_first:
        logger.info("dependency %s is up again", status.name)
