"""Tells on stdout what the demo found and what came of it, for somebody who sees AcceptFirst for the first time."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acceptfirst.catalogue import load_catalogue
from acceptfirst_analysis.classification.unclassified import pattern_named
from acceptfirst_chat.plants import BUG_ROUTES_PREFIX, CHAT_ROUTE
from acceptfirst_chat.sessions import TIME_SCALE
from acceptfirst_cli.demo.figures import RunFigures, percentile_ms
from acceptfirst_cli.demo.folder import DemoFolder
from acceptfirst_cli.demo.outcome import P95, Outcome

WIDTH_WITHOUT_TERMINAL: Final = 118
NOTE_PATTERN: Final = "receive_after_local_close"
"""Whose note is shown: the text names accept, the cause is a close in another task."""

_NOTE_END: Final = "  connection:"
_DELAY_HELPS: Final = {"cures": "yes", "masks": "hides it", "useless": "no", "worsens": "makes it worse"}


def as_json(outcome: Outcome) -> str:
    """The summary, for machines."""
    return json.dumps(outcome.to_summary(), indent=2, ensure_ascii=False) + "\n"


def tell(outcome: Outcome, folder: DemoFolder) -> None:
    """The whole story."""
    console = _console()
    _tell_incident(console, outcome)
    _tell_causes(console, outcome)
    _tell_note(console, folder.chat / "before.log")
    _tell_change(console, outcome, folder)
    _tell_proof(console, outcome)
    _tell_verdict(console, outcome, folder)


def _console() -> Console:
    console = Console(file=sys.stdout, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _tell_incident(console: Console, outcome: Outcome) -> None:
    before = outcome.before
    _heading(console, "The incident")
    console.print(
        f"A chat needs authentication (100–500 ms), a user's own tools (200–1000 ms the first time) and a service that "
        f"wakes up (up to 10 s) before it can handle a message; here on a clock {1 / TIME_SCALE:g} times as fast. "
        f"Clients speak as soon as they are in. The team had put a sleep of 25 ms in between. "
        f"{len(before.driven.stays)} guests came, {before.happened.connections} connections reached the backend, and "
        f"on {before.timing_races} of them a message was handled before its session existed. "
        "Other routes have bugs of their own: many raise the same 'Need to call \"accept\" first'."
    )


def _tell_causes(console: Console, outcome: Outcome) -> None:
    catalogue = load_catalogue()
    _heading(console, "What AcceptFirst found")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("pattern", "found", "planted", "would a delay help?", "cured by"):
        table.add_column(title, justify="right" if title in ("found", "planted") else "left", no_wrap=True)
    planted = outcome.before.happened.expected()
    for (route, name), found in sorted(outcome.before.stored.found.items(), key=lambda item: (-item[1], item[0])):
        pattern = pattern_named(catalogue, name)
        helps = _DELAY_HELPS[pattern.delay_helps]
        table.add_row(name, str(found), str(planted.get((route, name), 0)), helps, pattern.fixed_by)
    console.print(table)
    wrong = outcome.before.mismatches
    console.print(
        f"The first is on {CHAT_ROUTE}; each bug has a route of its own, {BUG_ROUTES_PREFIX}<pattern>. All were found "
        "where they had been planted, and nowhere else."
        if not wrong
        else "; ".join(wrong),
        style="" if not wrong else "bold red",
    )


def _tell_note(console: Console, log: Path) -> None:
    note = note_in(log.read_text(encoding="utf-8", errors="replace"), NOTE_PATTERN)
    if note:
        _heading(console, "What a developer sees: the traceback of the backend, with AcceptFirst's note")
        console.print(Text(note), soft_wrap=True)


def note_in(log: str, pattern: str) -> str:
    """The exception and AcceptFirst's note below it, from what a backend printed; empty where there is none.

    Args:
        log: the backend's output.
        pattern: whose note.
    """
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if re.match(rf"\s*(\| )?AcceptFirst: {pattern} ", line):
            rest = lines[number:]
            end = next((i for i, text in enumerate(rest) if _NOTE_END in text), 0)
            return "\n".join([lines[number - 1], *rest[:end]])
    return ""


def _tell_change(console: Console, outcome: Outcome, folder: DemoFolder) -> None:
    _heading(console, "What it recommends")
    rows = [row for row in outcome.recommendations if row["verdict"] != "code_fix"]
    fixes = [row for row in outcome.recommendations if row["verdict"] == "code_fix"]
    for row in (row for row in rows if row["route"] == CHAT_ROUTE):
        console.print(
            Text.assemble((f"{row['environment']} · {row['route']} · {row['verdict']}: ", "bold"), row["rationale"])
        )
    if fixes:
        console.print(
            f"For {len(fixes)} routes the cure is in the code; the report says for each what and why. "
            "No setting is proposed there, since none would help."
        )
    path = folder.chat / "after.policy.toml"
    console.print(f"The policy that follows ({_shown(path)}), with no line of the chat changed:")
    lines = path.read_text(encoding="utf-8").splitlines()
    console.print(Text("\n".join(f"  {line}" for line in lines if line), style="cyan"))


def _tell_proof(console: Console, outcome: Outcome) -> None:
    _heading(console, "Before and after: the same clients, the same cold starts, the same code, another policy")
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    for title, figure in _FIGURES.items():
        table.add_row(title, *(figure(run) for run in outcome.both))
    console.print(table)


def _tell_verdict(console: Console, outcome: Outcome, folder: DemoFolder) -> None:
    failures = outcome.failures()
    console.print()
    for failure in failures:
        console.print(Text(f"does not hold: {failure}", style="bold red"))
    if not failures:
        console.print(
            f"{outcome.transitions_stored} of {outcome.transitions_expected} transitions stored, "
            f"{len(outcome.patterns)} patterns, {outcome.seconds:.0f} s."
        )
    paths = {"report": folder.report_html, "figures": folder.summary}
    for name, path in paths.items():
        console.print(Text(f"{name + ':':9}{_shown(path)}"))
    verify = f"acceptfirst verify --store chdb://{folder.collector / 'db'}"
    for label, text in (
        ("next:", "open the report: it is the one that a lead gets each Monday"),
        (
            "",
            f"ask whether the change worked (on {CHAT_ROUTE} it did; five connections a bug are too few to say):",
        ),
        ("", f"  {verify}"),
        ("", "try it on an application of your own: acceptfirst.instrument(app) in it, and beside it"),
        ("", "  acceptfirst serve"),
    ):
        console.print(Text(f"{label:9}{text}"), soft_wrap=True)


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"


def _guests_answered(run: RunFigures) -> str:
    patient = len(run.patient_waits_ms)
    return f"{patient} of {patient + run.unanswered}"


_FIGURES: Final[dict[str, Any]] = {
    "messages handled before their session existed": lambda run: str(run.timing_races),
    "guests that got an answer": _guests_answered,
    "connections that they needed for it": lambda run: str(sum(s.attempts for s in run.driven.stays if s.answered)),
    "from opening to the first answer, median": lambda run: _milliseconds(percentile_ms(run.patient_waits_ms, 0.5)),
    "from opening to the first answer, p95": lambda run: _milliseconds(percentile_ms(run.patient_waits_ms, P95)),
    "one connection, from connect to ready, p95 (in the store)": lambda run: _milliseconds(
        run.stored.chat_ready_p95_ms
    ),
    "connections with a bug that needs code": lambda run: str(run.code_violations),
}
