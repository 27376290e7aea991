"""Whether one task acts for another: which it does inside ``asyncio.wait_for`` before Python 3.12.

There ``wait_for(websocket.receive_json(), 5)``, the usual way to authenticate with a deadline, runs the receive in a
task of its own while the caller waits. A gate that admits tasks must see the caller in it. From 3.12 on it is
the caller.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

Task = asyncio.Task[Any]

if sys.version_info >= (3, 12):

    def acts_for(task: Task | None, principal: Task) -> bool:
        """Whether what ``task`` does now is done by ``principal``."""
        return task is principal

else:

    def acts_for(task: Task | None, principal: Task) -> bool:
        """Whether what ``task`` does now is done by ``principal``, or for it while it waits in ``asyncio.wait_for``.

        ``wait_for`` suspends its caller on a future of its own, and releases that one when the inner task is done: no
        other construct leaves this trace, so a task that was merely started by the principal is not taken for it.
        """
        if task is principal or task is None:
            return task is principal
        waits_for = getattr(principal, "_fut_waiter", None)
        if waits_for is None:
            return False
        return any(_releases(callback, waits_for) for callback, _ in getattr(task, "_callbacks", None) or ())

    def _releases(callback: object, future: object) -> bool:
        """Whether a done-callback is ``wait_for``'s own, for this future."""
        released: tuple[Any, ...] = getattr(callback, "args", ())
        is_wait_for = getattr(getattr(callback, "func", None), "__module__", "") == "asyncio.tasks"
        return is_wait_for and len(released) == 1 and released[0] is future
