"""Where in the application's code something was called."""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple


class Site(NamedTuple):
    """A place in the application's code.

    Attributes:
        filename: as the code object has it.
        line: of the call.
        function: that the call stands in.
        task: name of the asyncio task that ran it, empty outside one.
        at_ns: Unix nanoseconds on the connection's clock.
        call: what was called, as a reader would write it.
    """

    filename: str
    line: int
    function: str
    task: str
    at_ns: int
    call: str

    def __str__(self) -> str:
        return f"{self.call} at {self.filename}:{self.line} in {self.function}()"


def caller_site(depth: int, at_ns: int, call: str) -> Site:
    """The place ``depth`` frames above the caller of this function."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001 - a stack walk by inspect would cost a hundred times as much
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    code = frame.f_code
    return Site(code.co_filename, frame.f_lineno, code.co_qualname, task.get_name() if task else "", at_ns, call)
