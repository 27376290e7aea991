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

from sys import intern
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


_RUNS: Final = {run: run for run in ("R", "S", "RS", "SR")}
"""The runs of messages, which all connections share."""


class Signature:
    """Builds one connection's signature; ``str()`` gives it at any time.

    It is kept as the text itself: over 64 letters the middle is cut out at each event, so a connection that lives for a
    week holds no more memory than one that lives for a second. While messages go to and fro it is shared by all that
    have the same: distinct signatures are few, connections are many.

    Attributes:
        text: the signature so far.
        run: which of R and S stand since the last other letter; whoever counts messages may look here first.
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
            self.run = _RUNS[self.run + letter]
        else:
            self.run = ""
        if len(self.text) < LENGTH_MAX:
            self.text = intern(self.text + letter)
        else:
            self._cut(letter)

    def add_guard(self, letter: str) -> None:
        """Append ``!`` and the letter of the attempt that the framework refused."""
        self.add(GUARD)
        self.add(letter)
        self.run = ""

    def _cut(self, letter: str) -> None:
        """The letter after the head goes, be it the 32nd of a full signature or the first of an older tail."""
        self.text = self.text[:HEAD_LENGTH] + ELISION + self.text[-TAIL_LENGTH + 1 :] + letter

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
