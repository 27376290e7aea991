"""The dialect of regular expressions that signatures are searched with, and what is refused in it.

Two engines read a signature's expression: Python's ``re`` in the application's process and RE2 in the store. They agree
on literals, ``[]``, ``()``, ``|``, ``?``, ``*``, ``+``, ``{m,n}`` up to 100, ``^`` and ``$``, and differ beyond that.

And ``re`` backtracks: ``(R*)*X`` over 64 letters would hold the application up for years. So what repeats must be read
in one way only. A repeated group is a choice of fixed words that differ in some letter before either of them ends, so a
text has at most one division into such words, and all that is left to try is how many. With ``k`` repetitions in a row
those are at most ``C(64 + k, k)`` combinations, times the choices made between them; that is bounded (``WAYS_MAX``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

from acceptfirst.signature import ALPHABET, ELISION, GUARD, LENGTH_MAX

REPETITION_MAX: Final = 100
DEPTH_MAX: Final = 16
EXPRESSION_LENGTH_MAX: Final = 1000
WAYS_MAX: Final = 60_000
"""What a search may have to try: a millisecond's worth (measured: 0.1 to 1.5 ms for the worst text of 64 letters)."""
REPETITIONS_MAX: Final = 3

_LETTERS: Final = frozenset("".join(ALPHABET) + GUARD + ELISION)
_SET = re.compile(r"\[(\^?)((?:[A-Za-z!~](?:-[A-Za-z])?)+)\]")
_REPETITION = re.compile(r"\{(\d{1,3})(?:(,)(\d{0,3}))?\}")
_WORDS_MAX: Final = 64

Ways = tuple[int, ...]
"""How many ways there are through an expression, by the number of repetitions on them: 0, 1, 2, 3, and more."""

Word = tuple[frozenset[str], ...]
"""What a fixed piece of an expression reads: one set of letters for each position."""


class NotPortableError(ValueError):
    """An expression outside the dialect; says what was expected and what came, at which position."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is known of a part of an expression.

    Attributes:
        ways: through it.
        words: all that it reads, where that is a fixed choice of words, else ``None``.
    """

    ways: Ways
    words: tuple[Word, ...] | None


_ONE: Final[Ways] = (1, 0, 0, 0, 0)
_REPEATED: Final[Ways] = (0, 1, 0, 0, 0)
_EMPTY: Final = _Piece(_ONE, ((),))
_ANCHOR: Final = _Piece(_ONE, None)


