"""A user's pattern file: what it may say, and on which line each mistake is told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import acceptfirst
from acceptfirst.catalogue import CatalogueError, configured_catalogue, load_catalogue
from acceptfirst.catalogue.reader import SHIPPED
from acceptfirst.catalogue.toml_lines import line_of, lines_of

OWN = """\
schema_version = 1

[[pattern]]
number = 101
name = "chatty_client"
severity = "warning"
title = "More than one message"
cause = \"\"\"
With # what looks like a comment,
[[pattern]] like a header, and
name = "like a key".\"\"\"
remedy = 'r'  # a comment
delay_helps = "useless"
fixed_by = "client"
supersedes = [
    "double_close",  # why
    "send_after_close",
]

[[pattern.match]]
signature = "RSG?X"
conditions = [
    { field = "idle_ms", minimum = 1 },
    { field = "close_code", one_of = [1000, 1001] },
]

[[pattern.match]]
signature = "RSGD"

[[pattern]]
name = "second"
severity = "fatal"
title = "t"
cause = "c"
remedy = "r"
delay_helps = "masks"
fixed_by = "gate"
match = [{ signature = "X" }]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file lies."""
    return tmp_path / "own.toml"


def refusal(path: Path, content: str | bytes) -> str:
    """What the reader says about a file, without its folder."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CatalogueError) as refused:
        load_catalogue(path)
    return str(refused.value).removeprefix(f"{path.parent}/")


def test_user_patterns_stand_behind_the_shipped_ones(path: Path) -> None:
    """A user's TOML file adds to the catalogue."""
    path.write_text(OWN)
    own = load_catalogue(path)
    assert [pattern.name for pattern in own][-2:] == ["chatty_client", "second"]
    assert own["chatty_client"].supersedes == ("double_close", "send_after_close")


@pytest.mark.parametrize("content", ["\ufeff" + OWN, OWN.replace("\n", "\r\n")], ids=["byte order mark", "CRLF"])
def test_reader_takes_what_editors_make_of_a_file(path: Path, content: str) -> None:
    """Neither says anything about the patterns."""
    path.write_bytes(content.encode())
    assert "second" in load_catalogue(path)


