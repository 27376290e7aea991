"""Reads patterns from TOML and refuses what the process or the store could not evaluate, naming file and line."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast, get_args

from acceptfirst.catalogue.model import (
    EVIDENCE_KINDS,
    Catalogue,
    Condition,
    DelayHelps,
    FixedBy,
    Match,
    Pattern,
    Scope,
    Severity,
)
from acceptfirst.catalogue.portable import NotPortableError, require_portable_expression
from acceptfirst.catalogue.toml_lines import line_of
from acceptfirst.signature import ALPHABET

SCHEMA_VERSION: Final = 1
SHIPPED: Final = Path(__file__).with_name("patterns.toml")
PATTERNS_VARIABLE: Final = "ACCEPTFIRST_PATTERNS"
NUMBER_MAX: Final = 65_535
NAME_LENGTH_MAX: Final = 64
INTEGER_MAX: Final = 2**53
"""Beyond it a double, which is what TOML's readers and the store compare with, can't tell neighbours apart."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_TEXT_KEYS: Final = ("title", "cause", "remedy")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "severity": get_args(Severity),
    "delay_helps": get_args(DelayHelps),
    "fixed_by": get_args(FixedBy),
}
_TOP_KEYS: Final = ("schema_version", "pattern")
_PATTERN_KEYS: Final = ("number", "name", *_CHOICES, *_TEXT_KEYS, "caused_by", "supersedes", "scope", "match")
_MATCH_KEYS: Final = ("signature", "severity", "conditions")
_CONDITION_KEYS: Final = ("field", "minimum", "maximum", "one_of", "when_unknown")

_Path = tuple[str | int, ...]


class CatalogueError(ValueError):
    """A pattern file that can't be used; says where, what was expected and what came."""


