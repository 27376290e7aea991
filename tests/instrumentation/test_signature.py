"""The event signature: collapsed, capped, and the same however it was built."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst.signature import ALPHABET, GUARDED, LENGTH_MAX, Signature, describe

LETTERS = st.sampled_from(list(ALPHABET))
TOKENS = st.lists(st.one_of(LETTERS, st.sampled_from([f"!{letter}" for letter in GUARDED])), max_size=300)


def built(tokens: list[str]) -> str:
    """The signature of these events."""
    signature = Signature()
    for token in tokens:
        if token.startswith("!"):
            signature.add_guard(token[1:])
        else:
            signature.add(token)
    return str(signature)


def collapsed(tokens: list[str]) -> str:
    """The same by brute force: drop an R or S that stands already since the last other event."""
    kept: list[str] = []
    run: set[str] = set()
    for token in tokens:
        if token in ("R", "S"):
            if token in run:
                continue
            run.add(token)
        else:
            run.clear()
        kept.append(token)
    return "".join(kept)


@given(TOKENS)
def test_signature_equals_brute_force_while_it_is_short(tokens: list[str]) -> None:
    """Up to 64 letters the signature is the collapsed sequence itself."""
    expected = collapsed(tokens)
    if len(expected) <= LENGTH_MAX:
        assert built(tokens) == expected


@given(TOKENS)
def test_signature_keeps_head_and_tail_when_it_is_long(tokens: list[str]) -> None:
    """Over 64 letters the first 31 and the last 32 stand around a tilde."""
    expected = collapsed(tokens)
    if len(expected) > LENGTH_MAX:
        assert built(tokens) == expected[:31] + "~" + expected[-32:]


@given(st.lists(st.sampled_from("RS"), min_size=1, max_size=500))
def test_messages_alone_never_take_more_than_two_letters(messages: list[str]) -> None:
    """However long a chat is, it adds an R and an S."""
    assert re.fullmatch(r"CAG(R|S|RS|SR)", built(["C", "A", "G", *messages]))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["R", "S", "R", "S", "R", "S"], "RS"),
        (["R", "S", "P", "R"], "RSPR"),
        (["R", "!R", "R"], "R!RR"),
        (["C", "A", "D", "Z"], "CADZ"),
    ],
)
def test_signature_of_known_sequences(tokens: list[str], expected: str) -> None:
    """The contract's own example, and its neighbours."""
    assert built(tokens) == expected


@given(TOKENS)
def test_every_signature_can_be_spelled_out(tokens: list[str]) -> None:
    """Whatever was built has a phrase for each event, a cut guard included."""
    assert len(describe(built(tokens))) >= (1 if tokens else 0)


def test_letter_outside_the_alphabet_is_named_with_its_position() -> None:
    """A person who mistypes a signature is told where."""
    with pytest.raises(ValueError, match="at position 3, but got 'q'"):
        describe("CAq")
