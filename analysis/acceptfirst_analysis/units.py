"""Numbers as text, the same in every rationale, report and page. Loads nothing, so that ``serve`` can use it too."""

from __future__ import annotations

from typing import Final

WHOLE_FROM_MS: Final = 100.0
SECONDS_FROM_MS: Final = 10_000.0
DECIMAL_BELOW: Final = 10.0
SECONDS_SHOWN_MAX: Final = 120.0
MINUTES_SHOWN_MAX: Final = 120.0


def milliseconds(value: float) -> str:
    """``22.4 ms``: three digits, and a thousands separator above that."""
    return f"{value:,.0f} ms" if value >= WHOLE_FROM_MS else f"{value:.3g} ms"


def duration(value_ms: float) -> str:
    """``8.4 ms``, ``12.3 s``: above ten seconds milliseconds are noise."""
    if value_ms >= SECONDS_FROM_MS:
        return f"{value_ms / 1000:,.1f} s"
    return milliseconds(value_ms) if value_ms > 0 else "0 ms"


def elapsed(value_ms: float) -> str:
    """``0.8 s``, ``45 s``, ``12 min``, ``3.5 h``: how long something lasts already, or was waited for in all."""
    seconds = value_ms / 1000.0
    if seconds < DECIMAL_BELOW:
        return f"{seconds:.2g} s"
    if seconds < SECONDS_SHOWN_MAX:
        return f"{seconds:.0f} s"
    minutes = seconds / 60.0
    return f"{minutes:.0f} min" if minutes < MINUTES_SHOWN_MAX else f"{minutes / 60.0:,.1f} h"


def per_cent(share: float) -> str:
    """``0.1 %``: three digits."""
    return f"{100 * share:.3g} %"


def count(value: float) -> str:
    """``12,345``; below ten with one decimal where there is one."""
    return f"{value:,.0f}" if value >= DECIMAL_BELOW or value == int(value) else f"{value:.1f}"


def plural(number: int, noun: str, plural_noun: str = "") -> str:
    """``1 fix``, ``2 fixes``, ``1,000 fixes``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {plural_noun or noun + 's'}"
