"""Identities of connections: 16 bytes, of which the first 48 bits are Unix milliseconds, so that they sort by time."""

from __future__ import annotations

import os
import random
from typing import Final

_NS_PER_MS: Final = 1_000_000
_RANDOM_BITS: Final = 80
_TIME_MASK: Final = (1 << 48) - 1

# Unique is enough, unguessable is not asked for: a generator of our own costs a tenth of a system call, and leaves the
# application's `random` and its seeds alone.
_random: Final = random.Random()  # noqa: S311 - see above
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # two workers must not draw the same identities


def new_connection_id(started_ns: int) -> bytes:
    """A new identity.

    Args:
        started_ns: when the connection began, Unix nanoseconds.
    """
    # A wall clock may say anything; the mask costs nothing, and an identity is there in any case.
    time_ms = started_ns // _NS_PER_MS & _TIME_MASK
    return (time_ms << _RANDOM_BITS | _random.getrandbits(_RANDOM_BITS)).to_bytes(16, "big")


def is_drawn(connection_id: bytes, rate: float) -> bool:
    """Whether a connection is in a sample, told by the random half of its id, so that every process agrees.

    Args:
        connection_id: 16 bytes.
        rate: share that is drawn, 0 to 1.
    """
    return rate >= 1.0 or int.from_bytes(connection_id[8:], "big") < rate * 2.0**64
