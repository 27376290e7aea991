"""One result of an examination."""

from __future__ import annotations

import dataclasses
import enum


class State(enum.StrEnum):
    """How it stands. Only `failed` ends the command with 3: a warning works today."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was examined and found.

    Attributes:
        check: a short name that scripts may rely on.
        state: how it stands.
        found: what is there, in words.
        mend: what to do; empty where nothing is.
    """

    check: str
    state: State
    found: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """As `doctor --json` has it."""
        return {"check": self.check, "state": self.state.value, "found": self.found, "mend": self.mend}


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """It works, but will not for ever."""
    return Finding(check, State.WARNING, found, mend)


def failed(check: str, found: str, mend: str) -> Finding:
    """`serve` would not start, or would lose something."""
    return Finding(check, State.FAILED, found, mend)


def skipped(check: str, found: str) -> Finding:
    """It can't be examined here, or need not be."""
    return Finding(check, State.SKIPPED, found)
