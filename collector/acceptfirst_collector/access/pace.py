"""Bodies that come too slowly, and how long one may take.

A client on a bad line is slow and honest, so the time grows with what has come: some seconds to begin with, and then no
less than a rate that any line reaches. A time-out is answered with 503, never 408: clients must not send a request
again that got a 408, and would lose what they hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from acceptfirst_collector.otlp.refusal import RefusedError

GRACE_SECONDS = 10.0
BYTES_PER_SECOND_MIN = 16 << 10
RETRY_SECONDS = 5


class SlowBodyError(RefusedError):
    """The body did not come in time; what is left of it is not waited for."""

    def __init__(self) -> None:
        super().__init__(503, "the body came too slowly; send it again", RETRY_SECONDS)


async def paced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass the chunks on for as long as they keep the pace.

    Args:
        chunks: as they come from the network.

    Raises:
        SlowBodyError: they don't.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    received_bytes = 0
    while True:
        deadline = begun + GRACE_SECONDS + received_bytes / BYTES_PER_SECOND_MIN
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise SlowBodyError from None
        if chunk is None:
            return
        received_bytes += len(chunk)
        yield chunk
