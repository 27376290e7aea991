"""Runs a collector as this process: one worker, one event loop, no fork (an open engine doesn't survive one)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from acceptfirst_collector.access.punctual import PunctualProtocol
from acceptfirst_collector.app import Extend, create_app
from acceptfirst_collector.grpc_service import GrpcReceiver
from acceptfirst_collector.logs import start_logging
from acceptfirst_collector.services import Services
from acceptfirst_collector.settings import CollectorSettings, TlsFiles
from acceptfirst_store.errors import StoreUnreachable

BACKLOG_CONNECTIONS = 2048
CLOSE_CONNECTIONS_SECONDS_MAX = 1
#: From the signal to the end of the process, whatever hangs: what is acknowledged is on the disk either way.
END_SECONDS_MAX = 9.5
CONNECTIONS_MAX = 65536

logger = logging.getLogger(__name__)

Reread = Callable[[], CollectorSettings | None]


class TlsError(Exception):
    """The certificate or its key can't be used."""


class ListenError(Exception):
    """The address can't be bound."""


class _Server(uvicorn.Server):
    """Says where it listens once it does, and leaves by returning, whichever signal ended it."""

    def __init__(
        self, config: uvicorn.Config, services: Services, receiver: GrpcReceiver | None, reread: Reread | None
    ) -> None:
        super().__init__(config)
        self._reread = reread
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services = services
        self._receiver = receiver
        self.ended_by: int | None = None
        self._last_resort: threading.Timer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then publish the URL."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            _publish(self._services, self._receiver.port if self._receiver is not None else None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember the signal; a second one changes nothing, since what is acknowledged is on the disk either way."""
        if self.ended_by is None:
            self.ended_by = sig
            self._last_resort = _end_in_time()
        super().handle_exit(signal.SIGTERM, frame)

    def finish(self) -> None:
        """All is closed: the last resort is not needed."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def handle_reload(self, sig: int, frame: FrameType | None) -> None:
        """Reload between two steps of the loop: a handler may interrupt whatever holds a lock."""
        del sig, frame
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._reload)

    def _reload(self) -> None:
        self._services.tokens.reload()
        _renew_certificate(self.config)
        settings = self._reread() if self._reread is not None else self._services.settings
        if settings is None:
            return
        start_logging(settings.log_level, settings.log_format)
        self._services.apply(settings)
        logger.info("reloaded")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike the original, don't raise them again after a clean end."""
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self.handle_reload)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def run(settings: CollectorSettings, *, extend: Extend | None = None, reread: Reread | None = None) -> None:
    """Serve until a signal ends it, then drain and close. Call it in the main thread.

    Args:
        settings: what the collector is told.
        extend: adds the composition's routes to the application.
        reread: gives the settings anew at SIGHUP, of which those that can change while it runs are taken over; `None`
            where they can't be read, which it has said.

    Raises:
        StoreError: the store or the data directory can't be used.
        ListenError: the address can't be bound.
        TokenFileError: the token file can't be used.
        TlsError: the certificate or its key can't be used.
        KeyboardInterrupt: it was ended by SIGINT (and is closed).
    """
    start_logging(settings.log_level, settings.log_format)
    _raise_file_limit()
    _check_tls(settings.tls)
    with contextlib.closing(_bind(settings.host, settings.port, "--port")) as listener:
        require_free(settings.host, settings.grpc_port)
        services = Services(settings)
        services.url = _url(settings, listener.getsockname()[1])
        try:
            receiver = (
                GrpcReceiver(services, settings.host, settings.grpc_port) if settings.grpc_port is not None else None
            )
            app = create_app(services, extend, receiver)
        except BaseException:
            services.close()
            raise
        server = _Server(_config(app, settings.tls), services, receiver, reread)
        try:
            server.run(sockets=[listener])
        finally:
            server.finish()
            settings.address_file.unlink(missing_ok=True)
    if server.ended_by == signal.SIGINT:
        raise KeyboardInterrupt


def _config(app: object, tls: TlsFiles | None) -> uvicorn.Config:
    authorities = str(tls.client_authorities) if tls is not None and tls.client_authorities is not None else None
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # FastAPI is an ASGI application; uvicorn's alias spells its types otherwise
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        http=PunctualProtocol,
        server_header=False,
        ssl_certfile=str(tls.certificate) if tls is not None else None,
        ssl_keyfile=str(tls.key) if tls is not None else None,
        ssl_ca_certs=authorities,
        ssl_cert_reqs=ssl.CERT_REQUIRED if authorities is not None else ssl.CERT_NONE,
        log_config=None,
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


def _url(settings: CollectorSettings, port: int) -> str:
    scheme = "http" if settings.tls is None else "https"
    return f"{scheme}://[{settings.host}]:{port}" if ":" in settings.host else f"{scheme}://{settings.host}:{port}"


def _end_in_time() -> threading.Timer:
    """End the process when closing takes too long: a store that hangs must not make a supervisor kill it."""

    def end() -> None:
        logger.warning("closing took too long; what is not stored waits in the log for the next start")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(END_SECONDS_MAX, end)
    timer.daemon = True
    timer.start()
    return timer


def _raise_file_limit() -> None:
    """Let as many connections in as the system allows: slow ones must not leave none for the good."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX if hard == resource.RLIM_INFINITY else min(hard, CONNECTIONS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_tls(tls: TlsFiles | None) -> None:
    """Try the files before anything is opened.

    Raises:
        TlsError: naming what can't be used.
    """
    if tls is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_authorities is not None:
            context.load_verify_locations(tls.client_authorities)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"expected a certificate and its key in PEM for TLS, but got: {error}") from error


def _renew_certificate(config: uvicorn.Config) -> None:
    """Take over a renewed certificate for new connections; one that can't be used leaves the old one in force."""
    if config.ssl is None or config.ssl_certfile is None:
        return
    try:
        config.ssl.load_cert_chain(config.ssl_certfile, config.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        logger.error("the certificate stays as it is: %s", error)  # noqa: TRY400 - a slip in a file needs no traceback


def _publish(services: Services, grpc_port: int | None) -> None:
    """Tell people on standard output, and other commands in a file, where the collector listens."""
    path = services.settings.address_file
    temporary = path.with_suffix(".new")
    address: dict[str, Any] = {"schema_version": 1, "url": services.url, "grpc_port": grpc_port, "pid": os.getpid()}
    if services.settings.tls is not None:
        address["certificate"] = str(services.settings.tls.certificate.absolute())
    try:
        temporary.write_text(json.dumps(address))
        temporary.replace(path)
    except OSError as error:
        raise StoreUnreachable(f"{path} can't be written: {error.strerror}") from error
    sys.stdout.write(f"acceptfirst collects at {services.url}\n")
    sys.stdout.flush()
