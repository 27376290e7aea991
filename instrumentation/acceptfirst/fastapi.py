"""A handshake as a FastAPI dependency; imported by applications only, never by AcceptFirst itself.

In an endpoint: ``shake: Annotated[Handshake, Depends(handshake)]``, then ``shake.ready()``; see ``docs/readiness.md``.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection

from acceptfirst import calls
from acceptfirst.readiness.dependencies import DependencyStatus
from acceptfirst.readiness.lookup import dependencies

__all__ = ["Handshake", "handshake"]


class Handshake:
    """What an endpoint may say and ask about its own connection; outside an instrumented one all of it does nothing.

    Args:
        connection: the WebSocket, or a request, on which nothing is ever observed.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection

    def ready(self) -> None:
        """Say that messages can be handled from now on; before accept it is remembered."""
        calls.ready(self._connection)

    def phase(self, name: str, *, receives: bool = False) -> calls.phase:
        """A named step of getting ready, timed; see ``acceptfirst.phase``."""
        return calls.phase(self._connection, name, receives=receives)

    def identify(self, user: str) -> None:
        """Keep a keyed hash of who is connected."""
        calls.identify(self._connection, user)

    def explain(self) -> str:
        """The connection's timeline so far, as text."""
        return calls.explain(self._connection)

    async def wait_until_ready(self) -> bool:
        """Wait until messages may be handled.

        Returns:
            False when the connection ended first, or was not ready within the handshake timeout; True otherwise, and at
            once outside an instrumented connection.
        """
        if calls.current(self._connection) is None:
            return True
        return await calls.coordinator(self._connection).coordinate_handshake()

    @property
    def dependencies(self) -> tuple[DependencyStatus, ...]:
        """What is known of the application's dependencies."""
        return dependencies(self._connection)


async def handshake(connection: HTTPConnection) -> Handshake:
    """The dependency; async, so that FastAPI calls it in place and not in a thread."""
    return Handshake(connection)
