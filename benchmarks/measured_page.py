"""Puts what a benchmark measured into a page of the documentation, between two marks, and leaves the rest as it is."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def write_between(page: Path, mark: str, text: str) -> None:
    """Put a text between ``<!-- mark -->`` and ``<!-- /mark -->``.

    Args:
        page: a file that has both marks, in this order.
        mark: what the two are called.
        text: Markdown; replaces whatever stood there.

    Raises:
        SystemExit: a mark is missing.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, began, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not (began and ended):
        raise SystemExit(f"expected {begin} and {end} in {page}, but found none: put them where the figures belong")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def machine() -> str:
    """What it was measured on, and how much others asked of it in the last quarter of an hour."""
    load = os.getloadavg()[2]
    return f"{os.cpu_count()} processors, {platform.machine()}, Python {platform.python_version()}, load {load:.1f}"
