"""Tokens: kept as digests, compared in constant time, each with a name and scopes, and changed without a restart.

A token file has one token a line: either the token alone, which may do everything, or a name, scopes and the token:

    # name     scopes         token, or its SHA-256
    backends   ingest         sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    grafana    read           sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
    ops        read,admin     another-long-random-token

SHA-256 without salt or stretching is enough for what it guards: tokens are long and random, not words from a head.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import logging
import pathlib
import re
import secrets
import threading
import time

DIGEST_PREFIX = "sha256:"
#: A changed file is noticed within this time, without a signal.
LOOK_SECONDS = 1.0

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NAMED_WORDS = 3

logger = logging.getLogger(__name__)


class Scope(enum.StrEnum):
    """What a token allows: send telemetry (and read a backend's policy), read everything, change things."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)


class TokenFileError(ValueError):
    """A token file that can't be used; names the line, never what stands in it."""


@dataclasses.dataclass(frozen=True)
class Token:
    """A token as it is kept.

    Attributes:
        name: for the log.
        scopes: what it allows.
        digest: SHA-256 of it.
    """

    name: str
    scopes: frozenset[Scope]
    digest: bytes = dataclasses.field(repr=False)


def digest_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def read_tokens(path: pathlib.Path) -> list[Token]:
    """Read a token file.

    Raises:
        TokenFileError: it can't be read, holds no token, or a line is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenFileError(f"the token file {path} can't be read: {error}") from error
    tokens = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if words and not words[0].startswith("#"):
            tokens.append(_token(words, f"{path}, line {number}"))
    if not tokens:
        raise TokenFileError(f"expected a token in {path}, but there is none; write one line")
    return tokens


def _token(words: list[str], place: str) -> Token:
    if len(words) == 1:
        return Token("token", ALL_SCOPES, _digest(words[0], place))
    if len(words) != _NAMED_WORDS:
        raise TokenFileError(
            f"expected a token alone, or a name, scopes and a token, in {place}; got {len(words)} words"
        )
    name, scopes, secret = words
    if not _NAME.fullmatch(name):
        raise TokenFileError(f"expected a name of letters, digits, dots, dashes and underscores in {place}")
    return Token(name, _scopes(scopes, place), _digest(secret, place))


def _digest(secret: str, place: str) -> bytes:
    if secret.startswith(DIGEST_PREFIX):
        given = secret.removeprefix(DIGEST_PREFIX)
        if not _DIGEST.fullmatch(given):
            raise TokenFileError(f"expected 64 hex digits behind {DIGEST_PREFIX} in {place}")
        return bytes.fromhex(given)
    if not secret.isascii() or not secret.isprintable():
        raise TokenFileError(f"expected a token of printable ASCII in {place}, as a header can carry it")
    return digest_of(secret)


def _scopes(text: str, place: str) -> frozenset[Scope]:
    try:
        scopes = {Scope(part) for part in text.split(",")}
    except ValueError:
        raise TokenFileError(f"expected scopes of {', '.join(Scope)} with commas between them in {place}") from None
    # Whoever may change things must see them.
    return frozenset(scopes | ({Scope.READ} if Scope.ADMIN in scopes else set()))


class TokenKeeper:
    """The tokens in force.

    Args:
        fixed: a token that may do everything; empty for none.
        path: a token file that is read again when it changes; `None` for none.

    Raises:
        TokenFileError: the file can't be used.
    """

    def __init__(self, fixed: str = "", path: pathlib.Path | None = None) -> None:
        self._fixed = [Token("token", ALL_SCOPES, digest_of(fixed))] if fixed else []
        self._path = path
        self._guard = threading.Lock()
        self._state = _state(path)
        self._looked_at = time.monotonic()
        self._from_file = read_tokens(path) if path is not None else []
        #: For this process's own worker, which reads through the API: made anew at each start, never written down.
        self.internal = secrets.token_urlsafe(32)
        self._internal = Token("internal", ALL_SCOPES, digest_of(self.internal))

    @property
    def are_required(self) -> bool:
        """Whether anybody is asked for one."""
        return bool(self._fixed or self._path)

    def find(self, given: str) -> Token | None:
        """Return the token that was given, if it is one; takes as long for a wrong one as for a right one."""
        self._look()
        digest = digest_of(given)
        found = None
        for token in (*self._fixed, *self._from_file, self._internal):
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def reload(self) -> None:
        """Read the file again; one that can't be used leaves the tokens as they are, and says so in the log."""
        if self._path is None:
            return
        with self._guard:
            self._state = _state(self._path)
            try:
                self._from_file = read_tokens(self._path)
            except TokenFileError as error:
                logger.error("the tokens stay as they are: %s", error)  # noqa: TRY400 - a slip in a file needs no traceback
            else:
                logger.info(
                    "%d tokens are in force: %s", len(self._from_file), ", ".join(t.name for t in self._from_file)
                )

    def _look(self) -> None:
        """Notice a changed file, but ask the disk once a second at most."""
        now = time.monotonic()
        if self._path is None or now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if _state(self._path) != self._state:
            self.reload()


def _state(path: pathlib.Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else None
