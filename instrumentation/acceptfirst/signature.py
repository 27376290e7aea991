"""The event signature: a connection's whole life in at most 64 letters.

Design constraints:

- a letter costs one comparison and one append, because it is made in the application's own path;
- between two other letters R and S stand at most once each, in the order of their first occurrence, so that a chat of
  ten thousand messages and one of two have the same signature and distinct signatures stay few;
- over 64 letters the first 31 and the last 32 are kept around a ``~``;
- a guard of the framework that refused before any ASGI call is ``!`` and the letter of the attempt.

The alphabet is versioned: a letter may be added in a new version, none ever changes its meaning.
"""

from __future__ import annotations

from typing import Final

SIGNATURE_VERSION: Final = 1
LENGTH_MAX: Final = 64
HEAD_LENGTH: Final = 31
TAIL_LENGTH: Final = 32
ELISION: Final = "~"
GUARD: Final = "!"

ALPHABET: Final[dict[str, str]] = {
    "C": "connect delivered",
    "A": "accept returned",
    "a": "accept failed",
    "G": "ready",
    "R": "message delivered",
    "S": "send returned",
    "s": "send failed",
    "X": "close by the application returned",
    "x": "close failed",
    "D": "disconnect delivered",
    "N": "denial response started",
    "O": "a receive() began while another was pending",
    "P": "phase ended",
    "T": "timeout",
    "E": "exception left the application",
    "Z": "application returned",
}

GUARDED: Final[dict[str, str]] = {
    "R": "receive refused by the framework",
    "S": "send refused by the framework",
    "A": "accept refused by the framework",
    "X": "close refused by the framework",
}


RUNS: Final = {run: run for run in ("R", "S", "RS", "SR")}
"""The runs of messages between two other letters, which all connections share."""


def lengthened(signature: str, letter: str) -> str:
    """A signature with one more letter: over 64 the middle is cut out, so a week takes no more memory than a second.

    The letter after the head goes, be it the 32nd of a full signature or the first of an older tail.
    """
    if len(signature) < LENGTH_MAX:
        return signature + letter
    return signature[:HEAD_LENGTH] + ELISION + signature[-TAIL_LENGTH + 1 :] + letter


class Signature:
    """Builds a signature letter by letter; ``str()`` gives it at any time. The record of a connection is its own.

    Attributes:
        text: the signature so far.
        run: which of R and S stand since the last other letter.
    """

    __slots__ = ("run", "text")

    def __init__(self) -> None:
        self.text = ""
        self.run = ""

    def add(self, letter: str) -> None:
        """Append one letter of ``ALPHABET``; R and S are collapsed."""
        if letter == "R" or letter == "S":  # noqa: PLR1714 - twice as fast as a set, in the path of every message
            if letter in self.run:
                return
            self.run = RUNS[self.run + letter]
        else:
            self.run = ""
        self.text = lengthened(self.text, letter)

    def add_guard(self, letter: str) -> None:
        """Append ``!`` and the letter of the attempt that the framework refused."""
        self.add(GUARD)
        self.add(letter)
        self.run = ""

    def __str__(self) -> str:
        return self.text


def describe(signature: str) -> list[str]:
    """Spell a signature out, one phrase an event.

    Args:
        signature: letters of ``ALPHABET``, guards and ``~``.

    Returns:
        One phrase for each event, in order.

    Raises:
        ValueError: naming the first character that is not in the alphabet.
    """
    phrases: list[str] = []
    guarded = False
    for position, letter in enumerate(signature):
        if letter == ELISION:  # may cut a guard in two, so it comes before the guard's letter
            phrases.append("… (events left out) …")
        elif letter != GUARD:
            phrases.append(_phrase(GUARDED if guarded else ALPHABET, letter, position))
        guarded = letter == GUARD
    return phrases


def _phrase(meanings: dict[str, str], letter: str, position: int) -> str:
    try:
        return meanings[letter]
    except KeyError:
        allowed = " ".join(meanings)
        raise ValueError(f"expected one of [{allowed}] at position {position + 1}, but got {letter!r}") from None
