"""Where in the application's code something was called."""

from __future__ import annotations

import asyncio
import sys
from types import CodeType, FrameType, TracebackType
from typing import Final, NamedTuple

_PASSED_OVER: Final = frozenset({"acceptfirst", "anyio", "asyncio", "concurrent", "contextlib", "functools"})
"""Packages that call on the application's behalf, from within its own lines.

By name, not by folder: an application that was installed (in an image, as a rule) lies in site-packages as well.
"""
_FRAMEWORKS: Final = frozenset({"fastapi", "starlette"})
_PASSED_OVER_OF_FRAMEWORKS: Final = frozenset({"starlette.websockets", "starlette.responses"})
_EDGES: Final = frozenset({"acceptfirst.middleware", "asyncio.base_events", "asyncio.events", "asyncio.runners"})
"""Beyond these lies what runs the application (a server, an event loop), and what started that."""
_LOOPS: Final = frozenset({"trio", "uvloop"})

_application_files: Final[set[str]] = set()
"""Files that are known to be the application's: nearly every call comes from one of a few."""


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


Place = tuple[CodeType, int]
"""A line of code, cheaply: what a ``Site`` is made of when one is needed."""


def place_of_caller(frame: FrameType) -> Place | None:
    """The nearest line of the application's own, from this frame outwards.

    A framework that closes a connection because of an exception has no such line around it: then it is the one that
    raised.

    Returns:
        ``None`` where there is neither: a framework's endpoint class receives by itself.
    """
    code = frame.f_code
    if code.co_filename in _application_files:
        return code, frame.f_lineno
    outer: FrameType | None = frame
    while outer is not None:
        module = str(outer.f_globals.get("__name__", ""))
        root = module.partition(".")[0]
        if module in _EDGES or root in _LOOPS:
            break
        if root in _FRAMEWORKS:
            if module not in _PASSED_OVER_OF_FRAMEWORKS:
                break  # it dispatches: around it are only middlewares, which did not ask for this
        elif root not in _PASSED_OVER:
            _application_files.add(outer.f_code.co_filename)
            return outer.f_code, outer.f_lineno
        outer = outer.f_back
    return _place_that_raised(sys.exc_info()[2])


def _place_that_raised(traceback: TracebackType | None) -> Place | None:
    found: Place | None = None
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] not in _FRAMEWORKS | _PASSED_OVER:
            found = traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def site_of(place: Place, at_ns: int, call: str) -> Site:
    """A place with the moment, the call and the task that runs now."""
    code, line = place
    return Site(code.co_filename, line, code.co_qualname, current_task_name(), at_ns, call)


def current_task_name() -> str:
    """The name of the asyncio task that runs now, empty outside one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return ""
    return task.get_name() if task else ""
