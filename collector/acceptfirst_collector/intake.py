"""The one way into the log, whatever the transport: a request is on the disk before `take` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from acceptfirst_collector.log.journal import LogUnwritableError
from acceptfirst_collector.log.request_log import BacklogFullError
from acceptfirst_collector.otlp.door import Accepted
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.services import Services

RETRY_AFTER_SECONDS = 5
TRACES_PATH = "/v1/traces"
#: Bodies over this are parsed in a thread, so that one client's large request doesn't hold up the others' small ones:
#: a MiB takes 3 ms; what SDKs send, 512 spans, has 300 KiB and is not worth a thread.
INLINE_BYTES_MAX = 1 << 20


class Intake:
    """Takes bodies; all of its calls run on the server's event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def request_bytes_max(self) -> int:
        """The limit of a body, before and after inflating."""
        return self._services.settings.request_bytes_max

    async def take(self, body: bytes, admit: Callable[[bytes], Accepted], media_type: str) -> None:
        """Return when the request, or an identical one before it, is on the disk.

        Args:
            body: as it came, inflated; an empty one is a request without spans.
            admit: parses it; `acceptfirst_collector.otlp.door` has one for each encoding.
            media_type: of the body, for whoever it is passed on to.

        Raises:
            RefusedError: it is none (400), or it can't be taken now (503).
        """
        if not body:
            return
        accepted = admit(body) if len(body) <= INLINE_BYTES_MAX else await asyncio.to_thread(admit, body)
        is_new = await self._append(accepted)
        if is_new and self._services.forwarder is not None:
            self._services.forwarder.offer(TRACES_PATH, media_type, body)

    async def _append(self, accepted: Accepted) -> bool:
        """Return once it is on the disk: whether it was not there before."""
        future = self._services.resends.find(accepted.digest)
        is_repeated = future is not None
        try:
            if future is None:
                trouble = self._services.trouble()
                # A log that could not be written is tried again: nothing else would find out that it can be.
                if trouble and self._services.log.writable:
                    raise later(trouble)
                future = self._services.log.append(accepted.digest, accepted.payload)
                self._services.resends.remember(accepted.digest, future)
            # Shielded, since a client that goes away must not cancel an append that another waits for.
            await asyncio.shield(asyncio.wrap_future(future))
        except (BacklogFullError, LogUnwritableError) as error:
            raise later(str(error)) from error
        self._count(accepted, is_repeated=is_repeated)
        return not is_repeated

    def _count(self, accepted: Accepted, *, is_repeated: bool) -> None:
        if is_repeated:
            self._services.metrics.requests_repeated.inc()
        else:
            self._services.metrics.spans_accepted.inc(accepted.spans)


def later(why: str) -> RefusedError:
    """What can't be done now and may be asked again."""
    return RefusedError(503, why, RETRY_AFTER_SECONDS)
