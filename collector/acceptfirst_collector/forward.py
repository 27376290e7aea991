"""Passes OTLP on to another receiver, `--forward-otlp URL`.

Two ways, for two promises. Metrics and logs are not ours: they are relayed while the client waits, so that its 200
means that the receiver behind took them, and what can't be passed on now is 503. Spans are ours, and acknowledged once
they are on our disk: a copy is offered to a queue in memory, of bounded size, from where it is sent and retried for
some minutes. A receiver that is slow or gone costs copies, which are counted, and never holds up a request.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import random
from collections.abc import Mapping

import httpx

from acceptfirst_collector.metrics import CollectorMetrics
from acceptfirst_collector.otlp.refusal import RefusedError

QUEUE_BYTES_MAX = 64 << 20
SENDERS = 4
SEND_SECONDS_MAX = 10.0
GIVE_UP_SECONDS = 300.0
BACKOFF_SECONDS_MIN = 0.5
BACKOFF_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 1.0
RETRY_AFTER_SECONDS = 5
#: OTLP's retryable statuses, exactly these.
RETRYABLE = frozenset({429, 502, 503, 504})

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Copy:
    """A request to pass on: where to, as what, and since when (the loop's time) it waits."""

    path: str
    media_type: str
    body: bytes
    since: float


class Forwarder:
    """Sends to one receiver. Everything runs on the server's event loop.

    Args:
        url: the receiver's, without `/v1/…`.
        headers: sent along, such as an Authorization.
        metrics: what is told of each copy.
        queue_bytes_max: of the copies that wait.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], metrics: CollectorMetrics, queue_bytes_max: int = QUEUE_BYTES_MAX
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = dict(headers)
        self._metrics = metrics
        self._queue_bytes_max = queue_bytes_max
        self._queue: collections.deque[Copy] = collections.deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._senders: list[asyncio.Task[None]] = []
        self._client: httpx.AsyncClient | None = None
        self._is_down = False
        self.queue_bytes = 0

    async def start(self) -> None:
        """Begin to send."""
        # A receiver is configured, not found: a proxy that the environment names for the web is not asked.
        self._client = httpx.AsyncClient(headers=self._headers, timeout=SEND_SECONDS_MAX, trust_env=False)
        self._senders = [asyncio.create_task(self._run()) for _ in range(SENDERS)]

    async def stop(self) -> None:
        """Send what can be sent in a moment, count the rest as dropped, and end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS_MAX)
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        self._metrics.forward_dropped.labels("stopped").inc(len(self._queue))
        if self._client is not None:
            await self._client.aclose()

    def offer(self, path: str, media_type: str, body: bytes) -> None:
        """Pass a copy on when there is room for it; never waits, never raises."""
        if self.queue_bytes + len(body) > self._queue_bytes_max:
            self._metrics.forward_dropped.labels("full").inc()
            return
        self.queue_bytes += len(body)
        self._queue.append(Copy(path, media_type, body, asyncio.get_running_loop().time()))
        self._idle.clear()
        self._arrived.set()

    async def relay(self, path: str, media_type: str, body: bytes) -> bytes:
        """Pass a request on and wait for its answer.

        Returns:
            The body of a success, in the request's encoding; a partial one stands in it.

        Raises:
            RefusedError: 503 for what may be sent again, else the receiver's own status.
        """
        try:
            answer = await self._send(Copy(path, media_type, body, 0.0))
        except httpx.HTTPError as error:
            raise _later(f"the receiver behind does not answer: {type(error).__name__}") from error
        if answer.is_success:
            self._metrics.forwarded.inc()
            return answer.content
        if answer.status_code in RETRYABLE or answer.is_server_error or answer.is_redirect:
            raise _later(f"the receiver behind answered {answer.status_code}")
        raise RefusedError(answer.status_code, f"the receiver behind answered {answer.status_code}; see its log")

    async def _run(self) -> None:
        while True:
            while self._queue:
                copy = self._queue.popleft()
                try:
                    await self._deliver(copy)
                finally:
                    self.queue_bytes -= len(copy.body)
                if not self.queue_bytes:
                    self._idle.set()
            self._arrived.clear()
            await self._arrived.wait()

    async def _deliver(self, copy: Copy) -> None:
        """Send a copy until it is taken, refused for good, or too old."""
        backoff_seconds = BACKOFF_SECONDS_MIN
        while True:
            outcome, wait_seconds = await self._attempt(copy)
            if outcome == "sent":
                self._say_up()
                self._metrics.forwarded.inc()
                return
            self._say_down(outcome)
            is_late = asyncio.get_running_loop().time() - copy.since > GIVE_UP_SECONDS
            if is_late or outcome == "refused":
                self._metrics.forward_dropped.labels("refused" if outcome == "refused" else "late").inc()
                return
            # Jitter, so that many collectors don't come back to one receiver in step.
            pause = max(wait_seconds, backoff_seconds) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
            await asyncio.sleep(pause)
            backoff_seconds = min(backoff_seconds * 2, BACKOFF_SECONDS_MAX)

    async def _attempt(self, copy: Copy) -> tuple[str, float]:
        """Try once: `sent`, `refused` (for good) or `unavailable`, and how long the receiver asks to wait."""
        try:
            answer = await self._send(copy)
        except httpx.HTTPError:
            return "unavailable", 0.0
        if answer.is_success:
            return "sent", 0.0
        if answer.status_code not in RETRYABLE:
            return "refused", 0.0
        with contextlib.suppress(ValueError):
            return "unavailable", min(float(answer.headers.get("Retry-After", "")), BACKOFF_SECONDS_MAX)
        return "unavailable", 0.0

    async def _send(self, copy: Copy) -> httpx.Response:
        if self._client is None:
            raise _later("the collector is starting")
        headers = {"Content-Type": copy.media_type}
        return await self._client.post(self._url + copy.path, content=copy.body, headers=headers)

    def _say_down(self, outcome: str) -> None:
        if not self._is_down:
            self._is_down = True
            logger.warning("the receiver behind does not take copies (%s); too many are dropped", outcome)

    def _say_up(self) -> None:
        if self._is_down:
            self._is_down = False
            logger.info("the receiver behind takes copies again")


def _later(why: str) -> RefusedError:
    return RefusedError(503, why, RETRY_AFTER_SECONDS)
