"""Distributions as PNG, for mail programs: they show no SVG. Same bars and lines as ``geometry`` gives the HTML."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from acceptfirst_analysis.report import geometry
from acceptfirst_analysis.report.model import Distribution

SCALE: Final = 2  # for screens with two pixels a point; the mail shows it at half its size
MARGIN: Final = 12
COLOURS_MAX: Final = 32

_PAPER, _INK, _SOFT, _LINE = "#fcfcfa", "#1d2327", "#545c62", "#dcdcd6"
_BAR, _NEVER, _NEEDED = "#00577f", "#d55e00", "#9a4a00"
_DASH: Final = 6

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def histogram_png(distribution: Distribution) -> bytes:
    """The histogram of a distribution, a few kilobytes."""
    drawn = geometry.histogram(distribution)
    size = (round(geometry.WIDTH + 2 * MARGIN) * SCALE, round(drawn.height + MARGIN) * SCALE)
    image = Image.new("RGB", size, _PAPER)
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(14 * SCALE)
    for bar in (*drawn.bars, *((drawn.missing,) if drawn.missing else ())):
        if bar.count:
            colour = _NEVER if bar is drawn.missing else _BAR
            canvas.rectangle((_at(bar.x, bar.y), _at(bar.x + max(bar.width, 1), bar.y + bar.height)), fill=colour)
    canvas.line([_at(0, drawn.base), _at(drawn.axis_end, drawn.base)], fill=_LINE, width=SCALE)
    for tick in drawn.ticks:
        canvas.text(_at(tick.x, drawn.base + 8), tick.label, fill=_SOFT, font=font, anchor="ma")
    if drawn.missing:
        middle = drawn.missing.x + drawn.missing.width / 2
        canvas.text(_at(middle, drawn.base + 8), "never", fill=_SOFT, font=font, anchor="ma")
    for row, line in enumerate(drawn.lines):
        _draw_line(canvas, line, 18 * row, drawn.base, font)
    return _compressed(image)


def _draw_line(
    canvas: ImageDraw.ImageDraw,
    line: geometry.Mark,
    top: float,
    base: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    colour = _NEEDED if line.kind == "needed" else _SOFT
    y = top + 4
    step = _DASH if line.kind == "before" else base - y
    while y < base:
        canvas.line([_at(line.x, y), _at(line.x, min(y + step, base))], fill=colour, width=2 * SCALE)
        y += 2 * step
    aside, anchor = (6, "la") if line.anchor == "start" else (-6, "ra")
    canvas.text(_at(line.x + aside, top + 2), line.label, fill=_INK, font=font, anchor=anchor)


def _at(x: float, y: float) -> tuple[float, float]:
    return (x + MARGIN) * SCALE, y * SCALE


def _compressed(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.quantize(COLOURS_MAX).save(written, "PNG", optimize=True)
    return written.getvalue()
