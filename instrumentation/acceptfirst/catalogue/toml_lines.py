"""On which line of a TOML document a value stands; ``tomllib`` only tells the lines of its own errors.

Made for documents that ``tomllib`` has read without complaint, so nothing is checked here: the scanner walks over
headers, keys and values, strings and comments included, and remembers where each began. It runs only when there is
something to complain about.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from typing import Final

Path = tuple[str | int, ...]
"""Keys of tables and 0-based positions in arrays, from the document's root."""

_STRING_STARTS: Final = ('"""', "'''", '"', "'")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")


def line_of(document: str, path: Path) -> int | None:
    """The line on which a value, or the nearest table around it, begins.

    Args:
        document: TOML that ``tomllib`` has read.
        path: of the value.

    Returns:
        Counted from 1; ``None`` where nothing of the path is in the document.
    """
    lines = lines_of(document)
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def lines_of(document: str) -> dict[Path, int]:
    """The line of every header, key and element, by its path; as many as could be read."""
    scanner = _Scanner(document)
    # Not a document that tomllib has read: then what was found so far has to do.
    with suppress(IndexError, RecursionError, ValueError):
        scanner.scan()
    return scanner.lines


class _Scanner:
    """Walks over one document."""

    def __init__(self, document: str) -> None:
        self._text = document
        self._position = 0
        self._table: Path = ()
        self._lengths: dict[Path, int] = {}  # of the arrays of tables so far
        self._counted_to = 0
        self._line = 1
        self.lines: dict[Path, int] = {}

    def scan(self) -> None:
        while self._skip(_SPACE) < len(self._text):
            if self._text.startswith("[", self._position):
                self._header()
            else:
                self._pair(self._table)

    def _header(self) -> None:
        is_array = self._text.startswith("[[", self._position)
        line = self._line_here()
        self._position += 2 if is_array else 1
        *outer, last = self._keys()
        path: Path = ()
        for key in outer:
            path = self._latest((*path, key))
        path = (*path, last)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            self.lines.setdefault(path, line)
        self._table = self._latest(path)
        self.lines.setdefault(self._table, line)
        self._position = self._text.index("]", self._position) + (2 if is_array else 1)

    def _latest(self, path: Path) -> Path:
        """The path of the newest table, where the path is that of an array of them."""
        length = self._lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: Path) -> None:
        line = self._line_here()
        path = (*table, *self._keys())
        for length in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:length], line)
        self._position = self._text.index("=", self._position) + 1
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            start = self._position
            if self._text[start] in "\"'":
                self._string()
                keys.append(str(tomllib.loads(f"key = {self._text[start : self._position]}")["key"]))
            else:
                self._position = start + len((_BARE_KEY.match(self._text, start) or [""])[0])
                keys.append(self._text[start : self._position])
            self._skip(_BLANK)
            if self._text[self._position] != ".":
                return keys
            self._position += 1

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        self.lines.setdefault(path, self._line_here())
        character = self._text[self._position : self._position + 1]
        if character == "[":
            self._position += 1
            self._array(path)
        elif character == "{":
            self._position += 1
            self._inline_table(path)
        elif character in ('"', "'"):
            self._string()
        else:
            self._skip(_BARE_VALUE)

    def _array(self, path: Path) -> None:
        position = 0
        while self._text[self._skip(_SPACE)] != "]":
            if self._text[self._position] == ",":
                self._position += 1
                continue
            self._value((*path, position))
            position += 1
        self._position += 1

    def _inline_table(self, path: Path) -> None:
        while self._text[self._skip(_SPACE)] != "}":
            if self._text[self._position] == ",":
                self._position += 1
                continue
            self._pair(path)
        self._position += 1

    def _string(self) -> None:
        quote = next(start for start in _STRING_STARTS if self._text.startswith(start, self._position))
        self._position += len(quote)
        while not self._text.startswith(quote, self._position):
            escaped = self._text[self._position] == "\\" and quote[0] == '"'
            self._position += 2 if escaped else 1
        self._position += len(quote)
        while len(quote) > 1 and self._text.startswith(quote[0], self._position):
            self._position += 1  # up to two quotes may stand before the closing three

    def _skip(self, what: re.Pattern[str]) -> int:
        found = what.match(self._text, self._position)
        if found is not None:
            self._position = found.end()
        return self._position

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._position)
        self._counted_to = self._position
        return self._line
