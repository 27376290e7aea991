"""What left the application is sorted by its type, and is not kept alive by us."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

import acceptfirst
from acceptfirst.diagnosis.error_kind import kind_of_error


class ClientDisconnected(OSError):  # noqa: N818 - it must be called as uvicorn calls it
    """As uvicorn names it."""


class OperationalError(Exception):
    """As the databases' drivers name it."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), "dependency"),
        (TimeoutError(), "dependency"),
        (OperationalError(), "dependency"),
        (ClientDisconnected(), "client_gone"),
        (WebSocketDisconnect(1001), "client_gone"),
        (OSError(), "application"),
        (ValueError("connection refused"), "application"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_kind_is_told_by_the_type_and_not_by_the_text(error: BaseException, kind: str) -> None:
    """A ValueError that speaks of connections is still the application's own."""
    assert kind_of_error(error) == kind


def test_exception_of_the_application_is_not_kept_alive(server: Any, spans: Any) -> None:
    """Its traceback holds the application's frames: when the server has dropped it, it is gone."""

    class Own(Exception):  # noqa: N818 - the application's, not ours
        pass

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise Own

    def run() -> weakref.ref[BaseException]:
        observed = acceptfirst.instrument(fails, environment="testing", tracer_provider=spans.provider)
        error = asyncio.run(server([]).run(observed))
        assert isinstance(error, Own)
        return weakref.ref(error)

    dropped = run()
    gc.collect()
    assert dropped() is None