FIRST = "own.toml:{}: pattern 1 (chatty_client): expected "
MISTAKES: list[tuple[str, str, str]] = [
    (
        '"chatty_client"',
        '"Chatty"',
        "own.toml:5: pattern 1: expected a name in snake_case of at most 64 letters, but got 'Chatty'",
    ),
    ('"chatty_client"', '"' + "a" * 65 + '"', "own.toml:5: pattern 1 ("),
    ('"chatty_client"', "7", "own.toml:5: pattern 1: expected a name in snake_case"),
    ('"chatty_client"', '"double_close"', "own.toml:5: pattern 1 (double_close): expected a name that is not taken"),
    ('"second"', '"chatty_client"', "own.toml:31: pattern 2 (chatty_client): expected a name that is not taken"),
    ("101", '"101"', FIRST.format(4) + "number to be an integer from 0 to 65535, but got '101'"),
    ("101", "true", FIRST.format(4) + "number to be an integer"),
    ("101", "1.5", FIRST.format(4) + "number to be an integer"),
    ("101", "-1", FIRST.format(4) + "number to be an integer"),
    ("101", "9" * 400, FIRST.format(4) + "number to be an integer"),
    ('"warning"', '"severe"', FIRST.format(6) + "severity to be one of warning, critical, fatal, but got 'severe'"),
    ('"warning"', '["warning"]', FIRST.format(6) + "severity to be one of"),
    ('"More than one message"', '" "', FIRST.format(7) + "a sentence for title, but got ' '"),
    ('"More than one message"', "2026-11-25", FIRST.format(7) + "a sentence for title"),
    ("remedy = 'r'", "remedies = 'r'", FIRST.format(12) + "only cause, caused_by, "),
    ("remedy = 'r'  # a comment\n", "", FIRST.format(3) + "a sentence for remedy, but got nothing"),
    ('"useless"', '"never"', FIRST.format(13) + "delay_helps to be one of"),
    ('"client"\n', '"client"\ncaused_by = "Q"\n', FIRST.format(15) + "caused_by to be letters of"),
    ('"client"\n', '"client"\ncaused_by = 1\n', FIRST.format(15) + "caused_by to be letters of"),
    ('"client"\n', '"client"\nscope = "fleet"\n', FIRST.format(15) + "scope to be 'connection' or nothing"),
    ('    "send_after_close",\n', "    7,\n", FIRST.format(15) + "supersedes to be a list of names"),
    ("supersedes = [\n", 'supersedes = "double_close"\nold = [\n', FIRST.format(16) + "only "),
    (
        '"send_after_close"',
        '"no_such"',
        FIRST.format(17) + "the name of another pattern of the catalogue, but got 'no_such'",
    ),
    ('"send_after_close"', '"chatty_client"', FIRST.format(17) + "the name of another pattern"),
    ('"RSG?X"', "7", FIRST.format(21) + "a signature, but got 7"),
    ('"RSG?X"', '"R.X"', FIRST.format(21) + "only letters of the alphabet"),
    ('"RSG?X"', '"(R*)*X"', FIRST.format(21) + "a repeated group to be a choice of fixed words"),
    ('"RSGD"\n', '"RSGD"\nseverity = "bad"\n', FIRST.format(29) + "severity to be one of"),
    ('"RSGD"\n', '"RSGD"\nwhen = 1\n', FIRST.format(29) + "only conditions, severity, signature, but got 'when'"),
    ('"RSGD"\n', '"RSGD"\nconditions = 5\n', FIRST.format(29) + "conditions to be a list of tables, but got 5"),
    ('"RSGD"\n', '"RSGD"\nconditions = [5]\n', FIRST.format(29) + "a table in conditions, but got 5"),
    ('"RSGD"\n', '"RSGD"\nconditions = { field = "idle_ms" }\n', FIRST.format(29) + "conditions to be a list"),
    ('"idle_ms"', '"nonsense"', FIRST.format(23) + "a condition on one of accept_ms, close_code"),
    ('"idle_ms"', "[]", FIRST.format(23) + "a condition on one of"),
    (
        "minimum = 1",
        "least = 1",
        FIRST.format(23) + "only field, maximum, minimum, one_of, when_unknown, but got 'least'",
    ),
    (
        ", minimum = 1",
        "",
        "own.toml:23: pattern 1 (chatty_client): the condition on idle_ms has no minimum, maximum or one_of",
    ),
    ("minimum = 1", 'minimum = "1"', FIRST.format(23) + "minimum to be a number, but got '1'"),
    ("minimum = 1", "minimum = true", FIRST.format(23) + "minimum to be a number"),
    ("minimum = 1", "minimum = nan", FIRST.format(23) + "minimum to be a number"),
    ("minimum = 1", "minimum = inf", FIRST.format(23) + "minimum to be a number"),
    ("minimum = 1", "minimum = " + "9" * 30, FIRST.format(23) + "minimum to be a number"),
    ("minimum = 1", "minimum = 2, maximum = 1", FIRST.format(23) + "a minimum of at most the maximum 1, but got 2"),
    ("minimum = 1", "minimum = 2, when_unknown = 1", FIRST.format(23) + "when_unknown to be true or false, but got 1"),
    ("one_of = [1000, 1001]", "minimum = 1, one_of = [1]", FIRST.format(24) + "either one_of or bounds"),
    ("[1000, 1001]", "[]", FIRST.format(24) + "one_of to be a list of integers for close_code, but got []"),
    ("[1000, 1001]", '[1000, "x"]', FIRST.format(24) + "one_of to be a list of integers"),
    ("[1000, 1001]", "1000", FIRST.format(24) + "one_of to be a list of integers"),
    (
        '"idle_ms", minimum = 1',
        '"error_kind", one_of = [1]',
        FIRST.format(23) + "one_of to be a list of texts for error_kind",
    ),
    (
        '"idle_ms", minimum = 1',
        '"error_kind", minimum = 1',
        FIRST.format(23) + "one_of for error_kind, which is a text",
    ),
    (
        'match = [{ signature = "X" }]',
        "match = []",
        "own.toml:38: pattern 2 (second): expected at least one [[pattern.match]], but got none",
    ),
    (
        'match = [{ signature = "X" }]\n',
        "",
        "own.toml:30: pattern 2 (second): expected at least one [[pattern.match]], but got none",
    ),
    (
        'match = [{ signature = "X" }]',
        "match = { signature = 'X' }",
        "own.toml:38: pattern 2 (second): expected at least one",
    ),
    (
        'match = [{ signature = "X" }]',
        "match = ['X']",
        "own.toml:38: pattern 2 (second): expected a table in match, but got 'X'",
    ),
    ("schema_version = 1", "schema_version = 7", "own.toml:1: expected schema_version = 1, but got 7"),
    ("schema_version = 1", "", "own.toml: expected schema_version = 1, but got nothing"),
    (
        "schema_version = 1",
        "schema_version = 1\npatern = 1",
        "own.toml:2: expected only pattern, schema_version, but got 'patern'",
    ),
    ("number = 101", "number 101", "own.toml:4: expected a readable TOML file of patterns, but got: "),
    ('match = [{ signature = "X" }]', "match = [", "own.toml:38: expected a readable TOML file of patterns"),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_reader_tells_each_mistake_with_its_line(path: Path, old: str, new: str, message: str) -> None:
    """File, line, which pattern, what was expected and what came."""
    assert old in OWN
    assert refusal(path, OWN.replace(old, new, 1)).startswith(message)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("schema_version = 1\npattern = 5\n", "own.toml:2: expected [[pattern]] tables, but got 5"),
        ("schema_version = 1\n[pattern]\n", "own.toml:2: expected [[pattern]] tables, but got {}"),
        ("schema_version = 1\npattern = [1]\n", "own.toml:2: pattern 1: expected a table in pattern, but got 1"),
        ("schema_version = 1\nx = " + "[" * 5000 + "]" * 5000, "own.toml"),
        ("schema_version = " + "1" * 5000, "own.toml"),
    ],
)
def test_reader_refuses_documents_of_another_shape(path: Path, document: str, message: str) -> None:
    """However far from a catalogue it is."""
    assert refusal(path, document).startswith(message)


