"""What a collector can be told, with its defaults, in one value that is passed down and never read from elsewhere."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from acceptfirst_collector.log.journal import SEGMENT_BYTES_MAX
from acceptfirst_collector.log.request_log import BACKLOG_BYTES_MAX, RESERVE_BYTES, Limits
from acceptfirst_collector.otlp.resends import WINDOW_SECONDS
from acceptfirst_store.address import StoreAddress

REQUEST_BYTES_MAX = 64 << 20
#: About 50,000 spans: an insert costs the store 50 ms of CPU before the first one.
BATCH_BYTES_MAX = 32 << 20
#: What came in can be asked for within a second: half of it is for the insert.
LINGER_SECONDS = 0.5
DRAIN_SECONDS_MAX = 6.0
HTTP_PORT = 4318
READS_MAX = 16
HELD_BYTES_MAX = 256 << 20


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files.

    Attributes:
        certificate: ours, with its chain.
        key: of it.
        client_authorities: who signs clients' certificates, which are then asked for; `None` asks for none.
    """

    certificate: pathlib.Path
    key: pathlib.Path
    client_authorities: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class CollectorSettings:
    """Everything that a collector is told.

    Args:
        data_dir: holds the log, the locks, `serve.json` and, unless `store` says otherwise, the store under `db`.
        store: a DSN; empty for the embedded store in the data directory.
        host: the address to bind.
        port: 0 for any free one.
        grpc_port: of OTLP/gRPC; 0 for any free one, `None` for none.
        token: bearer token that may do everything; empty for none. Where it or `token_file` is given, everything but
            /healthz and /readyz asks for one.
        token_file: of tokens with scopes (`acceptfirst_collector.access.tokens`), read again when it changes.
        tls: certificate and key; `None` for plain HTTP and gRPC.
        cors_origins: of web pages that may ask; `*` for any.
        rate_per_second: requests of one caller; 0 for no limit.
        reads_max: answers of the API that are made at a time.
        held_bytes_max: of all bodies that are being read or wait for the disk.
        forward_otlp: URL of a receiver that gets metrics, logs and a copy of every span; empty for none.
        forward_headers: sent there.
        log_level: of our own log.
        log_format: `text` or `json`.
        request_bytes_max: limit of a body, before and after inflating.
        batch_bytes_max: how much is inserted at once.
        linger_seconds: how long a batch waits to grow.
        segment_bytes_max: size at which a segment of the log is closed.
        backlog_bytes_max: how far the store may be behind before requests are refused.
        reserve_bytes: how much of the disk is left to the store when requests are refused; a tenth of a small disk.
        resend_window_seconds: how long an identical body is recognised.
        alerts_file: receivers and silences of alerts; `None` for `alerts.toml` in the data directory, if it is there.
        drain_seconds_max: how long a stop waits for what is in the log to reach the store; the rest waits in the log.
    """

    data_dir: pathlib.Path
    store: str = ""
    host: str = "127.0.0.1"
    port: int = HTTP_PORT
    grpc_port: int | None = None
    token: str = dataclasses.field(default="", repr=False)
    token_file: pathlib.Path | None = None
    tls: TlsFiles | None = None
    cors_origins: tuple[str, ...] = ()
    rate_per_second: float = 0.0
    reads_max: int = READS_MAX
    held_bytes_max: int = HELD_BYTES_MAX
    forward_otlp: str = ""
    forward_headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    log_level: str = "info"
    log_format: str = "text"
    request_bytes_max: int = REQUEST_BYTES_MAX
    batch_bytes_max: int = BATCH_BYTES_MAX
    linger_seconds: float = LINGER_SECONDS
    segment_bytes_max: int = SEGMENT_BYTES_MAX
    backlog_bytes_max: int = BACKLOG_BYTES_MAX
    reserve_bytes: int = RESERVE_BYTES
    resend_window_seconds: float = WINDOW_SECONDS
    drain_seconds_max: float = DRAIN_SECONDS_MAX
    alerts_file: pathlib.Path | None = None

    @property
    def log_dir(self) -> pathlib.Path:
        """Where the log is."""
        return self.data_dir / "log"

    @property
    def log_limits(self) -> Limits:
        """How large the log may grow, and what it remembers."""
        return Limits(
            self.segment_bytes_max, self.backlog_bytes_max, self.reserve_bytes, seen_seconds=self.resend_window_seconds
        )

    @property
    def address_file(self) -> pathlib.Path:
        """Where a running collector says its URL and process id."""
        return self.data_dir / "serve.json"

    @property
    def store_address(self) -> StoreAddress:
        """Where the store is; AddressInvalid if `store` can't be understood."""
        return StoreAddress.parse(self.store) if self.store else StoreAddress.embedded(self.data_dir / "db")
