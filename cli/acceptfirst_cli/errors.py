"""How a command ends: its exit code, and the one line that says why."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What the shell gets; documented, and tested against the documentation."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    FINDINGS = 3
    NOT_ENOUGH_DATA = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class CommandError(Exception):
    """A command that can't go on: the message is for the person who ran it, the code for the shell."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
