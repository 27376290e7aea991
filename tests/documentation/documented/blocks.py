"""The fenced blocks of a page, with what stands before each."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt

NAME: Final = re.compile(r"`([\w./-]+\.(?:py|toml|ya?ml|json|ini|sql|txt))`\)?:$")
NOT_RUN: Final = re.compile(r"\*Not run here: (.+?)\*$", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: of its fence, from 1.
        language: as the fence says; empty where it says none.
        text: what stands in it.
        before: the paragraph directly before it; empty where there is none.
    """

    line: int
    language: str
    text: str
    before: str

    @property
    def file_name(self) -> str:
        """What the block is a file of: the paragraph before it ends with the name and a colon."""
        found = NAME.search(self.before)
        return found[1] if found else ""

    @property
    def reason(self) -> str:
        """Why it can't be run here; empty where it is run. It stands where readers see it, and is true for them too."""
        found = NOT_RUN.search(self.before)
        return found[1] if found else ""


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    found, before = [], ""
    for token in tokens:
        if token.type == "inline":
            before = token.content
        elif token.type == "fence":
            assert token.map
            found.append(Block(token.map[0] + 1, token.info.strip(), token.content, before))
            before = ""
        elif token.type in {"heading_open", "html_block"}:
            before = ""
    return found
