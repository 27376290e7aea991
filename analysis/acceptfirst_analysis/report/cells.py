"""What stands in the cells of a Markdown table."""

from __future__ import annotations

from typing import Final

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_SPARKS_WIDTH_MAX: Final = 32


def cell(text: object) -> str:
    """Text for a cell of a Markdown table: on one line, without anything that Markdown or HTML would act on."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]|<>#~" else "&amp;" if c == "&" else c for c in flat)


def spark(counts: tuple[int, ...]) -> str:
    """A histogram as a line of blocks, its bins joined until it is short enough."""
    values = list(counts)
    while len(values) > _SPARKS_WIDTH_MAX:
        values = [sum(values[i : i + 2]) for i in range(0, len(values), 2)]
    tallest = max(values, default=0) or 1
    return "".join(_SPARKS[min(len(_SPARKS) - 1, -(-value * (len(_SPARKS) - 1) // tallest))] for value in values)
