"""Data on standard output: a table for a person at a terminal, tab-separated lines for a pipe, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

LEGIBLE: Final = 16
"""Characters of a column below which a table is no help any more."""
GAP: Final = 2


def print_json(document: Any) -> None:
    """One JSON document, indented."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_json_line(document: Any) -> None:
    """One JSON document on one line, at once: somebody may be waiting at the other end of the pipe."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Rows under headings; on a terminal too narrow for that, a line for each cell.

    Args:
        columns: headings.
        rows: cells, printed as text; what comes from outside can't colour the terminal or break a line.
        title: above the table, at a terminal only.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            sys.stdout.write("\t".join(_flat(cell) for cell in row) + "\n")
        return
    console = Console()
    if not _fits(columns, rows, console.width):
        _print_records(console, columns, rows, title)
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_flat(cell)) for cell in row))
    console.print(table)


def _fits(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> bool:
    """Whether every column can have what it needs, or at least a width in which words are still read."""
    cells = [columns, *rows]
    needed = [min(LEGIBLE, max(len(_flat(row[i])) for row in cells)) for i in range(len(columns))]
    return not rows or sum(needed) + GAP * (len(columns) - 1) <= width


def _print_records(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str) -> None:
    """Each row as lines of its own, without those that say nothing."""
    if title:
        console.print(escape(title), style="italic")
    headings = max(map(len, columns))
    for number, row in enumerate(rows):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim", no_wrap=True, min_width=headings)
        table.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            if text := _flat(cell):
                table.add_row(escape(column), escape(text))
        console.print(table)


def print_styled(columns: Sequence[str], rows: Sequence[Sequence[Any]], styles: Sequence[str]) -> None:
    """As `print_table`, with one style a row for its first two cells: colour repeats what the words say."""
    if not sys.stdout.isatty():
        print_table(columns, rows)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row, style in zip(rows, styles, strict=True):
        cells = [escape(_flat(cell)) for cell in row]
        table.add_row(*(f"[{style}]{cell}[/]" if cell else "" for cell in cells[:2]), *cells[2:])
    Console().print(table)


def print_sections(sections: Sequence[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]) -> None:
    """Several titled tables, one below the other, with a blank line between them and only where there is something."""
    for position, (title, columns, rows) in enumerate(sections):
        if position:
            sys.stdout.write("\n")
        if title and not sys.stdout.isatty():
            sys.stdout.write(f"{title}\n")
        print_table(columns, rows, title=title)


def print_line(cells: Sequence[Any], widths: Sequence[int], style: str = "") -> None:
    """One line of a table that never ends, at once: in columns with a style at a terminal, else tab-separated.

    Args:
        cells: printed as text; what comes from outside can't colour the terminal or break a line.
        widths: of the columns; 0 for as wide as it is.
        style: of the second cell.
    """
    texts = [_flat(cell) for cell in cells]
    if sys.stdout.isatty():
        padded = [escape(text.ljust(width)) for text, width in zip(texts, widths, strict=True)]
        if style:
            padded[1] = f"[{style}]{padded[1]}[/]"
        Console(soft_wrap=True, highlight=False).print(" ".join(padded))
    else:
        sys.stdout.write("\t".join(texts) + "\n")
        sys.stdout.flush()


def say(text: str) -> None:
    """A remark that is no data: on standard error, and only when a person is there to read it."""
    if sys.stderr.isatty():
        Console(stderr=True).print(escape(text), style="dim")


def _flat(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return "".join(character if character.isprintable() else " " for character in text)
