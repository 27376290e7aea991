"""The ends of a process and its beginnings by fork: nothing that was told is lost, nothing goes out twice.

- When the server's lifespan ends through us, what waits goes out and the providers are flushed: uvicorn ends by the
  very signal that it was stopped with, and no exit handler of Python's runs after that.
- When the interpreter exits otherwise, what waits goes out before the providers' own exit handlers run.
- A forked child forgets what its parent has under way.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Protocol

from acceptfirst.asgi import Message, Send
from acceptfirst.failsafe import failsafe, record_failure

FLUSH_PATIENCE_S: Final = 5.0
"""How long the end of a server waits for its exporters; what they have not sent by then is theirs to lose."""

_ENDS: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Outlet(Protocol):
    """Holds back what connections told until it is time to export it."""

    def flush(self) -> None:
        """Hand everything to the providers."""

    def forget(self) -> None:
        """Drop everything: it is another process's."""

    def providers(self) -> Iterable[Any]:
        """Where it goes."""


_outlets: Final[weakref.WeakSet[Outlet]] = weakref.WeakSet()


def look_after(outlet: Outlet) -> None:
    """Flush this one at the end of the process, and let it forget in a forked child."""
    _outlets.add(outlet)


def run_before_the_provider_at_exit() -> None:
    """Say that a provider has been found: exit handlers run last in, first out, and ours must run before its own."""
    atexit.unregister(_flush_all)
    atexit.register(_flush_all)


async def flush_everything() -> None:
    """Export what waits and let the providers send it; no longer than ``FLUSH_PATIENCE_S``, and never an exception."""
    _flush_all()
    try:
        await _flush_providers()
    except Exception as error:  # noqa: BLE001 - it must not fail the server's shutdown
        record_failure("flush_everything", error)


def flushing(send: Send) -> Send:
    """The ``send`` of a lifespan, which flushes before it says that the application has shut down."""

    async def send_after_flush(message: Message) -> None:
        if isinstance(message, dict) and message.get("type") in _ENDS:
            await flush_everything()
        await send(message)

    return send_after_flush


def _flush_all() -> None:
    for outlet in list(_outlets):
        _flush(outlet)


@failsafe
def _flush(outlet: Outlet) -> None:
    outlet.flush()


async def _flush_providers() -> None:
    """Let the providers send what they have, in threads that keep nobody from exiting."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio: nobody to tell us when it is done; the providers' own exit handlers are left
        return
    providers = {id(provider): provider for outlet in list(_outlets) for provider in outlet.providers()}
    flushes = [_flush_in_thread(loop, provider) for provider in providers.values() if hasattr(provider, "force_flush")]
    if flushes:
        await asyncio.wait(flushes, timeout=FLUSH_PATIENCE_S)


def _flush_in_thread(loop: asyncio.AbstractEventLoop, provider: Any) -> asyncio.Future[None]:
    done: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    def work() -> None:
        try:
            provider.force_flush(int(FLUSH_PATIENCE_S * 1000))
        except Exception as error:  # noqa: BLE001 - an exporter that fails must not fail the server's shutdown
            record_failure("force_flush", error)
        with suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=work, name="acceptfirst-flush", daemon=True).start()
    return done


def _forget_all() -> None:
    for outlet in list(_outlets):
        outlet.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=failsafe(_forget_all))
