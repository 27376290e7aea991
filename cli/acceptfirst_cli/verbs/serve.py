"""``acceptfirst serve``: check what can be checked before anything opens, then run the collector in this process."""

from __future__ import annotations

import importlib
import ipaddress
import pathlib
from typing import Annotated

import typer

from acceptfirst_cli.errors import CommandError, ExitCode

HTTP_PORT = 4318


def run(
    host: Annotated[str, typer.Option(envvar="ACCEPTFIRST_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="ACCEPTFIRST_PORT", min=0, max=65535, help="Port for OTLP/HTTP and the API.")
    ] = HTTP_PORT,
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
    *,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond this host without a token.")] = False,
) -> None:
    """Collect spans over OTLP, store them, answer questions about them."""
    token = _token(token_file)
    if not token and not insecure and not _is_loopback(host):
        raise CommandError(
            f"refusing to listen on {host} without a token: give --token-file, or --insecure if the network is trusted",
            ExitCode.USAGE,
        )
    if not store.startswith("clickhouse"):
        # Before any other native library: two that bring their own C++ runtime can upset each other otherwise.
        importlib.import_module("chdb")
    _serve(host, port, store, data_dir.absolute(), token)


def _serve(host: str, port: int, store: str, data_dir: pathlib.Path, token: str) -> None:
    settings_module = importlib.import_module("acceptfirst_collector.settings")
    server = importlib.import_module("acceptfirst_collector.server")
    jobs = importlib.import_module("acceptfirst_cli.jobs")
    settings = settings_module.CollectorSettings(data_dir=data_dir, store=store, host=host, port=port, token=token)
    try:
        server.run(settings, extend=jobs.extend)
    except server.ListenError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from error


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
