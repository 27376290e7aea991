"""Holds ten thousand idle WebSocket connections open through real uvicorn servers, bare and instrumented, side by side.

Run with ``make soak``. Every server and every crowd of clients is a process of its own on the loopback; the clients do
the upgrade by hand, so that ten thousand of them stay cheap. uvicorn's pings are off; a little traffic goes over all
connections in turn. The server's memory is what the kernel says is resident, and its growth is counted after a warm-up,
in which each connection has had a message: the first one makes buffers. It ends with 1 when an instrumented server has
grown by more than ``GROWTH_MAX_B`` a connection beyond the bare one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
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
OPENS_WITHIN_S = 60.0
GROWTH_MAX_B = 64
NOISE_KIB = 512
"""What an allocator may take for nobody in particular."""
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
        cpu_s: CPU time that it has taken while they were open.
        lost: connections that did not last.
    """

    variant: str
    server: subprocess.Popen[bytes]
    clients: subprocess.Popen[bytes] | None = None
    empty_kib: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)
    cpu_s: float = 0.0
    lost: str = ""

    @property
    def open_kib(self) -> int:
        """What all open connections take together, at the end."""
        return self.samples[-1][1] - self.empty_kib


def resident_kib(pid: int) -> int:
    """What the kernel says is resident, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    with socket.create_connection((HOST, port), timeout=OPENS_WITHIN_S) as connection:
        connection.sendall(UPGRADE)
        if not connection.recv(200).startswith(SWITCHED):
            raise SystemExit("expected 101 Switching Protocols from the server, but got something else")


def _line(process: subprocess.Popen[bytes]) -> str:
    stream: Any = process.stdout
    return str(stream.readline().decode().strip())


def watch(all_running: Sequence[Running], minutes: float, every_s: float) -> None:
    """Take the memory of each server every few seconds."""
    began = time.monotonic()
    used_s = [cpu_s(running.server.pid) for running in all_running]
    while (elapsed_s := time.monotonic() - began) <= minutes * 60:
        for running in all_running:
            running.samples.append((elapsed_s, resident_kib(running.server.pid)))
        columns = "  ".join(f"{running.variant} {running.samples[-1][1]:>8} KiB" for running in all_running)
        print(f"{elapsed_s:6.0f} s  {columns}", file=sys.stderr, flush=True)
        time.sleep(every_s)
    for running, before_s in zip(all_running, used_s, strict=True):
        running.cpu_s = cpu_s(running.server.pid) - before_s


def stop(running: Running) -> str:
    """Let the clients go, then the server; gives how many connections had been lost."""
    lost = "all"
    if running.clients is not None:
        stdin: Any = running.clients.stdin
        stdin.close()
        lost = _line(running.clients).removeprefix("lost ")
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


def settled(running: Running, warm_up_s: float) -> list[tuple[float, int]]:
    """The samples after the warm-up; of a run that is shorter, those of its second half."""
    warm_s = min(warm_up_s, running.samples[-1][0] / 2)
    return [sample for sample in running.samples if sample[0] >= warm_s]


def growth_kib(running: Running, warm_up_s: float) -> int:
    """How much more is resident at the end than after the warm-up."""
    samples = settled(running, warm_up_s)
    return samples[-1][1] - samples[0][1]


def rows(all_running: Sequence[Running], options: argparse.Namespace) -> Iterator[str]:
    """The table, line by line."""
    each = KIB / options.connections
    bare = next((running for running in all_running if running.variant == "bare"), None)
    yield "| | resident, MiB | a connection, B | more than bare, B | growth, KiB | a minute, KiB | CPU, % | lost |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for running in all_running:
        samples = settled(running, options.warm_up_s)
        more = "" if bare is None or bare is running else f"{(running.open_kib - bare.open_kib) * each:.0f}"
        share = running.cpu_s / running.samples[-1][0] if running.samples[-1][0] else 0.0
        yield (
            f"| {running.variant} | {samples[-1][1] / KIB:.1f} | {running.open_kib * each:.0f} | {more} "
            f"| {growth_kib(running, options.warm_up_s):+} | {slope_kib_per_minute(samples):+.1f} | {share:.1%} "
            f"| {running.lost} |"
        )


def overgrown(all_running: Sequence[Running], options: argparse.Namespace) -> list[str]:
    """The instrumented servers that grew more than the bare one may explain."""
    growths = {running.variant: growth_kib(running, options.warm_up_s) for running in all_running}
    allowed_kib = max(growths.get("bare", 0), 0) + max(GROWTH_MAX_B * options.connections / KIB, NOISE_KIB)
    return [variant for variant, growth in growths.items() if variant != "bare" and growth > allowed_kib]


def soak(options: argparse.Namespace) -> None:
    """All variants at once; prints the table."""
    raise_limit(options.connections)
    all_running: list[Running] = []
    try:
        for variant in options.variants:
            all_running.append(start(variant, options))  # noqa: PERF401 - those that run are stopped if one can't start
        watch(all_running, options.minutes, options.every_s)
    finally:
        for running in all_running:
            running.lost = stop(running)
    what = f"{options.connections:,} connections, {options.minutes:g} minutes, {options.messages_per_s:g} messages/s"
    machine = f"uvicorn {uvicorn.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, shared"
    table = "\n".join([f"{what}; {machine}.", "", *rows(all_running, options)])
    print(table)
    if options.write:
        page = options.write.read_text(encoding="utf-8")
        before, after = page.split("<!-- measured -->")[0], page.split("<!-- /measured -->")[1]
        options.write.write_text(f"{before}<!-- measured -->\n\n{table}\n\n<!-- /measured -->{after}", encoding="utf-8")
    if variants := overgrown(all_running, options):
        raise SystemExit(f"expected no growth beyond the bare server's, but got it from: {', '.join(variants)}")


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
    parser.add_argument("--warm-up-s", type=float, default=90.0)
    parser.add_argument("--messages-per-s", type=float, default=200.0, help="over all connections of a server")
    parser.add_argument("--write", type=Path, help="a page between whose marks the table is put")
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
