"""``acceptfirst serve``: check what can be checked before anything opens, then run the collector in this process."""

from __future__ import annotations

import importlib
import ipaddress
import logging
import os
import pathlib
import urllib.parse
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import typer

from acceptfirst_cli.configuration import TOKEN_VARIABLE, file_of, reread_settings
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.jobs.mail import (
    MailFromOption,
    MailToOption,
    SmtpOption,
    SmtpPasswordOption,
    optional_mail_settings,
)
from acceptfirst_cli.verbs import serve_options as options

HTTP_PORT = 4318
GRPC_PORT = 4317
REQUEST_BYTES_MAX: Final = 64 << 20
#: May hold a secret, so it is no flag.
FORWARD_HEADERS_VARIABLE: Final = "ACCEPTFIRST_FORWARD_HEADERS"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")

logger = logging.getLogger(__name__)


def run(
    context: typer.Context,
    *,
    host: options.Host = "127.0.0.1",
    port: options.Port = HTTP_PORT,
    grpc_port: options.GrpcPort = None,
    store: options.Store = "",
    data_dir: options.DataDir = pathlib.Path(".acceptfirst"),
    token_file: options.TokenFile = None,
    alerts_file: options.AlertsFile = None,
    jobs: options.Jobs = True,
    automatic: options.Automatic = False,
    canary_share: options.CanaryShare = 0.1,
    smtp: SmtpOption = "",
    smtp_password_file: SmtpPasswordOption = None,
    mail_from: MailFromOption = "",
    mail_to: MailToOption = "",
    insecure: options.Insecure = False,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    tls_client_ca: options.TlsClientCa = None,
    cors_origins: options.CorsOrigins = "",
    rate_limit: options.RateLimit = 0.0,
    request_bytes_max: options.RequestBytesMax = REQUEST_BYTES_MAX,
    forward_otlp: options.ForwardOtlp = "",
    log_level: options.LogLevel = "info",
    log_format: options.LogFormat = "text",
) -> None:
    """Collect spans over OTLP, store them, answer questions about them.

    SIGTERM ends it within ten seconds, SIGHUP makes it read tokens, certificate and settings again.
    """
    values = {name: value for name, value in locals().items() if name != "context"}
    mail = optional_mail_settings(smtp, smtp_password_file, mail_from, mail_to)
    if not store.startswith("clickhouse"):
        # Before any other native library: two that bring their own C++ runtime can upset each other otherwise.
        importlib.import_module("chdb")
    server = importlib.import_module("acceptfirst_collector.server")
    values["grpc_port"] = _usable_grpc_port(grpc_port, host, port, server)
    settings = settings_from(values)
    duties = importlib.import_module("acceptfirst_cli.jobs.duties")
    extension = importlib.import_module("acceptfirst_cli.jobs.routes").Extension(
        duties.DutySettings(automatic, canary_share, mail) if jobs else None, configuration=file_of(context).path
    )
    _serve(server, settings, extension, lambda: _reread(context, settings.grpc_port))


def settings_from(values: Mapping[str, Any]) -> Any:
    """The collector's settings from the options' values.

    Raises:
        CommandError: a usage error: what was given can't be served, or not safely.
    """
    host, token = values["host"], os.environ.get(TOKEN_VARIABLE, "").strip()
    token_file = values["token_file"]
    if not token and token_file is None and not values["insecure"] and not _is_loopback(host):
        raise CommandError(
            f"refusing to listen on {host} without a token: give --token-file, or --insecure if the network is trusted",
            ExitCode.USAGE,
        )
    for name, choices in (("log_level", LOG_LEVELS), ("log_format", LOG_FORMATS)):
        if values[name] not in choices:
            raise CommandError(
                f"expected {name} to be one of {', '.join(choices)}, but got {values[name]!r}", ExitCode.USAGE
            )
    return importlib.import_module("acceptfirst_collector.settings").CollectorSettings(
        data_dir=values["data_dir"].absolute(),
        store=values["store"],
        host=host,
        port=values["port"],
        grpc_port=values["grpc_port"],
        token=token,
        token_file=None if token_file is None else token_file.absolute(),
        tls=_tls(values),
        cors_origins=tuple(part.strip() for part in values["cors_origins"].split(",") if part.strip()),
        rate_per_second=values["rate_limit"],
        request_bytes_max=values["request_bytes_max"],
        forward_otlp=_forward_url(values["forward_otlp"]),
        forward_headers=_forward_headers(os.environ.get(FORWARD_HEADERS_VARIABLE, "")),
        log_level=values["log_level"],
        log_format=values["log_format"],
        alerts_file=values["alerts_file"],
    )


def _forward_url(text: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if text and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise CommandError("expected --forward-otlp to be a URL such as http://collector:4318", ExitCode.USAGE)
    return text


def _forward_headers(text: str) -> dict[str, str]:
    """Headers as OTEL_EXPORTER_OTLP_HEADERS has them: name=value, with commas between."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise CommandError(f"expected name=value, with commas between, in {FORWARD_HEADERS_VARIABLE}", ExitCode.USAGE)
    return {name.strip(): urllib.parse.unquote(value.strip()) for name, _, value in pairs}


def _tls(values: Mapping[str, Any]) -> Any:
    certificate, key, authorities = values["tls_cert"], values["tls_key"], values["tls_client_ca"]
    if certificate is None and key is None and authorities is None:
        return None
    if certificate is None or key is None:
        raise CommandError("expected both --tls-cert and --tls-key, but got one of them", ExitCode.USAGE)
    return importlib.import_module("acceptfirst_collector.settings").TlsFiles(
        certificate.absolute(), key.absolute(), None if authorities is None else authorities.absolute()
    )


def _serve(server: ModuleType, settings: Any, extension: Any, reread: Any) -> None:
    tokens = importlib.import_module("acceptfirst_collector.access.tokens")
    try:
        server.run(settings, extend=extension, reread=reread)
    except server.ListenError as error:
        raise CommandError(str(error), ExitCode.UNREACHABLE) from error
    except (tokens.TokenFileError, server.TlsError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def _reread(context: typer.Context, grpc_port: int | None) -> Any:
    """The settings with what the file says now; None where it can't be read, and the log says why."""
    try:
        values = reread_settings(context)
        return settings_from({**values, "grpc_port": grpc_port})
    except CommandError as error:
        logger.error("the settings stay as they are: %s", error)  # noqa: TRY400 - a slip in a file needs no traceback
        return None


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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
