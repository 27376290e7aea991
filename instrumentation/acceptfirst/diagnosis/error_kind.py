"""What kind of exception left the application: told from its type, never from its text."""

from __future__ import annotations

from typing import Final, Literal

from acceptfirst.failsafe import failsafe

ErrorKind = Literal["dependency", "client_gone", "application"]

# By name, because none of these libraries may be imported here and most are not installed.
_CLIENT_GONE: Final = frozenset({"ClientDisconnected", "WebSocketDisconnect", "ConnectionClosed", "Disconnected"})
_DEPENDENCY: Final = frozenset(
    {
        "ConnectionError",
        "TimeoutError",
        "gaierror",
        "OperationalError",
        "InterfaceError",
        "TransportError",
        "PoolTimeout",
    }
)


@failsafe
def kind_of_error(error: BaseException, *, dependency_down: bool = False) -> ErrorKind:
    """Sort an exception by the names in its class hierarchy.

    Args:
        error: that left the application.
        dependency_down: whether it did so in the handshake while a dependency was known to be down; then that is what
            it is put down to, since libraries wrap the failure of a connection in errors of any name.

    Returns:
        ``client_gone`` when the server or the framework reports that the peer is away, ``dependency`` when something
        that the application calls could not be reached, else ``application``. Of a group (a task group's, as a rule)
        one that could not be reached decides, and the peer is away only where all say so. ``None`` of an exception that
        does not let itself be looked at.
    """
    if isinstance(error, BaseExceptionGroup):
        kinds = {kind_of_error(member) for member in error.exceptions}
        return "dependency" if "dependency" in kinds else "client_gone" if kinds == {"client_gone"} else "application"
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & _CLIENT_GONE:
        return "client_gone"
    if dependency_down or names & _DEPENDENCY:
        return "dependency"
    return "application"
