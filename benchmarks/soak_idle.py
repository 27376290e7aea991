"""Holds ten thousand idle WebSocket connections open through real uvicorn servers, bare and instrumented, side by side.

Run with ``make soak``. Every server and every crowd of clients is a process of its own on the loopback; the clients do
the upgrade by hand, so that ten thousand of them stay cheap. uvicorn's pings are off; a little traffic goes over all
connections in turn. The server's memory is what the kernel says is resident, and its growth is counted after a warm-up,
since allocators take a while to settle.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from acceptfirst import AcceptFirstMiddleware, Policy

HOST = "127.0.0.1"
KIB = 1024
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101"
MESSAGE = b"\x81\x81\x00\x00\x00\x00x"
"""A masked text frame of one letter; the mask is zero."""
OPENED_AT_ONCE = 100
VARIANTS = ("bare", "observe", "hold")


class Drop(SpanExporter):
    """Takes spans in batches, as an exporter does, and sends them nowhere."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drop them."""
        del spans
        return SpanExportResult.SUCCESS


async def echo(_: Any, receive: Any, send: Any) -> None:
    """Accepts, answers each message, returns on disconnect."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": "x"})


async def echo_when_ready(scope: Any, receive: Any, send: Any) -> None:
    """The same for a gate that holds."""
    from acceptfirst import ready  # noqa: PLC0415 - the bare server is to know nothing of us

    await receive()
    await send({"type": "websocket.accept"})
    ready(scope)
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": "x"})


def application(variant: str) -> Any:
    """The application, instrumented or not."""
    if variant == "bare":
        return echo
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Drop()))
    if variant == "observe":
        return AcceptFirstMiddleware(echo, environment="production", tracer_provider=provider)
    policy = Policy(environment="production", readiness_mode="event", gate="hold", handshake_timeout_ms=10_000.0)
    return AcceptFirstMiddleware(echo_when_ready, environment="production", policy=policy, tracer_provider=provider)


def serve(variant: str, descriptor: int) -> None:
    """Be the server."""
    config = uvicorn.Config(
        application(variant), fd=descriptor, log_level="warning", ws_ping_interval=None, lifespan="off", backlog=4096
    )
    uvicorn.Server(config).run()


class Client(asyncio.Protocol):
    """One connection that says what it is told to and reads whatever comes."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self.transport = transport  # type: ignore[assignment] # a stream's transport is one that writes
        transport.write(UPGRADE)  # type: ignore[attr-defined] # as above

    def data_received(self, data: bytes) -> None:
        """The server's answer to the upgrade; later its echoes."""
        if not self.opened.done():
            self.opened.set_result(data.startswith(SWITCHED))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server is gone, or has enough of us."""
        del exc
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_result(False)


async def open_one(port: int) -> Client:
    """Connect and upgrade."""
    _, client = await asyncio.get_running_loop().create_connection(Client, HOST, port)
    if not await client.opened:
        raise RuntimeError("expected 101 Switching Protocols from the server, but got something else")
    return client


async def crowd(port: int, connections: int, messages_per_s: float) -> None:
    """Be the clients: say ``open`` when all are, and talk a little until standard input is closed."""
    clients: list[Client] = []
    while len(clients) < connections:
        batch = min(OPENED_AT_ONCE, connections - len(clients))
        clients += await asyncio.gather(*(open_one(port) for _ in range(batch)))
    print("open", flush=True)
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for client in itertools.cycle(clients):
        if over.done():
            break
        if messages_per_s and client.transport is not None:
            client.transport.write(MESSAGE)
        await asyncio.sleep(1 / messages_per_s if messages_per_s else 1)
    print(f"lost {sum(client.is_lost for client in clients)}", flush=True)


@dataclass
class Running:
    """A server with its clients.

    Attributes:
        variant: how it is instrumented.
        server: its process.
        clients: theirs.
        empty_kib: resident memory before the first connection.
        samples: seconds since all were open, and resident KiB.
    """

    variant: str
    server: subprocess.Popen[bytes]
    clients: subprocess.Popen[bytes] | None = None
    empty_kib: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)


def resident_kib(pid: int) -> int:
    """What the kernel says is resident, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def raise_limit(connections: int) -> None:
    """Allow this process and its children a file descriptor for each connection."""
    needed = connections + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(f"expected to be allowed {needed} open files, but got {hard}; raise it by ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


def start(variant: str, options: argparse.Namespace) -> Running:
    """Start a server, wait until it answers, and open all connections to it."""
    listener = socket.create_server((HOST, 0), backlog=4096)
    me = [sys.executable, str(Path(__file__).resolve())]
    descriptor = listener.fileno()
    running = Running(
        variant,
        subprocess.Popen([*me, "serve", variant, str(descriptor)], pass_fds=[descriptor]),  # noqa: S603 - ourselves
    )
    port = listener.getsockname()[1]
    listener.close()
    connect_once(port)
    running.empty_kib = resident_kib(running.server.pid)
    arguments = [str(port), str(options.connections), str(options.messages_per_s)]
    running.clients = subprocess.Popen(  # noqa: S603 - ourselves
        [*me, "crowd", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if _line(running.clients) != "open":
        raise SystemExit(f"expected {options.connections} connections to the {variant} server, but they did not open")
    return running


def connect_once(port: int) -> None:
    """Wait until the server answers; the first connection also loads what is loaded once."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        connection.sendall(UPGRADE)
        if not connection.recv(200).startswith(SWITCHED):
            raise SystemExit("expected 101 Switching Protocols from the server, but got something else")


def _line(process: subprocess.Popen[bytes]) -> str:
    stream: Any = process.stdout
    return str(stream.readline().decode().strip())


def watch(all_running: Sequence[Running], minutes: float, every_s: float) -> None:
    """Take the memory of each server every few seconds."""
    began = time.monotonic()
    while (elapsed_s := time.monotonic() - began) <= minutes * 60:
        for running in all_running:
            running.samples.append((elapsed_s, resident_kib(running.server.pid)))
        columns = "  ".join(f"{running.variant} {running.samples[-1][1]:>8} KiB" for running in all_running)
        print(f"{elapsed_s:6.0f} s  {columns}", file=sys.stderr, flush=True)
        time.sleep(every_s)


def stop(running: Running) -> str:
    """Let the clients go, then the server; gives how many connections had been lost."""
    lost = "no clients"
    if running.clients is not None:
        stdin: Any = running.clients.stdin
        stdin.close()
        lost = _line(running.clients)
        running.clients.wait(60)
    running.server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.server.wait(60)
    running.server.kill()
    return lost


def slope_kib_per_minute(samples: Sequence[tuple[float, int]]) -> float:
    """Least squares over the samples."""
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    square = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (y - mean_y) for t, y in samples) / square * 60 if square else 0.0


def report(all_running: Sequence[Running], options: argparse.Namespace) -> Iterator[str]:
    """The table, line by line."""
    yield f"{options.connections} idle connections for {options.minutes:g} minutes, uvicorn {uvicorn.__version__}"
    bare_kib = next((r.samples[-1][1] - r.empty_kib for r in all_running if r.variant == "bare"), 0)
    for running in all_running:
        settled = [sample for sample in running.samples if sample[0] >= options.warm_up_s]
        first, last = settled[0][1], settled[-1][1]
        open_kib = last - running.empty_kib
        added = f"{(open_kib - bare_kib) * KIB / options.connections:6.0f} B added" if bare_kib else ""
        yield (
            f"  {running.variant:8} {last / KIB:7.1f} MiB resident, {open_kib * KIB / options.connections:7.0f} B a "
            f"connection {added}; growth after warm-up {last - first:+6} KiB, {slope_kib_per_minute(settled):+7.1f} "
            "KiB a minute"
        )


def soak(options: argparse.Namespace) -> None:
    """All variants at once; prints the table."""
    raise_limit(options.connections)
    all_running: list[Running] = []
    try:
        for variant in options.variants:
            all_running.append(start(variant, options))  # noqa: PERF401 - those that run are stopped if one can't start
        watch(all_running, options.minutes, options.every_s)
    finally:
        losses = [f"{running.variant}: {stop(running)}" for running in all_running]
    print("\n".join(report(all_running, options)))
    print(f"  connections of {', '.join(losses)}")


def main() -> None:
    """Be the conductor, a server or a crowd of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role")
    server = roles.add_parser("serve")
    server.add_argument("variant", choices=VARIANTS)
    server.add_argument("descriptor", type=int)
    clients = roles.add_parser("crowd")
    clients.add_argument("port", type=int)
    clients.add_argument("connections", type=int)
    clients.add_argument("messages_per_s", type=float)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every-s", type=float, default=10.0)
    parser.add_argument("--warm-up-s", type=float, default=60.0)
    parser.add_argument("--messages-per-s", type=float, default=50.0, help="over all connections of a server")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    if options.role == "serve":
        serve(options.variant, options.descriptor)
    elif options.role == "crowd":
        raise_limit(options.connections)
        asyncio.run(crowd(options.port, options.connections, options.messages_per_s))
    else:
        soak(options)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
