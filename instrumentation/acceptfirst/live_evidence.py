"""The figures of the evidence that follow from when the first event of each letter happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NS_PER_MS: Final = 1_000_000

Moments = Mapping[str, int]
"""When the first event of each letter happened, Unix nanoseconds."""


def since_ms(moments: Moments, letter: str, until_ns: int) -> float | None:
    """Milliseconds from the first event of this letter, ``None`` where there was none."""
    moment = moments.get(letter)
    return None if moment is None else (until_ns - moment) / NS_PER_MS


def dwell_ms(moments: Moments) -> float | None:
    """Accept returned to the end: the disconnect delivered, or the application's close before it."""
    ends_ns = [moments[letter] for letter in "XD" if letter in moments]
    return since_ms(moments, "A", min(ends_ns)) if ends_ns else None


def idle_ms(moments: Moments, last_frame_ns: int) -> float | None:
    """Last frame either way (0: none) to disconnect delivered."""
    disconnected_ns = moments.get("D")
    return (disconnected_ns - last_frame_ns) / NS_PER_MS if disconnected_ns and last_frame_ns else None
