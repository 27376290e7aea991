"""What the middleware adds to the memory of a connection that is open and silent, with the aim beside it.

Run with ``make bench``; ``--write FILE`` writes the table as a page. Each case runs in a process of its own, once under
``tracemalloc``, which counts what Python allocates, and once without, for the resident memory that the system sees; the
same application without the middleware is the baseline. The server is a list of messages, then silence: sockets and
protocol objects, which every application has, are not in the figures. Payload that a gate holds back is not either.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import TracerProvider

import acceptfirst
from acceptfirst import AcceptFirstMiddleware

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
MESSAGE = {"type": "websocket.receive", "text": "x"}
ANSWER = {"type": "websocket.send", "text": "x"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"upgrade", b"websocket"), (b"user-agent", b"bench")]

CONNECTIONS = 4000
SETTLE_S = 0.5
KIB = 1024

Application = Callable[[Any, Any, Any], Awaitable[None]]


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, gets ready and answers."""
    await receive()
    await send(ACCEPT)
    if scope["path"] == "/ready":
        acceptfirst.ready(scope)
    while (await receive())["type"] == "websocket.receive":
        await send(ANSWER)


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Reads in a task of its own from accept on, and is not ready yet."""
    del scope
    await receive()
    await send(ACCEPT)
    reader = asyncio.create_task(receive())
    await asyncio.wait({reader})


class Case(NamedTuple):
    """One way to have a connection open.

    Attributes:
        app: the application.
        options: of the middleware; ``None`` for none.
        path: of the connection.
        baseline: the case without the middleware.
        aim_kib: what may be added to the baseline; ``None`` for the baselines.
    """

    app: Application
    options: dict[str, Any] | None = None
    path: str = "/"
    baseline: str = ""
    aim_kib: float | None = None


HOLD: dict[str, Any] = {"readiness": "event", "gate": "hold"}
CASES = {
    "bare": Case(chat),
    "bare, with a task that reads": Case(slow),
    "observe, after a message each way": Case(chat, {}, "/", "bare", 2),
    "hold, after ready and a message each way": Case(chat, HOLD, "/ready", "bare", 8),
    "hold, before ready, with a task that reads": Case(slow, HOLD, "/", "bare, with a task that reads", 8),
}


class Client:
    """Connects, says one thing, then nothing until it is told to leave."""

    def __init__(self, path: str) -> None:
        self.scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "scheme": "ws",
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": HEADERS,
            "subprotocols": [],
            "state": {},
        }
        self._script = [DISCONNECT, MESSAGE, CONNECT]
        self._left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Any:
        """The next message."""
        if len(self._script) == 1:
            await self._left
        else:
            await asyncio.sleep(0)
        return self._script.pop() if self._script else DISCONNECT

    async def send(self, message: Any) -> None:
        """Take it."""

    def leave(self) -> None:
        """Disconnect."""
        self._left.set_result(None)


def resident_bytes() -> int:
    """Memory of this process that is resident now."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise OSError("expected a line VmRSS in /proc/self/status, but there is none")


def traced_bytes() -> int:
    """Memory that Python has allocated and not freed."""
    return tracemalloc.get_traced_memory()[0]


async def bytes_a_connection(case: Case, used: Callable[[], int]) -> float:
    """What one open connection takes, the server's part included."""
    target = case.app
    if case.options is not None:
        policy = acceptfirst.Policy(environment="development", handshake_timeout_ms=60_000.0)
        target = AcceptFirstMiddleware(
            case.app, tracer_provider=TracerProvider(shutdown_on_exit=False), policy=policy, **case.options
        )
    for number in (100, CONNECTIONS):  # the first are for what is made once
        gc.collect()
        before = used()
        clients = [Client(case.path) for _ in range(number)]
        tasks = [asyncio.create_task(_run(target, client)) for client in clients]
        await asyncio.sleep(SETTLE_S)
        gc.collect()
        taken = (used() - before) / number
        for client in clients:
            client.leave()
        await asyncio.gather(*tasks)
        del clients, tasks
    return taken


async def _run(target: Application, client: Client) -> None:
    await target(client.scope, client.receive, client.send)


def in_process(case: str, how: str) -> float:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--how", how]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own interpreter, our own code
    return float(json.loads(done.stdout))


def table() -> str:
    """Every case."""
    taken = {how: {case: in_process(case, how) for case in CASES} for how in ("traced", "resident")}
    lines = ["| an open connection | allocated, KiB | added | aim | resident, KiB | added |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, case in CASES.items():
        cells = [name]
        for how in ("traced", "resident"):
            own = taken[how][name]
            cells.append(f"{own / KIB:.2f}")
            cells.append(f"{(own - taken[how][case.baseline]) / KIB:.2f}" if case.baseline else "")
            if how == "traced":
                cells.append("" if case.aim_kib is None else f"≤ {case.aim_kib:g}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="a page between whose marks the table is put")
    parser.add_argument("--case", choices=list(CASES), help="print the bytes of this case alone")
    parser.add_argument("--how", choices=["traced", "resident"], default="traced")
    arguments = parser.parse_args()
    if arguments.case:
        if arguments.how == "traced":
            tracemalloc.start(1)
        used = traced_bytes if arguments.how == "traced" else resident_bytes
        print(json.dumps(asyncio.run(bytes_a_connection(CASES[arguments.case], used))))
        return
    text = f"{table()}\n\nPython {platform.python_version()}, {CONNECTIONS} connections."
    print(text)
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        before, after = page.split("<!-- memory -->")[0], page.split("<!-- /memory -->")[1]
        arguments.write.write_text(f"{before}<!-- memory -->\n\n{text}\n\n<!-- /memory -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