class _WrongError(Exception):
    """What is wrong with the value at a path of the document."""

    def __init__(self, path: _Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The shipped catalogue, with the user's own patterns behind it.

    Args:
        extra: a TOML file in the form of the shipped one; its names must be new.

    Raises:
        CatalogueError: when a file can't be read or a pattern in it can't be used, as ``file:line: …``.
    """
    return _shipped() if extra is None else Catalogue((*_shipped(), *_read(extra, _shipped().patterns)))


def configured_catalogue(given: Path | str | None = None) -> Catalogue:
    """The catalogue with the patterns of the file that was given, else of the one that ``ACCEPTFIRST_PATTERNS`` names.

    Raises:
        CatalogueError: see ``load_catalogue``.
    """
    path = os.environ.get(PATTERNS_VARIABLE) if given is None else given  # an empty one: the shipped patterns alone
    return load_catalogue(Path(path) if path else None)


@cache
def _shipped() -> Catalogue:
    return Catalogue(_read(SHIPPED, ()))


def require_portable(signature: str, place: str) -> None:
    """Raise unless every engine reads this regular expression alike; see ``acceptfirst.catalogue.portable``.

    Args:
        signature: the regular expression.
        place: what to call it in the message.

    Raises:
        CatalogueError: with the position and the character that is outside the common language.
    """
    try:
        require_portable_expression(signature)
    except NotPortableError as error:
        raise CatalogueError(f"{place}: {error}") from error


def _read(source: Path, known: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """The patterns of one file; ``known`` are those that stand before them."""
    text = _text(source)
    try:
        # A text editor's CRLF is no difference to anybody; a lone CR is one that TOML refuses.
        document = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(_syntax_message(source, text, error)) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of more digits than Python reads
        raise CatalogueError(f"{source}: expected a readable TOML file of patterns, but got: {error}") from error
    try:
        return _patterns(document, known, shipped=source == SHIPPED)
    except _WrongError as wrong:
        line = line_of(text, wrong.path)
        place = str(source) if line is None else f"{source}:{line}"
        raise CatalogueError(f"{place}: {_named(document, wrong.path)}{wrong}") from None


def _text(source: Path) -> str:
    try:
        content = source.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path that no file system takes
        raise CatalogueError(f"{source}: expected a readable TOML file of patterns, but got: {error}") from error
    try:
        return content.decode("utf-8-sig")  # some editors put a byte order mark before everything they write
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CatalogueError(
            f"{source}:{line}: expected a readable TOML file in UTF-8, but got the byte 0x{content[error.start]:02x} "
            f"({error.reason}); save it as UTF-8"
        ) from error


def _syntax_message(source: Path, text: str, error: tomllib.TOMLDecodeError) -> str:
    complaint = str(error)
    found = _SYNTAX_PLACE.search(complaint)
    line = int(found[1]) if found and found[1] else text.rstrip("\n").count("\n") + 1
    return f"{source}:{line}: expected a readable TOML file of patterns, but got: {_SYNTAX_PLACE.sub('', complaint)}"


def _named(document: Mapping[str, Any], path: _Path) -> str:
    """Which pattern a path lies in, for a person: ``pattern 3 (my_name): ``."""
    if len(path) < 2 or path[0] != "pattern" or not isinstance(path[1], int):  # noqa: PLR2004 - a key and a position
        return ""
    entry = document["pattern"][path[1]]
    name = entry.get("name") if isinstance(entry, dict) else None
    return f"pattern {path[1] + 1}{f' ({name})' if isinstance(name, str) and _NAME.fullmatch(name) else ''}: "


# -- what a document must be -------------------------------------------------------------------------------------------


def _patterns(document: dict[str, Any], known: tuple[Pattern, ...], *, shipped: bool) -> tuple[Pattern, ...]:
    if "schema_version" not in document or document["schema_version"] != SCHEMA_VERSION:
        _refuse(("schema_version",), f"schema_version = {SCHEMA_VERSION}", document.get("schema_version"))
    _only(document, _TOP_KEYS, ())
    entries = _tables(document, "pattern", (), "[[pattern]] tables", least=0)
    patterns: list[Pattern] = []
    for position, entry in enumerate(entries):
        path: _Path = ("pattern", position)
        pattern = _pattern(entry, path, shipped=shipped)
        if any(other.name == pattern.name for other in (*known, *patterns)):
            _refuse((*path, "name"), "a name that is not taken", pattern.name, "twice; rename it")
        patterns.append(pattern)
    _require_known_supersedes(patterns, known)
    return tuple(patterns)


def _require_known_supersedes(patterns: list[Pattern], known: tuple[Pattern, ...]) -> None:
    names = {pattern.name for pattern in (*known, *patterns)}
    for position, pattern in enumerate(patterns):
        for index, name in enumerate(pattern.supersedes):
            if name not in names or name == pattern.name:
                _refuse(
                    ("pattern", position, "supersedes", index), "the name of another pattern of the catalogue", name
                )


def _pattern(entry: dict[str, Any], path: _Path, *, shipped: bool) -> Pattern:
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > NAME_LENGTH_MAX:
        _refuse((*path, "name"), f"a name in snake_case of at most {NAME_LENGTH_MAX} letters", name)
    _only(entry, _PATTERN_KEYS, path)
    for key, choices in _CHOICES.items():
        _choice(entry, key, choices, path)
    for key in _TEXT_KEYS:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            _refuse((*path, key), f"a sentence for {key}", entry.get(key))
    scope = _scope(entry, path, shipped=shipped)
    matches = _tables(entry, "match", path, "at least one [[pattern.match]]", least=scope == "connection")
    return Pattern(
        number=_number(entry, path),
        name=name,
        severity=entry["severity"],
        title=entry["title"],
        cause=entry["cause"],
        remedy=entry["remedy"],
        delay_helps=entry["delay_helps"],
        fixed_by=entry["fixed_by"],
        caused_by=_causes(entry.get("caused_by", "C"), path),
        matches=tuple(_match(match, (*path, "match", index)) for index, match in enumerate(matches)),
        supersedes=_names(entry, path),
        scope=scope,
    )


def _scope(entry: dict[str, Any], path: _Path, *, shipped: bool) -> Scope:
    scope = entry.get("scope", "connection")
    if scope == "fleet" and shipped:
        return "fleet"
    if scope != "connection":
        _refuse((*path, "scope"), "scope to be 'connection' or nothing (only shipped patterns have SQL)", scope)
    return "connection"


def _number(entry: dict[str, Any], path: _Path) -> int:
    number = entry.get("number", 0)
    if not _is_integer(number) or not 0 <= number <= NUMBER_MAX:
        _refuse((*path, "number"), f"number to be an integer from 0 to {NUMBER_MAX}", number)
    return int(number)


def _causes(letters: Any, path: _Path) -> str:
    if not isinstance(letters, str) or not letters or set(letters) - set(ALPHABET):
        _refuse((*path, "caused_by"), f"caused_by to be letters of {''.join(ALPHABET)}", letters)
    return letters


def _names(entry: dict[str, Any], path: _Path) -> tuple[str, ...]:
    names = entry.get("supersedes", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _refuse((*path, "supersedes"), "supersedes to be a list of names", names)
    return tuple(names)


def _match(entry: dict[str, Any], path: _Path) -> Match:
    signature = entry.get("signature")
    if not isinstance(signature, str):
        _refuse((*path, "signature"), "a signature", signature)
    _only(entry, _MATCH_KEYS, path)
    try:
        require_portable_expression(signature)
    except NotPortableError as error:
        raise _WrongError((*path, "signature"), str(error)) from error
    if "severity" in entry:
        _choice(entry, "severity", _CHOICES["severity"], path)
    conditions = _tables(entry, "conditions", path, "conditions to be a list of tables", least=0)
    return Match(
        signature,
        tuple(_condition(condition, (*path, "conditions", index)) for index, condition in enumerate(conditions)),
        entry.get("severity"),
    )


def _condition(entry: dict[str, Any], path: _Path) -> Condition:
    name = entry.get("field")
    if not isinstance(name, str) or name not in EVIDENCE_KINDS:
        _refuse((*path, "field"), f"a condition on one of {', '.join(sorted(EVIDENCE_KINDS))}", name)
    _only(entry, _CONDITION_KEYS, path)
    when_unknown = entry.get("when_unknown", False)
    if not isinstance(when_unknown, bool):
        _refuse((*path, "when_unknown"), "when_unknown to be true or false", when_unknown)
    if "one_of" in entry:
        if bounds := {"minimum", "maximum"} & set(entry):
            _refuse(path, "either one_of or bounds", f"one_of and {' and '.join(sorted(bounds))}")
        return Condition(name, one_of=_one_of(entry["one_of"], name, path), when_unknown=when_unknown)
    minimum, maximum = (_bound(entry, key, name, path) for key in ("minimum", "maximum"))
    if minimum is None and maximum is None:
        raise _WrongError(path, f"the condition on {name} has no minimum, maximum or one_of")
    if minimum is not None and maximum is not None and minimum > maximum:
        _refuse((*path, "minimum"), f"a minimum of at most the maximum {maximum!r}", minimum)
    return Condition(name, minimum, maximum, when_unknown=when_unknown)


def _one_of(values: Any, name: str, path: _Path) -> tuple[str | int, ...]:
    is_text = EVIDENCE_KINDS[name] is str
    fits = isinstance(values, list) and values
    if not fits or not all(isinstance(value, str) if is_text else _is_integer(value) for value in values):
        _refuse((*path, "one_of"), f"one_of to be a list of {'texts' if is_text else 'integers'} for {name}", values)
    return tuple(values)


def _bound(entry: dict[str, Any], key: str, name: str, path: _Path) -> float | None:
    if key not in entry:
        return None
    value = entry[key]
    if EVIDENCE_KINDS[name] is str:
        _refuse((*path, key), f"one_of for {name}, which is a text", f"{key} = {value!r}")
    if not (_is_integer(value) or (isinstance(value, float) and math.isfinite(value))):
        _refuse((*path, key), f"{key} to be a number", value)
    return cast("float", value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INTEGER_MAX


def _choice(entry: dict[str, Any], key: str, choices: tuple[str, ...], path: _Path) -> None:
    value = entry.get(key)
    if not isinstance(value, str) or value not in choices:
        _refuse((*path, key), f"{key} to be one of {', '.join(choices)}", value)


def _only(entry: dict[str, Any], known: tuple[str, ...], path: _Path) -> None:
    for key in entry:
        if key not in known:
            _refuse((*path, key), f"only {', '.join(sorted(known))}", key)


def _tables(
    entry: dict[str, Any], key: str, path: _Path, expected: str, *, least: int | Literal[True]
) -> list[dict[str, Any]]:
    tables = entry.get(key, [])
    if not isinstance(tables, list):
        _refuse((*path, key), expected, tables)
    if len(tables) < least:
        raise _WrongError((*path, key), f"expected {expected}, but got none")
    for index, table in enumerate(tables):
        if not isinstance(table, dict):
            _refuse((*path, key, index), f"a table in {key}", table)
    return tables


def _refuse(path: _Path, expected: str, value: Any, rest: str = "") -> NoReturn:
    shown = "nothing" if value is None else repr(value) if len(repr(value)) <= 200 else f"{repr(value)[:200]}…"  # noqa: PLR2004 - a line of a terminal or two
    raise _WrongError(path, f"expected {expected}, but got {shown}{f' {rest}' if rest else ''}")
