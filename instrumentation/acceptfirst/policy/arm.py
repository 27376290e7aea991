"""Which arm of a canary a connection is in: told by its id alone, so that the whole fleet agrees.

Whether a connection is *sampled* is told by the low 64 bits of the same id (``connection_id.is_drawn``). The arm must
not follow from that, or a canary would be measured on a slice of it: so it is drawn from a keyed hash of the whole id.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

Arm = Literal["baseline", "canary"]

_KEY: Final = b"acceptfirst.policy.arm"
_DIGEST_BYTES: Final = 8


def is_canary(connection_id: bytes, share: float) -> bool:
    """Whether a connection is in the canary.

    Args:
        connection_id: 16 bytes.
        share: of all connections, 0 to 1. A connection that is in at one share is in at every greater one.
    """
    drawn = int.from_bytes(blake2b(connection_id, digest_size=_DIGEST_BYTES, key=_KEY).digest(), "big")
    return drawn < share * 2.0**64
