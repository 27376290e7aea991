"""``acceptfirst serve``: check what can be checked before anything opens, then run the collector in this process."""

from __future__ import annotations

import importlib
import ipaddress
import pathlib
from types import ModuleType
from typing import Annotated, Any

import typer

from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.mail import (
    MailFromOption,
    MailToOption,
    SmtpOption,
    SmtpPasswordOption,
    optional_mail_settings,
)

HTTP_PORT = 4318
GRPC_PORT = 4317


def run(
    *,
    host: Annotated[str, typer.Option(envvar="ACCEPTFIRST_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="ACCEPTFIRST_PORT", min=0, max=65535, help="Port for OTLP/HTTP and the API.")
    ] = HTTP_PORT,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            envvar="ACCEPTFIRST_GRPC_PORT", min=0, max=65535, help="Port for OTLP/gRPC; 4317 where it is free."
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            envvar="ACCEPTFIRST_STORE", help="Where to store: chdb:///path or clickhouse://user:password@host:8123."
        ),
    ] = "",
    data_dir: Annotated[
        pathlib.Path, typer.Option(envvar="ACCEPTFIRST_DATA_DIR", help="Holds the log and the store.")
    ] = pathlib.Path(".acceptfirst"),
    token_file: Annotated[
        pathlib.Path | None,
        typer.Option(envvar="ACCEPTFIRST_TOKEN_FILE", help="File with the token that callers must give."),
    ] = None,
    alerts_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            envvar="ACCEPTFIRST_ALERTS_FILE", help="Who is told of alerts; else alerts.toml in the data directory."
        ),
    ] = None,
    jobs: Annotated[
        bool,
        typer.Option(
            "--jobs/--no-jobs",
            envvar="ACCEPTFIRST_JOBS",
            help="Classify, recommend, watch canaries and report at their times; off beside `acceptfirst worker`.",
        ),
    ] = True,
    automatic: Annotated[
        bool,
        typer.Option(
            "--automatic",
            envvar="ACCEPTFIRST_AUTOMATIC",
            help="Try proposals and promote good canaries without asking.",
        ),
    ] = False,
    canary_share: Annotated[
        float,
        typer.Option(
            envvar="ACCEPTFIRST_CANARY_SHARE", min=0.001, max=0.5, help="Of the connections that a canary is tried on."
        ),
    ] = 0.1,
    smtp: SmtpOption = "",
    smtp_password_file: SmtpPasswordOption = None,
    mail_from: MailFromOption = "",
    mail_to: MailToOption = "",
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this host without a token.")] = False,
) -> None:
    """Collect spans over OTLP, store them, answer questions about them."""
    token = _token(token_file)
    mail = optional_mail_settings(smtp, smtp_password_file, mail_from, mail_to)
    if not token and not insecure and not _is_loopback(host):
        raise CommandError(
            f"refusing to listen on {host} without a token: give --token-file, or --insecure if the network is trusted",
            ExitCode.USAGE,
        )
    if not store.startswith("clickhouse"):
        # Before any other native library: two that bring their own C++ runtime can upset each other otherwise.
        importlib.import_module("chdb")
    extension = importlib.import_module("acceptfirst_cli.jobs").Extension(
        importlib.import_module("acceptfirst_cli.duties").DutySettings(automatic, canary_share, mail) if jobs else None
    )
    _serve(
        extension,
        host=host,
        port=port,
        grpc_port=grpc_port,
        store=store,
        data_dir=data_dir.absolute(),
        token=token,
        alerts_file=alerts_file,
    )


def _serve(
    extension: Any,
    *,
    host: str,
    port: int,
    grpc_port: int | None,
    store: str,
    data_dir: pathlib.Path,
    token: str,
    alerts_file: pathlib.Path | None,
) -> None:
    settings_module = importlib.import_module("acceptfirst_collector.settings")
    server = importlib.import_module("acceptfirst_collector.server")
    try:
        settings = settings_module.CollectorSettings(
            data_dir=data_dir,
            store=store,
            host=host,
            port=port,
            grpc_port=_usable_grpc_port(grpc_port, host, port, server),
            token=token,
            alerts_file=alerts_file,
        )
        server.run(settings, extend=extension)
    except server.ListenError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from error


def _usable_grpc_port(given: int | None, host: str, port: int, server: ModuleType) -> int | None:
    """What was asked for is demanded; the usual port is used where nobody else has it, another collector for one."""
    if given is not None or port == 0:
        return given or 0
    try:
        server.require_free(host, GRPC_PORT)
    except server.ListenError as error:
        typer.echo(f"acceptfirst: OTLP/gRPC is off: {error}", err=True)
        return None
    return GRPC_PORT


def _token(path: pathlib.Path | None) -> str:
    if path is None:
        return ""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the token file {path} can't be read: {error}", ExitCode.USAGE) from error
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise CommandError(f"expected one token in {path}, without spaces; write one line", ExitCode.USAGE)
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
