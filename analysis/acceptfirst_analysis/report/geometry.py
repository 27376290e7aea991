"""Where things stand in the figures; the templates only draw them.

Units are those of the figure's viewBox. Text is never measured: labels get room for their longest form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from acceptfirst_analysis.report.model import Distribution, Timeline
from acceptfirst_analysis.units import duration, milliseconds

WIDTH: Final = 720.0
HISTOGRAM_HEIGHT: Final = 150.0
HISTOGRAM_TOP: Final = 34.0
MISSING_WIDTH: Final = 64.0
SEGMENT_WIDTH_MIN: Final = 112.0
INITIALIZING_SHOWN_MS_MIN: Final = 1.0
LABEL_LEFT_SHARE: Final = 0.6  # a label right of here stands left of its line

STATE_CLASSES: Final = {
    "INITIALIZING": "idle",
    "HANDSHAKE_PENDING": "pending",
    "CONNECTED": "connected",
    "READY_FOR_MESSAGES": "ready",
    "ERROR": "error",
    "CLOSED": "idle",
}

STATE_WORDS: Final = {
    "INITIALIZING": "starting",
    "HANDSHAKE_PENDING": "pending",
    "CONNECTED": "connected",
    "READY_FOR_MESSAGES": "ready",
    "ERROR": "error",
    "CLOSED": "closed",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One state in a timeline."""

    x: float
    width: float
    kind: str
    word: str
    duration: str
    trigger: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of a histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line with a label, or a tick of the axis."""

    x: float
    label: str
    kind: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """All that the template draws."""

    bars: tuple[Bar, ...]
    missing: Bar | None
    ticks: tuple[Mark, ...]
    lines: tuple[Mark, ...]
    base: float
    height: float
    axis_end: float
    top: float
    tallest: int


def segments(timeline: Timeline) -> tuple[Segment, ...]:
    """The states of a handshake side by side, each as wide as the logarithm of its time."""
    # The moment before anything happened is no time at all, and would take a tenth of the width.
    steps = [
        step
        for step in zip(timeline.states, timeline.triggers, timeline.durations_ms, strict=True)
        if step[0] != "INITIALIZING" or step[2] > INITIALIZING_SHOWN_MS_MIN
    ]
    if not steps:
        return ()
    wishes = [math.log10(1 + 1000 * max(duration_ms, 0.0)) for _, _, duration_ms in steps]
    room = WIDTH - SEGMENT_WIDTH_MIN * len(wishes)
    scale = max(room, 0.0) / (sum(wishes) or 1.0)
    least = min(SEGMENT_WIDTH_MIN, WIDTH / len(wishes))
    drawn: list[Segment] = []
    x = 0.0
    for (state, trigger, duration_ms), wish in zip(steps, wishes, strict=True):
        width = least + wish * scale
        drawn.append(
            Segment(
                x=round(x, 1),
                width=round(width, 1),
                kind=STATE_CLASSES.get(state, "idle"),
                word=STATE_WORDS.get(state, state),
                duration=duration(duration_ms),
                trigger=trigger,
            )
        )
        x += width
    return tuple(drawn)


def histogram(distribution: Distribution) -> Histogram:
    """Bars on a logarithmic axis that holds every line too, and one bar apart for those that never became ready."""
    axis_end = WIDTH - (MISSING_WIDTH if distribution.n_missing else 0.0)
    low, high = _range_ms(distribution)
    base = HISTOGRAM_TOP + HISTOGRAM_HEIGHT
    tallest = max((*distribution.counts, distribution.n_missing, 1))

    def at(value_ms: float) -> float:
        return round((math.log10(value_ms) - low) / (high - low) * axis_end, 1)

    def bar(x: float, width: float, label: str, count: int) -> Bar:
        height = round(HISTOGRAM_HEIGHT * count / tallest, 1)
        return Bar(x, round(base - height, 1), round(width, 1), height, label, count)

    edges = distribution.edges_ms
    bars = tuple(
        bar(at(start), at(end) - at(start) - 1, f"{milliseconds(start)} to {milliseconds(end)}", count)
        for start, end, count in zip(edges, edges[1:], distribution.counts, strict=False)
    )
    missing = bar(axis_end + 18, MISSING_WIDTH - 30, "never ready", distribution.n_missing)
    return Histogram(
        bars=bars,
        missing=missing if distribution.n_missing else None,
        ticks=tuple(_tick(exponent, at(10.0**exponent)) for exponent in range(math.ceil(low), math.floor(high) + 1)),
        lines=_lines(distribution, at, axis_end),
        base=base,
        height=base + 26,
        axis_end=axis_end,
        top=HISTOGRAM_TOP,
        tallest=tallest,
    )


def _range_ms(distribution: Distribution) -> tuple[float, float]:
    values = [distribution.edges_ms[0], distribution.edges_ms[-1], distribution.in_force_ms, distribution.needed_ms]
    logs = [math.log10(value) for value in values if value]
    return min(logs) - 0.1, max(logs) + 0.1


def _tick(exponent: int, x: float) -> Mark:
    value_ms = 10.0**exponent
    return Mark(x, f"{value_ms / 1000:g} s" if value_ms >= 1000 else f"{value_ms:g} ms", "tick", "middle")  # noqa: PLR2004 - a second


def _lines(distribution: Distribution, at: Callable[[float], float], axis_end: float) -> tuple[Mark, ...]:
    wanted = (
        (distribution.in_force_ms, "in force", "before"),
        (distribution.needed_ms, "needed, bound" if distribution.needed_is_bound else "needed, estimate", "needed"),
    )
    lines = []
    for value_ms, word, kind in wanted:
        if value_ms:
            x = at(value_ms)
            anchor = "end" if x > LABEL_LEFT_SHARE * axis_end else "start"
            lines.append(Mark(x, f"{word}: {milliseconds(value_ms)}", kind, anchor))
    return tuple(lines)
