"""The catalogue: each pattern is found where it should be and nowhere else, and bad patterns are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst.catalogue import CatalogueError, Evidence, load_catalogue
from acceptfirst.catalogue.reader import require_portable
from acceptfirst.signature import ALPHABET

LABELLED: list[tuple[str, dict[str, Any], set[str]]] = [
    ("CAGRSDZ", {}, set()),
    ("CAGSRDZ", {}, set()),
    ("CAGXDZ", {}, set()),
    ("CAGRXZ", {}, set()),
    ("CNZ", {}, set()),
    ("CAPPGRSDZ", {}, set()),
    ("!RE", {}, {"receive_before_accept"}),
    ("C!RE", {}, {"receive_before_accept"}),
    ("CAGRX!RE", {}, {"receive_after_local_close"}),
    ("CX!RE", {}, {"receive_after_local_close", "handshake_rejected_403"}),
    ("CN!RE", {}, {"receive_after_local_close"}),
    ("CAGRs!RE", {}, {"receive_after_failed_send"}),
    ("CAGRSD!RE", {}, {"receive_after_disconnect"}),
    ("CAGDDZ", {}, {"receive_after_disconnect"}),
    ("!SE", {}, {"send_before_accept"}),
    ("CsE", {}, {"send_before_accept"}),
    ("CA!AE", {}, {"double_accept"}),
    ("CAaE", {}, {"double_accept"}),
    ("CaE", {}, {"accept_after_client_gone"}),
    ("CAGD", {"accept_ms": 400, "dwell_ms": 2, "close_code": 1006}, {"accept_after_client_gone"}),
    ("CAGD", {"accept_ms": 400, "dwell_ms": 200, "close_code": 1006}, set()),
    ("CAGD", {"accept_ms": 4, "dwell_ms": 2, "close_code": 1006}, set()),
    ("CTA", {}, {"handshake_stalled"}),
    ("CXZ", {}, {"handshake_rejected_403"}),
    ("CZ", {}, {"handshake_rejected_403"}),
    ("CE", {}, {"handshake_rejected_403"}),
    ("CE", {"error_kind": "dependency"}, {"dependency_not_ready"}),
    ("CAE", {"error_kind": "dependency"}, {"dependency_not_ready"}),
    ("CAGRE", {"error_kind": "dependency"}, set()),
    ("CAGDSZ", {}, {"send_after_disconnect"}),
    ("CAGsZ", {}, {"send_after_disconnect"}),
    ("CAGX!S", {}, {"send_after_close"}),
    ("CAGXSZ", {}, {"send_after_close"}),
    ("CAGDXZ", {}, {"double_close"}),
    ("CAGX!XE", {}, {"double_close"}),
    ("CAGRXxE", {}, {"double_close"}),
    ("CAGORSDZ", {}, {"concurrent_receive"}),
    ("CARGSDZ", {}, {"early_message_before_ready"}),
    ("CARPGDZ", {"messages_early": 0}, set()),
    ("CARGSDZ", {"messages_early": 1}, {"early_message_before_ready"}),
    ("CAGRPDZ", {"messages_early": 1, "readiness_mode": "blind"}, {"early_message_before_ready"}),
    ("CAGRPDZ", {"messages_early": 1, "readiness_mode": "auto"}, set()),
    ("CAX", {"close_code": 4408}, {"auth_timeout"}),
    ("CAGRX", {"close_code": 4408}, set()),
    ("CAX", {"close_code": 4401}, {"auth_timeout"}),
    ("CAX", {"close_code": 4401, "dwell_ms": 5000}, {"auth_timeout"}),
    ("CAX", {"close_code": 4401, "dwell_ms": 5}, set()),
    ("CAGRD", {"idle_ms": 40_000, "close_code": 1005}, {"keepalive_timeout"}),
    ("CAGRD", {"idle_ms": 4_000, "close_code": 1005}, set()),
    ("CA!RE", {}, {"receive_on_unaccepted_object"}),
    ("CAGRD!S", {}, {"send_after_disconnect"}),
]


@pytest.mark.parametrize(("signature", "known", "expected"), LABELLED)
def test_catalogue_finds_exactly_the_labelled_patterns(
    signature: str, known: dict[str, Any], expected: set[str]
) -> None:
    """Each labelled connection shows its patterns and no other."""
    assert {pattern.name for pattern in load_catalogue().match(Evidence(signature, **known))} == expected


def test_every_pattern_has_a_labelled_example() -> None:
    """A pattern that no example shows would never be tested."""
    shown = set().union(*(expected for _, _, expected in LABELLED))
    assert {pattern.name for pattern in load_catalogue()} == shown


def test_only_one_in_the_whole_taxonomy_may_be_cured_by_a_delay() -> None:
    """None of the patterns that one connection shows is cured by waiting a fixed time."""
    assert [pattern.name for pattern in load_catalogue() if pattern.delay_helps == "cures"] == []


@given(st.text(alphabet="".join(ALPHABET) + "!~", max_size=64))
def test_matching_never_raises_and_answers_the_same_twice(signature: str) -> None:
    """The remembered answer is the answer."""
    catalogue = load_catalogue()
    assert catalogue.match(Evidence(signature)) == catalogue.match(Evidence(signature))


@pytest.mark.parametrize(
    "signature", [r"\d", "a.b", "(?:A)", "A*?", "A++", "A{1,101}", "*A", "[A", "A{3,2}", "(A", "é"]
)
def test_reader_refuses_what_the_engines_read_differently(signature: str) -> None:
    """Anything outside the common language is refused, and the message shows it."""
    with pytest.raises(CatalogueError, match="here: expected"):
        require_portable(signature, "here")


@pytest.mark.parametrize("pattern", load_catalogue().patterns, ids=lambda pattern: pattern.name)
def test_shipped_signatures_are_portable(pattern: Any) -> None:
    """What we refuse of others we don't do ourselves."""
    for match in pattern.matches:
        require_portable(match.signature, pattern.name)


OWN = """
schema_version = 1
[[pattern]]
number = 101
name = "chatty_client"
severity = "warning"
title = "More than one message"
cause = "c"
remedy = "r"
delay_helps = "useless"
fixed_by = "client"
[[pattern.match]]
signature = "RSG?X"
"""


def test_user_patterns_stand_behind_the_shipped_ones(tmp_path: Path) -> None:
    """A user's TOML file adds to the catalogue."""
    path = tmp_path / "own.toml"
    path.write_text(OWN)

    assert [pattern.name for pattern in load_catalogue(path)][-1] == "chatty_client"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("chatty_client", "double_close", "a name that is not taken"),
        ('"warning"', '"severe"', "severity to be one of warning, critical, fatal, but got 'severe'"),
        ("RSG?X", "R.X", "only letters of the alphabet"),
        ("schema_version = 1", "schema_version = 7", "expected schema_version = 1, but got 7"),
        ('title = "More than one message"', "", "a sentence for title"),
        ('"RSG?X"', '"X"\nconditions = [{ field = "nonsense", minimum = 1 }]', "a condition on one of"),
        ('"RSG?X"', '"X"\nconditions = [{ field = "idle_ms" }]', "no minimum, maximum or one_of"),
        ("[[pattern]]", "[[pattern", "a readable TOML file"),
    ],
)
def test_reader_says_what_is_wrong_with_a_user_pattern(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Each mistake gets a message that names the file, what was expected and what came."""
    path = tmp_path / "own.toml"
    path.write_text(OWN.replace(old, new))

    with pytest.raises(CatalogueError, match=message) as refused:
        load_catalogue(path)
    assert "own.toml" in str(refused.value)
