"""The options of ``serve``: each with its variable, its bounds and its line of help."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

Host = Annotated[str, typer.Option(envvar="ACCEPTFIRST_HOST", help="Address to listen on.")]
Port = Annotated[int, typer.Option(envvar="ACCEPTFIRST_PORT", min=0, max=65535, help="Port for OTLP/HTTP and the API.")]
GrpcPort = Annotated[
    int | None,
    typer.Option(envvar="ACCEPTFIRST_GRPC_PORT", min=0, max=65535, help="Port for OTLP/gRPC; 4317 where it is free."),
]
Store = Annotated[
    str,
    typer.Option(
        envvar="ACCEPTFIRST_STORE", help="Where to store: chdb:///path or clickhouse://user:password@host:8123."
    ),
]
DataDir = Annotated[pathlib.Path, typer.Option(envvar="ACCEPTFIRST_DATA_DIR", help="Holds the log and the store.")]
TokenFile = Annotated[
    pathlib.Path | None,
    typer.Option(envvar="ACCEPTFIRST_TOKEN_FILE", help="File with the token that callers must give."),
]
AlertsFile = Annotated[
    pathlib.Path | None,
    typer.Option(
        envvar="ACCEPTFIRST_ALERTS_FILE", help="Who is told of alerts; else alerts.toml in the data directory."
    ),
]
Jobs = Annotated[
    bool,
    typer.Option(
        "--jobs/--no-jobs",
        envvar="ACCEPTFIRST_JOBS",
        help="Classify, recommend, watch canaries and report at their times; off beside `acceptfirst worker`.",
    ),
]
Automatic = Annotated[
    bool,
    typer.Option(
        "--automatic",
        envvar="ACCEPTFIRST_AUTOMATIC",
        help="Try proposals and promote good canaries without asking.",
    ),
]
CanaryShare = Annotated[
    float,
    typer.Option(
        envvar="ACCEPTFIRST_CANARY_SHARE", min=0.001, max=0.5, help="Of the connections that a canary is tried on."
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", envvar="ACCEPTFIRST_INSECURE", help="Listen beyond this host without a token.")
]
TlsCert = Annotated[
    pathlib.Path | None, typer.Option(envvar="ACCEPTFIRST_TLS_CERT", help="Certificate and chain, PEM: HTTPS.")
]
TlsKey = Annotated[pathlib.Path | None, typer.Option(envvar="ACCEPTFIRST_TLS_KEY", help="Key of the certificate, PEM.")]
TlsClientCa = Annotated[
    pathlib.Path | None,
    typer.Option(envvar="ACCEPTFIRST_TLS_CLIENT_CA", help="Ask clients for a certificate signed by these, PEM."),
]
CorsOrigins = Annotated[
    str, typer.Option(envvar="ACCEPTFIRST_CORS_ORIGINS", help="Web origins that may ask, with commas; * for any.")
]
RateLimit = Annotated[
    float,
    typer.Option(envvar="ACCEPTFIRST_RATE_LIMIT", min=0, help="Requests a second of one caller; 0: no limit."),
]
RequestBytesMax = Annotated[
    int,
    typer.Option(envvar="ACCEPTFIRST_REQUEST_BYTES_MAX", min=1024, help="Largest request, before and after inflating."),
]
ForwardOtlp = Annotated[
    str,
    typer.Option(envvar="ACCEPTFIRST_FORWARD_OTLP", help="URL that metrics, logs and copies of spans go to."),
]
LogLevel = Annotated[str, typer.Option(envvar="ACCEPTFIRST_LOG_LEVEL", help="debug, info, warning or error.")]
LogFormat = Annotated[str, typer.Option(envvar="ACCEPTFIRST_LOG_FORMAT", help="text, or json for one object a line.")]