def require_portable_expression(signature: str) -> None:
    """Raise unless both engines read this regular expression alike, and neither can be held up by it.

    Args:
        signature: the regular expression.

    Raises:
        NotPortableError: with the position and the character that is outside the dialect.
    """
    if len(signature) > EXPRESSION_LENGTH_MAX:
        raise NotPortableError(f"expected at most {EXPRESSION_LENGTH_MAX} characters, but got {len(signature)}")
    reader = _Reader(signature)
    whole = reader.read_all()
    begins_anywhere = not signature.startswith("^") or "|" in reader.outermost
    ways = _product(whole.ways, _REPEATED) if begins_anywhere else whole.ways
    if ways[-1] or sum(number * comb(LENGTH_MAX + k, k) for k, number in enumerate(ways)) > WAYS_MAX:
        raise NotPortableError(
            f"expected at most {REPETITIONS_MAX} repetitions in a row (one fewer where it does not begin with ^) and "
            f"few choices between them, since each multiplies what must be tried, but got {signature!r}"
        )
    try:
        re.compile(signature)
    except (re.error, OverflowError) as error:  # pragma: no cover - the reader above has refused it by then
        raise NotPortableError(f"expected a regular expression, but got {signature!r}: {error}") from error


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, signature: str) -> None:
        self._text = signature
        self._position = 0
        self._depth = 0
        self.outermost = ""  # the operators that stand in no group

    def read_all(self) -> _Piece:
        whole = self._choice()
        if self._position < len(self._text):
            raise self._refusal("no ) without a (")
        return whole

    def _choice(self) -> _Piece:
        parts = [self._row()]
        while self._at("|"):
            if not self._depth:
                self.outermost += "|"
            self._position += 1
            parts.append(self._row())
        words = [part.words for part in parts]
        known = None if None in words else tuple(word for part in words for word in part or ())
        return _Piece(_sum([part.ways for part in parts]), _few(known))

    def _row(self) -> _Piece:
        row = _EMPTY
        while self._position < len(self._text) and not self._at("|") and not self._at(")"):
            row = _joined(row, self._repeated())
        return row

    def _repeated(self) -> _Piece:
        start = self._position
        piece = self._single()
        bounds = self._bounds()
        if bounds is None:
            return piece
        if piece is _ANCHOR:
            raise self._refusal("a quantifier needs one thing to repeat", start)
        if self._bounds() is not None:
            raise self._refusal("a quantifier needs one thing to repeat", self._position - 1)
        least, most = bounds
        if most is not None and most < least:
            raise self._refusal("the smaller number first", start)
        if most is not None and most <= 1:
            return _optional(piece) if (least, most) == (0, 1) else piece
        if piece.words is None or not _told_apart(piece.words):
            raise self._refusal(
                "a repeated group to be a choice of fixed words that differ in a letter (no repetition inside, no "
                "two readings of one text)",
                start,
            )
        if least == most:
            return _Piece(_ONE, _few(_times(piece.words, least)))
        return _Piece(_REPEATED, None)

    def _single(self) -> _Piece:
        character = self._text[self._position]
        if character == "(":
            return self._group()
        if character == "[" and (found := _SET.match(self._text, self._position)):
            self._position += len(found[0])
            return _Piece(_ONE, ((self._letters(found),),))
        if character in "^$":
            self._position += 1
            return _ANCHOR
        if character in "?*+{":
            raise self._refusal("a quantifier needs one thing to repeat")
        if character not in _LETTERS:
            raise self._refusal("only letters of the alphabet, [] () | ? * + {m,n} ^ $")
        self._position += 1
        return _Piece(_ONE, ((frozenset(character),),))

    def _group(self) -> _Piece:
        start = self._position
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refusal(f"at most {DEPTH_MAX} groups in one another")
        if self._text.startswith("(?", start):
            raise self._refusal("only letters of the alphabet, [] () | ? * + {m,n} ^ $", start + 1)
        self._position += 1
        inside = self._choice()
        if not self._at(")"):
            raise self._refusal("a ) for every (", start)
        self._position += 1
        self._depth -= 1
        return _Piece(inside.ways, inside.words)

    def _bounds(self) -> tuple[int, int | None] | None:
        """Least and most repetitions of the quantifier that stands here, ``None`` where none does."""
        character = self._text[self._position : self._position + 1]
        if character and character in "?*+":
            self._position += 1
            return {"?": (0, 1), "*": (0, None), "+": (1, None)}[character]
        if character != "{":
            return None
        found = _REPETITION.match(self._text, self._position)
        if found is None:
            raise self._refusal("only letters of the alphabet, [] () | ? * + {m,n} ^ $")
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if max(least, most or 0) > REPETITION_MAX:
            raise self._refusal(f"at most {REPETITION_MAX} repetitions")
        self._position += len(found[0])
        return least, most

    def _letters(self, found: re.Match[str]) -> frozenset[str]:
        try:
            named = re.compile(found[0])
        except re.error as error:
            raise self._refusal(f"a set of letters ({error})", self._position - len(found[0])) from error
        return frozenset(letter for letter in _LETTERS if named.match(letter))

    def _at(self, character: str) -> bool:
        return self._text.startswith(character, self._position)

    def _refusal(self, expected: str, position: int | None = None) -> NotPortableError:
        at = self._position if position is None else position
        return NotPortableError(
            f"expected {expected}, but got {self._text[at:]!r} at position {at + 1} of {self._text!r}"
        )


def _sum(several: list[Ways]) -> Ways:
    return tuple(map(sum, zip(*several, strict=True)))


def _product(left: Ways, right: Ways) -> Ways:
    product = [0] * len(left)
    for i, first in enumerate(left):
        for j, second in enumerate(right):
            product[min(i + j, len(product) - 1)] += first * second
    return tuple(product)


def _few(words: tuple[Word, ...] | None) -> tuple[Word, ...] | None:
    """The words, unless there are too many, or too long ones, to be compared."""
    if words is None or len(words) > _WORDS_MAX or any(len(word) > LENGTH_MAX for word in words):
        return None
    return words


def _joined(left: _Piece, right: _Piece) -> _Piece:
    both = None
    if left.words is not None and right.words is not None and len(left.words) * len(right.words) <= _WORDS_MAX:
        both = tuple(first + second for first in left.words for second in right.words)
    return _Piece(_product(left.ways, right.ways), _few(both))


def _optional(piece: _Piece) -> _Piece:
    return _Piece(_sum([_ONE, piece.ways]), None if piece.words is None else _few(((), *piece.words)))


def _times(words: tuple[Word, ...], count: int) -> tuple[Word, ...] | None:
    """The words of so many in a row, ``None`` where they are too many to be kept."""
    product: tuple[Word, ...] = ((),)
    for _ in range(count):
        if len(product) * len(words) > _WORDS_MAX or len(product[0]) > LENGTH_MAX:
            return None
        product = tuple(first + second for first in product for second in words)
    return product


def _told_apart(words: tuple[Word, ...]) -> bool:
    """Whether no text can be divided into these words in two ways: none is empty, none may begin another."""
    if not all(words):
        return False
    return all(
        any(one.isdisjoint(other) for one, other in zip(first, second, strict=False))
        for first, second in combinations(words, 2)
    )
