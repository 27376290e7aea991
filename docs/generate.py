"""Writes the pages that repeat what the code says, from the code: `make docs`.

A page that is written by hand falls behind the table that it copies. So the lifecycle, the alphabet and the patterns
are made from `acceptfirst.lifecycle`, `acceptfirst.signature` and the catalogue; only what these can't know (what a
signature means in words, code that has the bug) is kept in `pattern_examples.toml`, which the page and the report show
too, tried by a test.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from reference_pages import reference_pages
from reference_pages.markdown import code, page, table

from acceptfirst.catalogue import EVIDENCE_KINDS, Catalogue, Condition, Evidence, Match, Pattern, load_catalogue
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS, ApplicationConnectionState, Trigger
from acceptfirst.signature import (
    ALPHABET,
    ELISION,
    GUARD,
    GUARDED,
    HEAD_LENGTH,
    LENGTH_MAX,
    SIGNATURE_VERSION,
    TAIL_LENGTH,
    describe,
)

FOLDER: Final = Path(__file__).resolve().parent
EXAMPLES: Final = FOLDER.parent / "analysis" / "acceptfirst_analysis" / "pattern_examples.toml"

DELAY_ANSWERS: Final = {
    "cures": "Yes, a delay of random length on the client's side cures it.",
    "masks": "No. A delay changes the odds and hides the race; it stays.",
    "useless": "No. However long it waits, the outcome is the same.",
    "worsens": "No, waiting makes it worse.",
}
RACES: Final = 23
"""The first patterns of the catalogue, by their numbers; those behind them are no races of one connection."""

FIXED_BY: Final = {
    "gate": "a gate on readiness, which a policy can carry out once the application says when it is ready",
    "code": "the application's code",
    "client": "the client's code",
}


def pages() -> dict[str, str]:
    """Every generated page: its path below this folder, and its text."""
    catalogue = load_catalogue()
    examples = load_examples()
    patterns = {pattern.anchor: pattern_page(pattern, catalogue, examples.get(pattern.name)) for pattern in catalogue}
    return {
        "lifecycle.md": lifecycle_page(),
        "signature.md": signature_page(),
        "patterns/README.md": index_page(catalogue),
        **patterns,
    }


def load_examples() -> dict[str, dict[str, Any]]:
    """What is known of each pattern beyond the catalogue, by its name."""
    document = tomllib.loads(EXAMPLES.read_text(encoding="utf-8"))
    return {name: entry for name, entry in document.items() if isinstance(entry, dict)}


def lifecycle_page() -> str:
    """The states and the arrows between them."""
    arrows = [f"    {old} --> {new}" for old, targets in ALLOWED_TRANSITIONS.items() for new in _in_order(targets)]
    ends = [f"    {state} --> [*]" for state in ALLOWED_TRANSITIONS if state.is_terminal]
    rows = [
        (f"`{state}`", ", ".join(f"`{new}`" for new in _in_order(targets)) or "nothing", *_properties(state))
        for state, targets in ALLOWED_TRANSITIONS.items()
    ]
    first = next(iter(ALLOWED_TRANSITIONS))
    return page(
        "instrumentation/acceptfirst/lifecycle.py",
        "# The lifecycle of a connection",
        "A transition that is not drawn here can't happen: asked for, it is refused and changes nothing. What each "
        "state means stands in the [glossary](glossary.md).",
        "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *arrows, *ends, "```"]),
        table(("state", "may be followed by", "ready for messages", "operational", "terminal"), rows),
        "## What moves it",
        "Each transition says what caused it (`acceptfirst.transition.trigger`): "
        + ", ".join(f"`{trigger}`" for trigger in Trigger)
        + ". A transition is stamped after what it names has returned, never before; an accept that returned does not "
        "prove that the client got it.",
    )


def _in_order(states: frozenset[ApplicationConnectionState]) -> list[ApplicationConnectionState]:
    return [state for state in ApplicationConnectionState if state in states]


def _properties(state: ApplicationConnectionState) -> tuple[str, str, str]:
    said = (state.is_ready_for_messages, state.is_operational, state.is_terminal)
    first, second, third = ("yes" if value else "" for value in said)
    return first, second, third


def signature_page() -> str:
    """The alphabet of the event signature."""
    guards = [(f"`{GUARD}{letter}`", meaning) for letter, meaning in GUARDED.items()]
    return page(
        "instrumentation/acceptfirst/signature.py",
        "# The event signature",
        "Every connection carries its life in a few letters, one an event, in the order in which they happened: "
        "`CAGRSDZ` is a connection that was accepted, got ready, exchanged messages and ended by the client's "
        "disconnect. The patterns are regular expressions over it.",
        table(("letter", "event"), [*((f"`{letter}`", meaning) for letter, meaning in ALPHABET.items()), *guards]),
        f"- `{GUARD}` and a letter is an attempt that the framework refused before the server ever saw it.\n"
        "- Between two other letters `R` and `S` stand at most once each, in the order in which they first came: "
        "`RSRSRS` is `RS`. How many there were is told by `acceptfirst.messages.received` and `.sent`.\n"
        f"- Over {LENGTH_MAX} letters the first {HEAD_LENGTH} and the last {TAIL_LENGTH} are kept, with `{ELISION}` "
        "between them.",
        f"This is version {SIGNATURE_VERSION} of the alphabet (`acceptfirst.signature.version`). A new version may add "
        "letters; none ever changes its meaning.",
        "`acceptfirst patterns explain 'CAGRX!RE'` spells a signature out and names the races in it.",
    )


def index_page(catalogue: Catalogue) -> str:
    """All patterns in one table."""
    rows = [
        (str(p.number), f"[{p.name}]({p.name}.md)", p.severity, p.title, p.delay_helps, p.fixed_by) for p in catalogue
    ]
    cured = [f"[{p.name}]({p.name}.md)" for p in catalogue if p.delay_helps == "cures"]
    told = f"Waiting cures only {' and '.join(cured)}, and there it is the client that must wait, for a random time"
    return page(
        "instrumentation/acceptfirst/catalogue/patterns.toml",
        "# The patterns",
        f"{len(catalogue)} patterns: {RACES} races of a connection's life, and what a start or a deploy does to many. "
        f"{len(catalogue.of_scope('connection'))} can be shown by one connection's [signature](../signature.md), "
        f"{len(catalogue.of_scope('fleet'))} only by many connections, found in the store. {told}.",
        table(("#", "pattern", "severity", "what it is", "a delay", "fixed by"), rows),
        "## Patterns of your own",
        "They go into a TOML file of the same form as `instrumentation/acceptfirst/catalogue/patterns.toml`, given to "
        "`acceptfirst.instrument(app, patterns=…)` and to `acceptfirst patterns … --patterns`, or to both and to "
        "`acceptfirst classify` and `serve` by the variable `ACCEPTFIRST_PATTERNS`. A mistake in it is told with "
        "file and line when the application is instrumented. Conditions may ask for: "
        + ", ".join(f"`{name}`" for name in EVIDENCE_KINDS)
        + ". A signature uses only literals, `[]`, `()`, `|`, `?`, `*`, `+`, `{m,n}`, `^` and `$`, at most three "
        "repetitions in a row, and repeats only letters, sets and groups of fixed words, so that no connection can "
        "hold the process up.",
    )


def pattern_page(pattern: Pattern, catalogue: Catalogue, example: dict[str, Any] | None) -> str:
    """One pattern: what it is, why it happens, what helps, and how it is told."""
    facts = (
        ("pattern", f"`{pattern.name}` (number {pattern.number})"),
        ("severity", _severities(pattern)),
        ("does a delay help?", DELAY_ANSWERS[pattern.delay_helps]),
        ("where it is fixed", FIXED_BY[pattern.fixed_by]),
    )
    sections = [f"# {pattern.title}", table(("", ""), facts), "## Cause", pattern.cause, "## Fix", pattern.remedy]
    sections += ["## How it shows"]
    if pattern.scope == "fleet":
        sections += [_shown_by_many(pattern), *(example or {}).get("shows", [])]
    else:
        sections += [_shown(pattern, (example or {}).get("reads", []))]
    if example and "signature" in example:
        sections += _example(pattern, catalogue, example)
    if example and "remarks" in example:
        sections += ["## What to know", *example["remarks"]]
    if explained := _relations(pattern, catalogue):
        sections += ["## Beside other patterns", explained]
    return page(
        "instrumentation/acceptfirst/catalogue/patterns.toml and analysis/acceptfirst_analysis/pattern_examples.toml",
        *sections,
    )


def _severities(pattern: Pattern) -> str:
    others = dict.fromkeys(match.severity for match in pattern.matches if match.severity)
    return ", or ".join([pattern.severity, *(f"{severity} (see below)" for severity in others)])


def _shown_by_many(pattern: Pattern) -> str:
    return (
        "No connection shows it alone. `acceptfirst classify` looks for it among the stored ones, with the named "
        f"statement `occurrences_{pattern.name}`."
    )


def _shown(pattern: Pattern, reads: list[str]) -> str:
    ways = []
    for position, match in enumerate(pattern.matches):
        lines = [f"```text\n{match.signature}\n```"]
        lines += [reads[position]] if position < len(reads) else []
        lines += [f"Only where {_conditions(match)}."] if match.conditions else []
        lines += [f"This way it is {match.severity}."] if match.severity else []
        ways.append("\n\n".join(lines))
    letters = "".join(letter for letter in ALPHABET if any(letter in match.signature for match in pattern.matches))
    legend = "; ".join(f"`{letter}` {ALPHABET[letter]}" for letter in letters)
    looked_for = "The regular expression over the [signature](../signature.md)"
    heading = f"{looked_for}:" if len(ways) == 1 else f"{looked_for}, any one of these:"
    return "\n\n".join([heading, *ways, f"Letters: {legend}; `!` before a letter: the framework refused the attempt."])


def _conditions(match: Match) -> str:
    return " and ".join(_condition(condition) for condition in match.conditions)


def _condition(condition: Condition) -> str:
    if condition.one_of:
        bound = "is " + " or ".join(str(value) for value in condition.one_of)
    else:
        sides = (("at least", condition.minimum), ("at most", condition.maximum))
        bound = "is " + " and ".join(f"{word} {value:g}" for word, value in sides if value is not None)
    unknown = " (or is not known)" if condition.when_unknown else ""
    return f"`{condition.field}` {bound}{unknown}"


def _example(pattern: Pattern, catalogue: Catalogue, example: dict[str, Any]) -> list[str]:
    signature = example["signature"]
    evidence = example.get("evidence", {})
    beside = "".join(f", {name} {value}" for name, value in evidence.items())
    events = "\n".join(f"{number}. {event}" for number, event in enumerate(describe(signature), 1))
    sections = [f"For example `{signature}`{beside}:", events]
    others = [p.name for p in catalogue.match(Evidence(signature, **evidence)) if p.name != pattern.name]
    if others:
        sections.append("This order of events also shows " + ", ".join(f"[{n}]({n}.md)" for n in others) + ".")
    if "wrong" in example:
        mode = f' (with `readiness="{example["readiness"]}"`)' if "readiness" in example else ""
        sections += [f"## In code{mode}", "Wrong:", code(example["wrong"]), "Right:", code(example["right"])]
    return sections


def _relations(pattern: Pattern, catalogue: Catalogue) -> str:
    explains = [f"[{name}]({name}.md)" for name in pattern.supersedes]
    explained_by = [f"[{other.name}]({other.name}.md)" for other in catalogue if pattern.name in other.supersedes]
    lines = []
    if explains:
        lines.append(f"Where it holds, it explains {', '.join(explains)}, which is then not reported.")
    if explained_by:
        lines.append(f"It is not reported where {' or '.join(explained_by)} explains it.")
    return " ".join(lines)


def main(arguments: list[str]) -> int:
    """Write the pages, those of the reference too; pages of patterns that are no more are removed.

    Args:
        arguments: the folder to write to; this one if it is left out.
    """
    folder = Path(arguments[0]) if arguments else FOLDER
    wanted = {**pages(), **reference_pages()}
    for stale in (folder / "patterns").glob("*.md"):
        if f"patterns/{stale.name}" not in wanted:
            stale.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} pages written to {folder.name}/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