def test_reader_tells_the_line_of_a_byte_that_is_not_utf8(path: Path) -> None:
    """An editor that saved it as Latin-1."""
    content = OWN.replace("More than", "M\xeahr als").encode("latin-1")
    assert refusal(path, content).startswith(
        "own.toml:7: expected a readable TOML file in UTF-8, but got the byte 0xea"
    )


def test_reader_refuses_utf16(path: Path) -> None:
    """Some editors call it Unicode."""
    assert refusal(path, OWN.encode("utf-16")).startswith("own.toml:1: expected a readable TOML file in UTF-8")


@pytest.mark.parametrize("name", ["missing.toml", "", "a\0b"])
def test_reader_refuses_what_is_no_file(tmp_path: Path, name: str) -> None:
    """Missing, a folder, a name that no file system takes."""
    with pytest.raises(CatalogueError, match="expected a readable TOML file"):
        load_catalogue(tmp_path / name)


def test_environment_names_the_file_when_none_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument wins."""
    path.write_text(OWN)
    monkeypatch.setenv("ACCEPTFIRST_PATTERNS", str(path))
    assert "second" in configured_catalogue()
    other = path.with_name("other.toml")
    other.write_text(OWN.replace('"second"', '"third"'))
    assert "third" in configured_catalogue(other)
    assert "second" not in configured_catalogue(other)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Does nothing."""


