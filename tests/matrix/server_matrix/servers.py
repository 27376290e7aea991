"""Each server's command line, and the frameworks that all of them serve."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

FRAMEWORKS: Final[dict[str, str]] = {
    "bare": "bare ASGI",
    "starlette_app": "Starlette",
    "fastapi_app": "FastAPI",
    "litestar_app": "Litestar",
    "channels_app": "Django Channels",
    "socketio_app": "python-socketio",
}
"""Module name of the application to the framework's name."""


class Cell(NamedTuple):
    """One server process: a server, a framework, an event loop."""

    server: str
    framework: str
    loop: str = "asyncio"

    def __str__(self) -> str:
        return "-".join(self)


@dataclass(frozen=True)
class Server:
    """A server of the matrix.

    Attributes:
        title: as the page names it.
        arguments: the command after the interpreter, from application, port and loop.
        loops: the event loops that it can run on.
    """

    title: str
    arguments: Callable[[str, int, str], list[str]]
    loops: tuple[str, ...] = ("asyncio", "uvloop")

    def command(self, cell: Cell, port: int) -> list[str]:
        """The command line that serves a cell on a port of the loopback, with an interpreter of its own."""
        application = f"server_matrix.applications.{cell.framework}:app"
        return [sys.executable, "-m", *self.arguments(application, port, cell.loop)]


def _uvicorn(protocol: str) -> Callable[[str, int, str], list[str]]:
    def arguments(application: str, port: int, loop: str) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port)]
        return ["uvicorn", application, *where, "--ws", protocol, "--loop", loop]

    return arguments


def _hypercorn(application: str, port: int, loop: str) -> list[str]:
    return ["hypercorn", application, "--bind", f"127.0.0.1:{port}", "--worker-class", loop]


def _daphne(application: str, port: int, loop: str) -> list[str]:
    del loop
    # Twisted's own timeout of a handshake, longer than the matrix' clients wait: what they see is then the same always.
    return ["daphne", "-b", "127.0.0.1", "-p", str(port), "--websocket_connect_timeout", "30", application]


def _granian(application: str, port: int, loop: str) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return ["granian", application, "--interface", "asgi", *where, "--loop", loop]


SERVERS: Final[dict[str, Server]] = {
    "uvicorn_sansio": Server("uvicorn (websockets-sansio)", _uvicorn("websockets-sansio")),
    "uvicorn_wsproto": Server("uvicorn (wsproto)", _uvicorn("wsproto")),
    "hypercorn": Server("hypercorn", _hypercorn),
    "daphne": Server("daphne", _daphne, loops=("asyncio",)),
    "granian": Server("granian", _granian),
    "uvicorn_legacy": Server("uvicorn (websockets, deprecated)", _uvicorn("websockets")),
}

CURRENT: Final = ("uvicorn_sansio", "uvicorn_wsproto", "hypercorn", "daphne", "granian")
FULL: Final = tuple(Cell(server, framework) for server in CURRENT for framework in FRAMEWORKS)
DEPRECATED: Final = (Cell("uvicorn_legacy", "starlette_app"),)
ON_UVLOOP: Final = tuple(
    Cell(server, "starlette_app", "uvloop") for server in CURRENT if "uvloop" in SERVERS[server].loops
)
CELLS: Final = (*FULL, *DEPRECATED, *ON_UVLOOP)
