"""What strangers chose (a route, a reason, an id) reaches a terminal as text: it colours, moves and hides nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from acceptfirst_cli.terminal import tables

HOSTILE = {
    "title": "\x1b]0;owned\x07",
    "colour": "\x1b[31mred",
    "eight-bit": "\x9b2Jgone",
    "back": "ok\r\x08\x08no",
    "lines": "one\ntwo\tthree\u2028four",
    "right-to-left": "\u202egnp.exe\u200b",
    "markup": "[bold red]loud[/] [link=file:///etc/passwd]here[/link]",
    "long": "x" * 100_000,
}
MOVES = ("\x1b]", "\x1b[31m", "\x1b[2J", "\x9b", "\x07", "\x08", "\r", "\u202e", "\u200b", "\u2028")
PRINTERS: dict[str, Callable[[Sequence[str], Sequence[Sequence[Any]]], None]] = {
    "table": tables.print_table,
    "styled": lambda columns, rows: tables.print_styled(columns, rows, ["green"] * len(rows)),
}


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("printer", PRINTERS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_table_shows_hostile_text_as_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, printer: str, is_terminal: bool
) -> None:
    """Nothing of it moves the cursor, and a row stays a row for whoever reads lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setenv("COLUMNS", "80")
    PRINTERS[printer](("route", "n"), [(HOSTILE[kind], 1), ("/ws", 2)])
    shown = capsys.readouterr().out
    assert not [sequence for sequence in MOVES if sequence in shown]
    assert is_terminal or len(shown.splitlines()) == 3
    assert kind != "markup" or "[bold red]loud[/]" in " ".join(shown.split())


@pytest.mark.parametrize(("width", "is_table"), [(200, True), (80, False)])
def test_table_becomes_records_when_the_terminal_is_too_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, is_table: bool
) -> None:
    """Ten columns of words in 80 characters are read by nobody."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ("state", "rule", "environment", "service", "route", "pattern", "since", "silenced")
    row = ("firing", "AF-03", "production", "chat", "/ws/chat/{room}", "double_accept", "2026-11-25 13:05+00:00", "")
    tables.print_table(columns, [row, row])
    lines = [re.sub(r"\x1b\[[0-9]*m", "", line).split() for line in capsys.readouterr().out.splitlines()]
    assert (len(lines) == 3) is is_table
    assert (["route", "/ws/chat/{room}"] in lines) is not is_table
    assert ["silenced"] not in lines
