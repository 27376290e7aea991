"""What a connection has shown so far, worked out field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from acceptfirst.unread import notable_unread_ms

if TYPE_CHECKING:
    from acceptfirst.record import Record

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


class LiveEvidence:
    """What a connection has shown so far, each figure worked out when a pattern asks for it.

    The fields are those of ``acceptfirst.catalogue.Evidence``. Nearly every connection is innocent and asked for one or
    two of them, so making them all would be most of the work.
    """

    __slots__ = ("_record",)

    def __init__(self, record: Record) -> None:
        self._record = record

    @property
    def signature(self) -> str:
        """Its events."""
        return self._record.signature.text

    @property
    def accept_ms(self) -> float | None:
        """The server's call to accept returned."""
        accepted_ns = self._record.moments.get("A")
        return accepted_ns and (accepted_ns - self._record.started_ns) / NS_PER_MS

    @property
    def dwell_ms(self) -> float | None:
        """Accept returned to the end."""
        return dwell_ms(self._record.moments)

    @property
    def idle_ms(self) -> float | None:
        """Last frame to disconnect delivered."""
        return idle_ms(self._record.moments, self._record.last_frame_ns)

    @property
    def unread_ms(self) -> float | None:
        """The longest time without a pending receive, where it is notable."""
        return notable_unread_ms(self._record)

    @property
    def close_code(self) -> int | None:
        """Of the close or the disconnect that ended it."""
        return self._record.close_code

    @property
    def messages_early(self) -> int:
        """Messages handled before the application was ready."""
        return self._record.messages_early

    @property
    def readiness_mode(self) -> str:
        """How readiness is told."""
        return self._record.readiness_mode

    @property
    def error_kind(self) -> str | None:
        """Of the exception that left the application."""
        return self._record.error_kind
