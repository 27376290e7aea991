"""``acceptfirst patterns``: look up the races that AcceptFirst knows, and ask what a signature means."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from acceptfirst.catalogue import (
    EVIDENCE_KINDS,
    PATTERNS_VARIABLE,
    Catalogue,
    Evidence,
    Pattern,
)
from acceptfirst.signature import describe
from acceptfirst_cli.asking.catalogues import usable_catalogue
from acceptfirst_cli.asking.source import JsonOption
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_json_line, print_table

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

SCHEMA_VERSION: Final = 1

ExtraOption = Annotated[
    Path | None,
    typer.Option("--patterns", "--extra", envvar=PATTERNS_VARIABLE, help="A TOML file with patterns of your own."),
]


class EvidenceError(ValueError):
    """A line on standard input that is no evidence; says what was expected and what came."""


@app.command("list")
def run_list(extra: ExtraOption = None, *, as_json: JsonOption = False) -> None:
    """List the patterns."""
    patterns = usable_catalogue(extra).patterns
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "patterns": [_document(pattern) for pattern in patterns]})
        return
    rows = [(p.number, p.name, p.severity, p.delay_helps, p.fixed_by, p.title) for p in patterns]
    print_table(("#", "pattern", "severity", "a delay", "fixed by", "what it is"), rows)


@app.command("show")
def run_show(name: str, extra: ExtraOption = None, *, as_json: JsonOption = False) -> None:
    """Show one pattern: cause, remedy, and how it is told."""
    catalogue = usable_catalogue(extra)
    if name not in catalogue:
        raise CommandError(
            f"expected a pattern of the catalogue, but got {name!r}; see acceptfirst patterns list", ExitCode.USAGE
        )
    document = _document(catalogue[name])
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, **document})
        return
    matches = document.pop("matches")
    rows = [(key, ", ".join(value) if isinstance(value, list) else value) for key, value in document.items()]
    rows += [("told by", _match_text(match)) for match in matches]
    if catalogue[name].scope == "fleet":
        rows.append(("told by", f"many connections together, by the store's statement occurrences_{name}"))
    print_table(("", ""), rows)


@app.command("explain")
def run_explain(
    signature: Annotated[str, typer.Argument(help="A signature, such as CAGRX!RE.")],
    *,
    accept_ms: Annotated[float | None, typer.Option(help="Connection handed over to accept returned.")] = None,
    dwell_ms: Annotated[float | None, typer.Option(help="Accept returned to the end.")] = None,
    idle_ms: Annotated[float | None, typer.Option(help="Last frame to disconnect.")] = None,
    unread_ms: Annotated[float | None, typer.Option(help="Longest time without a pending receive.")] = None,
    close_code: Annotated[int | None, typer.Option(help="Of the close or disconnect.")] = None,
    messages_early: Annotated[int | None, typer.Option(help="Messages handled before ready.")] = None,
    readiness_mode: Annotated[str | None, typer.Option(help="auto, event, polled or blind.")] = None,
    error_kind: Annotated[str | None, typer.Option(help="dependency, client_gone or application.")] = None,
    extra: ExtraOption = None,
    as_json: JsonOption = False,
) -> None:
    """Spell a signature out and say which races it shows."""
    evidence = Evidence(
        signature, accept_ms, dwell_ms, idle_ms, unread_ms, close_code, messages_early, readiness_mode, error_kind
    )
    try:
        explained = explain(evidence, usable_catalogue(extra))
    except ValueError as error:
        raise CommandError(f"{error}; see the alphabet in the documentation", ExitCode.USAGE) from error
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, **explained})
        return
    _print_explained(explained)


@app.command("classify")
def run_classify(extra: ExtraOption = None, *, as_json: JsonOption = False) -> None:
    """Classify signatures from standard input, one a line, or JSON objects with a signature and its timings.

    A line that can't be read is answered with its error and doesn't stop the rest; the exit code is then 2.
    """
    catalogue = usable_catalogue(extra)
    wrong = 0
    for line in sys.stdin:
        if not line.strip():
            continue
        answer = _classified(line.strip(), catalogue)
        wrong += "error" in answer
        if as_json:
            print_json_line(answer)
        else:
            print_table((answer["signature"], answer.get("error") or ", ".join(answer["patterns"]) or "no race"), [])
    if wrong:
        raise CommandError(f"{wrong} lines could not be read", ExitCode.USAGE)


def explain(evidence: Evidence, catalogue: Catalogue) -> dict[str, Any]:
    """What a signature says: its events, the races it shows, and those it may show if a timing were known.

    Raises:
        ValueError: naming the letter that is not in the alphabet.
    """
    found = catalogue.match(evidence)
    explained = {name for pattern in found for name in pattern.supersedes}
    left = [pattern for pattern in catalogue if pattern not in found and pattern.name not in explained]
    possible = [_possible(pattern, evidence) for pattern in left]
    return {
        "signature": evidence.signature,
        "events": describe(evidence.signature),
        "patterns": [_document(pattern) for pattern in found],
        "possible": [entry for entry in possible if entry["if"]],
    }


def _possible(pattern: Pattern, evidence: Evidence) -> dict[str, Any]:
    """In which unknown timings this pattern would show, were they what it asks for."""
    ways = []
    for match in pattern.matches:
        unknown = [c for c in match.conditions if getattr(evidence, c.field) is None]
        known = dataclasses.replace(match, conditions=tuple(c for c in match.conditions if c not in unknown))
        if unknown and known.holds(evidence):
            ways.append(" and ".join(_condition_text(dataclasses.asdict(c)) for c in unknown))
    return {"name": pattern.name, "if": ways}


def _classified(line: str, catalogue: Catalogue) -> dict[str, Any]:
    try:
        evidence = _evidence(line)
        describe(evidence.signature)
    except ValueError as error:
        return {"signature": line, "patterns": [], "error": str(error)}
    found = catalogue.match(evidence)
    return {"signature": evidence.signature, "patterns": [pattern.name for pattern in found]}


def _evidence(line: str) -> Evidence:
    if not line.startswith("{"):
        return Evidence(line)
    values = json.loads(line)
    signature = values.pop("signature", None)
    if not isinstance(signature, str):
        raise EvidenceError("expected a signature in the object")
    for name, value in values.items():
        kind = EVIDENCE_KINDS.get(name)
        if kind is None:
            raise EvidenceError(f"expected only signature, {', '.join(EVIDENCE_KINDS)}, but got {name!r}")
        fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
        if value is not None and (isinstance(value, bool) or not fits):
            raise EvidenceError(f"expected {name} to be of type {kind.__name__}, but got {value!r}")
    return Evidence(signature, **values)


def _document(pattern: Pattern) -> dict[str, Any]:
    document = dataclasses.asdict(pattern)
    return {**document, "supersedes": list(pattern.supersedes), "anchor": pattern.anchor}


def _match_text(match: dict[str, Any]) -> str:
    conditions = " and ".join(_condition_text(condition) for condition in match["conditions"])
    graver = f" ({match['severity']})" if match["severity"] else ""
    return f"{match['signature']}" + (f" with {conditions}" if conditions else "") + graver


def _condition_text(condition: dict[str, Any]) -> str:
    name = condition["field"]
    if condition["one_of"]:
        return f"{name} is {' or '.join(map(str, condition['one_of']))}"
    sides = (("at least", condition["minimum"]), ("at most", condition["maximum"]))
    return f"{name} is " + " and ".join(f"{word} {value:g}" for word, value in sides if value is not None)


def _print_explained(explained: dict[str, Any]) -> None:
    print_table(("event", ""), [(number, event) for number, event in enumerate(explained["events"], 1)])
    for pattern in explained["patterns"]:
        keys = ("name", "severity", "title", "cause", "remedy", "delay_helps")
        print_table(("", ""), [(key, pattern[key]) for key in keys])
    if not explained["patterns"]:
        print_table(("no race in this order of events",), [])
    for entry in explained["possible"]:
        print_table((f"{entry['name']}, if {' or if '.join(entry['if'])}",), [])
