"""Tells a framework's own tidying up from a close by the application.

engineio (under python-socketio) closes every connection whose disconnect was delivered, and Litestar each one whose
handler let the disconnect's exception out: that is no fault of the application, which never asked for it (ADR 0013).
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Final

_OURS: Final = "acceptfirst"
_FRAMEWORKS: Final = frozenset({"engineio", "socketio", "litestar"})
_TASKS: Final = frozenset({"asyncio", "uvloop", "anyio", "trio"})


def framework_tidies_up() -> bool:
    """Whether the ASGI call that is being recorded came from a framework, with no code of the application's in between.

    Called while the call's coroutines are on the stack; walks it, so only for what is rare.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - see sites.py
    by_framework = False
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _FRAMEWORKS:
            by_framework = True
        elif package in _TASKS or (package == _OURS and by_framework):
            return by_framework  # the task's end, or our own middleware around the framework
        elif package != _OURS:
            return False
        frame = frame.f_back
    return by_framework