def test_instrument_refuses_a_file_that_is_wrong(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the application is put together, never later."""
    path.write_text(OWN.replace('"warning"', "5"))
    with pytest.raises(CatalogueError, match=r"own\.toml:6: pattern 1 \(chatty_client\)"):
        acceptfirst.instrument(application, patterns=path)
    monkeypatch.setenv("ACCEPTFIRST_PATTERNS", str(path))
    with pytest.raises(CatalogueError, match=r"own\.toml:6: "):
        acceptfirst.instrument(application)


def test_lines_are_those_of_the_shipped_file() -> None:
    """Every key of a real file stands on the line that is told."""
    text = SHIPPED.read_text()
    rows = text.splitlines()
    told = [(p, line) for p, line in lines_of(text).items() if isinstance(p[-1], str) and p != ("pattern",)]
    assert len(told) > 200
    assert [p for p, line in told if str(p[-1]) not in rows[line - 1]] == []


def test_lines_are_right_behind_strings_of_every_kind() -> None:
    """Escaped quotes, quotes before the closing three, brackets and comment signs inside."""
    rows = [
        r'a = "\"] # \\"',
        "'b.\"' = ']'",
        'c = """x""""',
        "d = '''y''''",
        'e = ["]", \'[\', {f = "}"}, # ]',
        '  "z"]',
        "g . h = 1",
        "[ i . 'j ]' ]",
        "k = 1",
    ]
    found = lines_of("\n".join(rows))
    tomllib.loads("\n".join(rows))
    keys: list[tuple[str | int, ...]] = [("a",), ('b."',), ("c",), ("d",), ("e",), ("e", 2, "f"), ("e", 3)]
    assert [found[key] for key in keys] == [1, 2, 3, 4, 5, 5, 6]
    assert (found["g", "h"], found["i", "j ]"], found["i", "j ]", "k"]) == (7, 8, 9)


def test_line_of_what_is_not_there_is_that_of_its_table() -> None:
    """And none where there is no table either."""
    assert line_of("a = 1\n[b]\nc = 2\n", ("b", "missing")) == 2
    assert line_of("a = 1\n", ("b", "missing")) is None


SCALARS = st.one_of(st.integers(), st.booleans(), st.floats(), st.text(max_size=8), st.sampled_from(["X", "warning"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
KEYS = st.sampled_from(
    [
        "name",
        "number",
        "severity",
        "match",
        "supersedes",
        "signature",
        "conditions",
        "field",
        "one_of",
        "minimum",
        "x y",
    ]
)


def toml_of(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(f"\\U{ord(c):08X}" if c in '"\\' or not c.isprintable() else c for c in value)
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_of(key)} = {toml_of(inner)}" for key, inner in value.items()) + "}"
    return repr(value)


LINES = st.one_of(
    st.sampled_from(
        ["schema_version = 1", "[[pattern]]", "[[pattern.match]]", "[pattern]", "[x]", "# c", '"""', "'''"]
    ),
    st.tuples(KEYS, VALUES).map(lambda pair: f"{toml_of(pair[0])} = {toml_of(pair[1])}"),
    st.text(max_size=12),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12), patched=st.booleans())
def test_reader_raises_nothing_but_its_own_error(path: Path, lines: list[str], *, patched: bool) -> None:
    """Whatever is in the file: lines at random, alone or in the middle of a good one."""
    text = "\n".join(lines)
    if patched:
        head, tail = OWN.split('severity = "warning"', 1)
        text = head + text + tail
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    told = f"{path}: "
    try:
        load_catalogue(path)
    except CatalogueError as refused:
        told = str(refused)
    assert re.match(rf"{re.escape(str(path))}(:\d+)?: ", told)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.lists(VALUES, max_size=3))
def test_lines_are_found_for_every_value(document: dict[str, Any], patterns: list[Any]) -> None:
    """Each key at the root and each array of tables, on the line where we wrote it."""
    rows = [f"{toml_of(key)} = {toml_of(value)}" for key, value in document.items()]
    expected: dict[tuple[str | int, ...], int] = {(key,): line for line, key in enumerate(document, 1)}
    if "pattern" not in document:
        for position, value in enumerate(patterns):
            expected["pattern", position] = len(rows) + 1
            expected["pattern", position, "v"] = len(rows) + 2
            rows += ["[[pattern]]", f"v = {toml_of(value)}"]
    text = "\n".join(rows)
    tomllib.loads(text)
    found = lines_of(text)
    assert {key: found.get(key) for key in expected} == expected
