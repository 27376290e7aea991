"""Reads a body as a stream, inflating it as it comes, and stops at the limit: before and after inflating.

A few kilobytes of gzip can hold gigabytes, so nothing is ever inflated whole and then measured.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from acceptfirst_collector.access.limits import Lease
from acceptfirst_collector.otlp.refusal import RefusedError

GZIP_WINDOW_BITS = 31
STEP_BYTES_MAX = 1 << 20
IDENTITY = frozenset({"", "identity"})


class Inflater:
    """Inflates gzip step by step; takes concatenated members, as the format allows.

    Args:
        bytes_max: the limit of what comes out.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._started = False
        self.out = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Take the next compressed bytes.

        Raises:
            RefusedError: 400 if they are no gzip, 413 if too much comes out.
        """
        rest = chunk
        while rest:
            if self._member.eof:
                self._member = zlib.decompressobj(GZIP_WINDOW_BITS)
            self._started = True
            try:
                self.out += self._member.decompress(rest, min(STEP_BYTES_MAX, self._bytes_max - len(self.out) + 1))
            except zlib.error as error:
                raise RefusedError(400, f"expected a gzip body; it can't be inflated: {error}") from error
            if len(self.out) > self._bytes_max:
                raise RefusedError(413, f"expected at most {self._bytes_max} bytes after inflating; there are more")
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> bytes:
        """Return everything; RefusedError 400 if the last member has no end."""
        if self._started and not self._member.eof:
            raise RefusedError(400, "expected a whole gzip body; it ends in the middle")
        return bytes(self.out)


async def read_body(chunks: AsyncIterator[bytes], encoding: str, bytes_max: int, lease: Lease) -> bytes:
    """Read and inflate a body.

    Args:
        chunks: as they come from the network.
        encoding: the Content-Encoding header, lower case.
        bytes_max: the limit before and after inflating.
        lease: grows with what is kept.

    Raises:
        RefusedError: 413 over the limit, 400 if it can't be inflated, 415 for an encoding that isn't read, 503 when the
            lease can't grow.
    """
    if encoding not in IDENTITY | {"gzip"}:
        raise RefusedError(415, f"expected the Content-Encoding gzip or none; got {encoding[:64]!r}")
    inflater = Inflater(bytes_max) if encoding == "gzip" else None
    plain = bytearray()
    received_bytes = 0
    async for chunk in chunks:
        received_bytes += len(chunk)
        if received_bytes > bytes_max:
            raise RefusedError(413, f"expected a body of at most {bytes_max} bytes; there are more")
        if inflater is None:
            plain += chunk
        else:
            inflater.feed(chunk)
        lease.grow(len(plain) if inflater is None else len(inflater.out))
    return inflater.finish() if inflater is not None else bytes(plain)
