"""Runs a collector as this process: one worker, one event loop, no fork (an open engine doesn't survive one)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType

import uvicorn

from acceptfirst_collector.app import Extend, create_app
from acceptfirst_collector.grpc_service import GrpcReceiver
from acceptfirst_collector.services import Services
from acceptfirst_collector.settings import CollectorSettings
from acceptfirst_store.errors import StoreUnreachable

BACKLOG_CONNECTIONS = 2048
CLOSE_CONNECTIONS_SECONDS_MAX = 1
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ListenError(Exception):
    """The address can't be bound."""


class _Server(uvicorn.Server):
    """Says where it listens once it does, and leaves by returning, whichever signal ended it."""

    def __init__(self, config: uvicorn.Config, services: Services, receiver: GrpcReceiver | None) -> None:
        super().__init__(config)
        self._services = services
        self._receiver = receiver
        self.ended_by: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then publish the URL."""
        await super().startup(sockets)
        if self.started:
            _publish(self._services, self._receiver.port if self._receiver is not None else None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember the signal; a second one changes nothing, since what is acknowledged is on the disk either way."""
        self.ended_by = self.ended_by or sig
        super().handle_exit(signal.SIGTERM, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike the original, don't raise them again after a clean end."""
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def run(settings: CollectorSettings, *, extend: Extend | None = None) -> None:
    """Serve until a signal ends it, then drain and close. Call it in the main thread.

    Args:
        settings: what the collector is told.
        extend: adds the composition's routes to the application.

    Raises:
        StoreError: the store or the data directory can't be used.
        ListenError: the address can't be bound.
        KeyboardInterrupt: it was ended by SIGINT (and is closed).
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    with contextlib.closing(_bind(settings.host, settings.port, "--port")) as listener:
        require_free(settings.host, settings.grpc_port)
        services = Services(settings)
        services.url = _url(settings.host, listener.getsockname()[1])
        try:
            receiver = (
                GrpcReceiver(services, settings.host, settings.grpc_port) if settings.grpc_port is not None else None
            )
            app = create_app(services, extend, receiver)
        except BaseException:
            services.close()
            raise
        server = _Server(_config(app), services, receiver)
        try:
            server.run(sockets=[listener])
        finally:
            settings.address_file.unlink(missing_ok=True)
    if server.ended_by == signal.SIGINT:
        raise KeyboardInterrupt


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application; uvicorn's alias spells its types otherwise
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=CLOSE_CONNECTIONS_SECONDS_MAX,
    )


def require_free(host: str, port: int | None) -> None:
    """Find out that a port is taken before anything is opened; gRPC binds its own, later.

    Raises:
        ListenError: the address can't be bound.
    """
    if port:
        _bind(host, port, "--grpc-port").close()


def _bind(host: str, port: int, option: str) -> socket.socket:
    """Bind before anything is opened, so that a port that is taken costs nothing and port 0 gets its number."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ListenError(
            f"the address {host}:{port} can't be bound: {error.strerror}; choose another {option}"
        ) from error
    listener.listen(BACKLOG_CONNECTIONS)
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _publish(services: Services, grpc_port: int | None) -> None:
    """Tell people on standard output, and other commands in a file, where the collector listens."""
    path = services.settings.address_file
    temporary = path.with_suffix(".new")
    address = {"schema_version": 1, "url": services.url, "grpc_port": grpc_port, "pid": os.getpid()}
    try:
        temporary.write_text(json.dumps(address))
        temporary.replace(path)
    except OSError as error:
        raise StoreUnreachable(f"{path} can't be written: {error.strerror}") from error
    sys.stdout.write(f"acceptfirst collects at {services.url}\n")
    sys.stdout.flush()
