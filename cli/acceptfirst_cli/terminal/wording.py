"""Numbers and times as people read them in a terminal."""

from __future__ import annotations

import datetime as dt
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_MANY_MS: Final = 100


def size(count: float | None) -> str:
    """Bytes with their unit; ``?`` when nobody knows."""
    if count is None:
        return "?"
    value, unit = float(count), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def age(seconds: float | None) -> str:
    """A span of time in its two largest units; ``never`` when there is none."""
    if seconds is None:
        return "never"
    parts, rest = [], int(seconds)
    for length, name in _SPANS:
        if rest >= length:
            parts.append(f"{rest // length} {name}")
            rest %= length
    return " ".join(parts[:2]) or "0 s"


def clock_time(text: str | None) -> str:
    """An ISO 8601 time as the local time of day."""
    return dt.datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S") if text else ""


def millis(nanoseconds: float) -> str:
    """A duration of the handshake; empty for 0, which means never."""
    if not nanoseconds:
        return ""
    value = nanoseconds / 1e6
    return f"{value:.0f} ms" if value >= _MANY_MS else f"{value:.1f} ms"
