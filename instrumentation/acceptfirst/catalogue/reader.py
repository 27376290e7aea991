"""Reads patterns from TOML and refuses what the store could not evaluate in the same way.

Python's ``re``, RE2 and vectorscan agree on a small language and differ beyond it, so a signature may use only that:
literals, ``[]``, ``()``, ``|``, ``?``, ``*``, ``+``, ``{m,n}`` up to 100, ``^`` and ``$``.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

from acceptfirst.catalogue.model import (
    EVIDENCE_FIELDS,
    Catalogue,
    Condition,
    DelayHelps,
    FixedBy,
    Match,
    Pattern,
    Severity,
)
from acceptfirst.signature import ALPHABET, ELISION, GUARD

SCHEMA_VERSION: Final = 1
REPETITION_MAX: Final = 100
SHIPPED: Final = Path(__file__).with_name("patterns.toml")

_LITERALS: Final = "".join(ALPHABET) + GUARD + ELISION
_SET = re.compile(r"\[\^?(?:[A-Za-z!~](?:-[A-Za-z])?)+\]")
_REPETITION = re.compile(r"\{(\d{1,3})(?:,(\d{0,3}))?\}")
_TEXT_KEYS: Final = ("title", "cause", "remedy")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "severity": get_args(Severity),
    "delay_helps": get_args(DelayHelps),
    "fixed_by": get_args(FixedBy),
}


class CatalogueError(ValueError):
    """A pattern file that can't be used; says where, what was expected and what came."""


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The shipped catalogue, with the user's own patterns behind it.

    Args:
        extra: a TOML file in the form of the shipped one; its names must be new.

    Raises:
        CatalogueError: when a file can't be read or a pattern in it can't be used.
    """
    shipped = _shipped()
    if extra is None:
        return shipped
    patterns = shipped.patterns + _read(extra)
    names = [pattern.name for pattern in patterns]
    for name in names:
        if names.count(name) > 1:
            raise CatalogueError(f"{extra}: expected a name that is not taken, but got {name!r} twice; rename it")
    _require_known_supersedes(patterns, extra)
    return Catalogue(patterns)


@cache
def _shipped() -> Catalogue:
    patterns = _read(SHIPPED)
    _require_known_supersedes(patterns, SHIPPED)
    return Catalogue(patterns)


def _require_known_supersedes(patterns: tuple[Pattern, ...], source: Path) -> None:
    names = {pattern.name for pattern in patterns}
    for pattern in patterns:
        for name in pattern.supersedes:
            if name not in names:
                raise CatalogueError(f"{source}: {pattern.name} supersedes {name!r}, which is not in the catalogue")


def _read(path: Path) -> tuple[Pattern, ...]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: expected a readable TOML file of patterns, but got: {error}") from error
    if document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version")
        raise CatalogueError(f"{path}: expected schema_version = {SCHEMA_VERSION}, but got {found!r}")
    entries = document.get("pattern", [])
    if not isinstance(entries, list):
        raise CatalogueError(f"{path}: expected [[pattern]] tables, but got {type(entries).__name__}")
    return tuple(_pattern(entry, f"{path}: pattern {position}") for position, entry in enumerate(entries, 1))


def _pattern(entry: dict[str, Any], place: str) -> Pattern:
    name = entry.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CatalogueError(f"{place}: expected a name in snake_case, but got {name!r}")
    place = f"{place} ({name})"
    for key, choices in _CHOICES.items():
        if entry.get(key) not in choices:
            raise CatalogueError(
                f"{place}: expected {key} to be one of {', '.join(choices)}, but got {entry.get(key)!r}"
            )
    for key in _TEXT_KEYS:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise CatalogueError(f"{place}: expected a sentence for {key}, but got {entry.get(key)!r}")
    matches = entry.get("match", [])
    if not isinstance(matches, list) or not matches:
        raise CatalogueError(f"{place}: expected at least one [[pattern.match]], but got none")
    return Pattern(
        number=int(entry.get("number", 0)),
        name=name,
        severity=entry["severity"],
        title=entry["title"],
        cause=entry["cause"],
        remedy=entry["remedy"],
        delay_helps=entry["delay_helps"],
        fixed_by=entry["fixed_by"],
        caused_by=_causes(entry.get("caused_by", "C"), place),
        matches=tuple(_match(match, place) for match in matches),
        supersedes=tuple(entry.get("supersedes", ())),
    )


def _causes(letters: Any, place: str) -> str:
    if not isinstance(letters, str) or not letters or set(letters) - set(ALPHABET):
        raise CatalogueError(f"{place}: expected caused_by to be letters of {''.join(ALPHABET)}, but got {letters!r}")
    return letters


def _match(entry: dict[str, Any], place: str) -> Match:
    signature = entry.get("signature")
    if not isinstance(signature, str):
        raise CatalogueError(f"{place}: expected a signature, but got {signature!r}")
    require_portable(signature, place)
    return Match(signature, tuple(_condition(condition, place) for condition in entry.get("conditions", ())))


def _condition(entry: dict[str, Any], place: str) -> Condition:
    if entry.get("field") not in EVIDENCE_FIELDS:
        known = ", ".join(sorted(EVIDENCE_FIELDS))
        raise CatalogueError(f"{place}: expected a condition on one of {known}, but got {entry.get('field')!r}")
    known_keys = {"field", "minimum", "maximum", "one_of", "when_unknown"}
    if unknown := set(entry) - known_keys:
        raise CatalogueError(
            f"{place}: expected only {', '.join(sorted(known_keys))}, but got {', '.join(sorted(unknown))}"
        )
    if not {"minimum", "maximum", "one_of"} & set(entry):
        raise CatalogueError(f"{place}: the condition on {entry['field']} has no minimum, maximum or one_of")
    return Condition(**{**entry, "one_of": tuple(entry.get("one_of", ()))})


def require_portable(signature: str, place: str) -> None:
    """Raise unless every engine reads this regular expression alike.

    Args:
        signature: the regular expression.
        place: what to call it in the message.

    Raises:
        CatalogueError: with the position and the character that is outside the common language.
    """
    position = 0
    quantified = True  # nothing to repeat at the start
    while position < len(signature):
        length, quantifier = _token(signature, position, place)
        if quantifier and quantified:
            raise CatalogueError(_not_portable(signature, position, place, "a quantifier needs one thing to repeat"))
        quantified = quantifier or signature[position] in "^(|"
        position += length
    try:
        re.compile(signature)
    except re.error as error:
        raise CatalogueError(f"{place}: expected a regular expression, but got {signature!r}: {error}") from error


def _token(signature: str, position: int, place: str) -> tuple[int, bool]:
    """Length of the token at ``position``, and whether it repeats what stands before it."""
    character = signature[position]
    if character == "[" and (found := _SET.match(signature, position)):
        return len(found[0]), False
    if character == "{" and (found := _REPETITION.match(signature, position)):
        if max(int(n) for n in found.groups() if n) > REPETITION_MAX:
            raise CatalogueError(_not_portable(signature, position, place, f"at most {REPETITION_MAX} repetitions"))
        return len(found[0]), True
    if character in "?*+":
        return 1, True
    if character in "()|^$" or character in _LITERALS:
        return 1, False
    raise CatalogueError(
        _not_portable(signature, position, place, "only letters of the alphabet, [] () | ? * + {m,n} ^ $")
    )


def _not_portable(signature: str, position: int, place: str, expected: str) -> str:
    return f"{place}: expected {expected}, but got {signature[position:]!r} at position {position + 1} of {signature!r}"
