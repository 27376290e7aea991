"""Where a policy comes from: a file, or a collector. A source is read again and again, by a ``Feed``."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from acceptfirst.policy.file import parse_policy_file, read_policy_file
from acceptfirst.policy.model import Policy, PolicyError

POLICY_VARIABLE: Final = "ACCEPTFIRST_POLICY"
_SCHEMES: Final = ("http://", "https://")


class NothingStored(PolicyError):  # noqa: N818 - says the state: no error, nobody has stored a policy yet
    """The source answers, and has no policy for this environment."""


class StillChanging(PolicyError):  # noqa: N818 - says the state: what is being written may be whole in a moment
    """The source has just changed; what it says now is to be read once more before it holds."""


@dataclass(frozen=True, slots=True)
class CollectorPolicy:
    """A collector as the source of the policy, for whoever has more to say about it than its URL.

    Attributes:
        url: of the collector, such as ``https://collector.internal:4318``.
        token: its bearer token; else ``ACCEPTFIRST_TOKEN``, or what the file ``ACCEPTFIRST_TOKEN_FILE`` holds.
        timeout_s: how long each step of a request may take, and the whole answer.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0


class Source(Protocol):
    """Something that can be asked for a policy.

    Attributes:
        place: where it is, for people; holds no secret.
        is_local: whether it answers at once, so that it may be read while an application starts.
        key: two sources of one key are one source.
    """

    place: str
    is_local: bool
    key: Hashable

    def read(self) -> Policy | None:
        """The policy, or ``None`` where it is still the one that was given last.

        Raises:
            NothingStored: there is none.
            StillChanging: it may be half written.
            PolicyError: it can't be had, or can't be used; says what was expected and what came.
        """
        ...


class FileSource:
    """A TOML file, read whole each time.

    A policy is some hundred bytes: to read it costs less than to be sure from its times, size and inode that nothing
    was written (two writes within a tick of the file system's clock look alike). Changed bytes are what counts.

    Half a file may be a whole policy: cut off at the right place, ``handshake_timeout_ms = 1000`` says one millisecond,
    and without its last table a file says nothing of an environment. So what has changed holds when it has been read
    twice, and only the very first reading, before which nothing held, is taken at once.

    Args:
        path: of the file, which may be replaced, half written or gone at any time.
        environment: whose table to read.
    """

    is_local = True

    def __init__(self, path: Path | str, environment: str) -> None:
        self._path = Path(path).absolute()  # an application may change its directory later
        self._environment = environment
        self.place = str(path)
        self.key: Hashable = ("file", self._path, environment)
        self._taken: bytes | None = None
        self._seen: bytes | None = None

    def read(self) -> Policy | None:
        """See ``Source``."""
        text = read_policy_file(self._path)
        before, self._seen = self._seen, text
        if text == self._taken:
            return None
        if before is not None and text != before:
            raise StillChanging(f"{self.place}: expected the same twice, but it has just changed")
        policy = parse_policy_file(text, self._environment, self.place)
        self._taken = text
        return policy


def source_of(given: Path | str | CollectorPolicy, environment: str) -> Source:
    """The source that an argument means: a URL with ``http://`` or ``https://`` is a collector's, all else a file.

    Raises:
        PolicyError: when the URL can't be used.
    """
    if isinstance(given, str) and given.startswith(_SCHEMES):
        given = CollectorPolicy(given)
    if isinstance(given, CollectorPolicy):
        # Loaded only for those who use it: HTTP and TLS take longer to import than all the rest.
        from acceptfirst.policy.collector_source import CollectorSource  # noqa: PLC0415

        return CollectorSource(given, environment)
    return FileSource(given, environment)


def source_in_environment() -> str | None:
    """What ``ACCEPTFIRST_POLICY`` says, if anything: a path or a URL."""
    return os.environ.get(POLICY_VARIABLE) or None
