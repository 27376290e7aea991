"""What the application itself saw, written down as it happened: one line of JSON for each attempt.

The runner reads it from another process, so a line is on the disk before the attempt's caller goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(os.environ["SERVER_MATRIX_FOLDER"])
RECEIVE_PATIENCE_S: Final = 3.0
"""A receive that a server never answers is given up after this; longer than the handshake timeout of the matrix."""
SETTLE_S: Final = 0.3
_PERIOD_S: Final = 0.02

trial: ContextVar[str] = ContextVar("trial")
"""Which connection this task works for; frameworks' own tasks inherit it."""


def note(**line: Any) -> None:
    """Write one line down for the connection that this task works for."""
    text = json.dumps({"trial": trial.get(), **line})
    with (FOLDER / "diary.ndjson").open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def named(error: BaseException) -> str:
    """An exception as a reader would tell it: its class, and its close code or the first line of its text."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return f"{type(error).__name__}({int(code)})"  # wsproto's codes are members of an enumeration
    text = str(error).split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


async def tried(
    what: str, attempt: Awaitable[Any], *, let_out: bool = False, patience_s: float = RECEIVE_PATIENCE_S
) -> BaseException | None:
    """Await an attempt and write down how it ended.

    Args:
        what: the attempt's name.
        attempt: what is awaited.
        let_out: whether an exception is raised again; otherwise it is given back.
        patience_s: for how long it is awaited.
    """
    try:
        async with asyncio.timeout(patience_s) as patience:
            value = await attempt
    except Exception as error:
        note(what=what, came="waits for ever" if patience.expired() else named(error))
        if let_out and not patience.expired():
            raise
        return error
    note(what=what, came="ok" if value is None else repr(value))
    return None


async def told_by_client() -> None:
    """Wait until the client has said, past the wire, that it is gone, and the server had the time to see it."""
    flag = FOLDER / trial.get()
    while not flag.exists():  # noqa: ASYNC110 - the flag is raised by another process
        await asyncio.sleep(_PERIOD_S)
    await asyncio.sleep(SETTLE_S)
