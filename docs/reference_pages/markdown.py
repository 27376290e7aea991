"""Pieces of Markdown that GitHub and the site show alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

NOTICE: Final = "<!-- Made by `make docs` from {source}. Change that, not this. -->"


def page(source: str, *sections: str) -> str:
    """A page that says where it comes from."""
    return "\n\n".join([NOTICE.format(source=source), *(section for section in sections if section)]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; a bar in a cell is kept from ending it."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str, language: str = "python") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip()}\n```"


def words(text: str) -> str:
    """Text of a docstring or a help in one line: literals as Markdown writes them, and nothing that reads as HTML."""
    line = " ".join(text.split()).replace("``", "`")
    return re.sub(r"<(?=[^`]*(?:`[^`]*`[^`]*)*$)", "&lt;", line)
