"""Where the parts of the swim-lanes stand. One axis for all rows: two handshakes are compared by looking down.

The axis is logarithmic from a tenth of a millisecond, since an accept takes one and a cold start a thousand. Units are
those of the lane's viewBox; text is never measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from acceptfirst_analysis.page.model import Handshake
from acceptfirst_analysis.report.geometry import STATE_CLASSES, STATE_WORDS
from acceptfirst_analysis.units import duration

WIDTH: Final = 1000
UNIT_MS: Final = 0.1
ENDS_MS: Final = (100.0, 1_000.0, 10_000.0, 60_000.0)
TICKS_MS: Final = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
SEGMENT_WIDTH_MIN: Final = 3.0
HEIGHTS: Final = {"idle": 2, "pending": 4, "connected": 8, "ready": 14, "error": 14}
"""A handshake gets thicker as it gets on, so that the states differ by more than their colours."""

ENDED_WELL: Final = "ready"
OUTCOME_WORDS: Final = {
    "ready": "ready",
    "rejected": "rejected",
    "failed": "failed",
    "abandoned": "client left",
    "timed_out": "timed out",
    "open": "open",
}


@dataclass(frozen=True, slots=True)
class Block:
    """One state of one handshake."""

    x: float
    width: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis, and where it stands in per cent of the width."""

    per_cent: float
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A handshake, drawn.

    Attributes:
        handshake: which.
        blocks: its states.
        message_x: where the first client message came; ``None`` for none.
        is_early: whether it came before the application was ready.
        words: the same, to be heard.
        outcome: in words.
        lasted: how long until ready, or until it ended.
    """

    handshake: Handshake
    blocks: tuple[Block, ...]
    message_x: float | None
    is_early: bool
    words: str
    outcome: str
    lasted: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The scale that all lanes share."""

    end_ms: float

    def at(self, value_ms: float) -> float:
        """Where a time stands; what lies beyond the end stands there."""
        share = math.log10(1 + max(value_ms, 0.0) / UNIT_MS) / math.log10(1 + self.end_ms / UNIT_MS)
        return round(min(share, 1.0) * WIDTH, 1)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Its labels."""
        return tuple(
            Tick(round(100 * self.at(value) / WIDTH, 1), _round_time(value))
            for value in TICKS_MS
            if value < self.end_ms
        )


def _round_time(value_ms: float) -> str:
    return f"{value_ms / 1000:g} s" if value_ms >= 1000 else f"{value_ms:g} ms"  # noqa: PLR2004 - a second


def axis_of(handshakes: Sequence[Handshake]) -> Axis:
    """The shortest scale that shows every handshake up to ready, or to what ended it."""
    longest_ms = max((_handshake_ms(handshake) for handshake in handshakes), default=0.0)
    return Axis(next((end for end in ENDS_MS if end >= longest_ms), ENDS_MS[-1]))


def lanes_of(handshakes: Sequence[Handshake], axis: Axis) -> tuple[Lane, ...]:
    """The handshakes, drawn on one axis."""
    return tuple(_lane(handshake, axis) for handshake in handshakes)


def _handshake_ms(handshake: Handshake) -> float:
    return handshake.ready_ms if handshake.ready_ms is not None else sum(handshake.durations_ms)


def _lane(handshake: Handshake, axis: Axis) -> Lane:
    message_ms, ready_ms = handshake.first_message_ms, handshake.ready_ms
    is_early = message_ms is not None and (ready_ms is None or message_ms < ready_ms)
    return Lane(
        handshake=handshake,
        blocks=tuple(_blocks(handshake, axis)),
        message_x=None if message_ms is None else axis.at(message_ms),
        is_early=is_early,
        words=_words(handshake, is_early=is_early),
        outcome=OUTCOME_WORDS.get(handshake.outcome, handshake.outcome),
        lasted=duration(_handshake_ms(handshake)) if handshake.states else "",
    )


def _blocks(handshake: Handshake, axis: Axis) -> list[Block]:
    blocks: list[Block] = []
    at_ms = 0.0
    for state, duration_ms in zip(handshake.states, handshake.durations_ms, strict=True):
        kind = STATE_CLASSES.get(state, "idle")
        start, end = axis.at(at_ms), axis.at(at_ms + duration_ms)
        at_ms += duration_ms
        if kind == "idle" and end - start < SEGMENT_WIDTH_MIN:
            continue  # the moment before anything happened
        width = min(max(end - start, SEGMENT_WIDTH_MIN), WIDTH - start + SEGMENT_WIDTH_MIN)
        height = HEIGHTS[kind]
        blocks.append(Block(min(start, WIDTH - SEGMENT_WIDTH_MIN), round(width, 1), 8 - height / 2, height, kind))
    return blocks


def _words(handshake: Handshake, *, is_early: bool) -> str:
    steps = [
        f"{STATE_WORDS.get(state, state)} {duration(duration_ms)}"
        for state, duration_ms in zip(handshake.states, handshake.durations_ms, strict=True)
        if state != "INITIALIZING"
    ]
    early = ["first message before ready"] if is_early else []
    return ", ".join([*steps, *early]) or "no transition is stored"
