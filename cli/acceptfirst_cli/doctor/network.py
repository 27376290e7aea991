"""The network: whether `serve` runs here and answers, and whether its ports are free if it doesn't."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import httpx

from acceptfirst_cli.doctor.finding import Finding, failed, ok, skipped, warning

PATIENCE_S: Final = 5.0
SKEW_SECONDS_MAX: Final = 5.0


def examine_network(host: str, port: int, grpc_port: int, serve: dict[str, Any]) -> Iterator[Finding]:
    """Ports, and the running serve.

    Args:
        host: where serve would listen.
        port: for HTTP; 0 for any.
        grpc_port: for gRPC; 0 for any.
        serve: what `serve.json` in the data directory says; empty if there is none.
    """
    runs = bool(serve) and process_lives(serve.get("pid"))
    if serve and not runs:
        yield warning(
            "serve", f"serve.json names process {serve.get('pid')}, which is gone", "it was killed; start serve again"
        )
    if runs:
        yield from running_serve(str(serve["url"]))
        return
    yield port_state("port", host, port)
    yield port_state("grpc_port", host, grpc_port)


def running_serve(url: str) -> Iterator[Finding]:
    """Whether it is ready, and whether its clock agrees with ours."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=PATIENCE_S, trust_env=False, verify=False)  # noqa: S501 - a probe: no token is sent, and the answer decides nothing
    except httpx.HTTPError as error:
        yield failed("serve", f"nothing answers at {url}: {error}", "see its log; it may be starting or hang")
        return
    trouble = _trouble(answer)
    if trouble:
        yield failed("serve", f"{url} is not ready: {trouble}", "clients keep their data and retry; mend the cause")
    else:
        yield ok("serve", f"{url} is ready")
    yield skew(answer.headers.get("Date", ""), dt.datetime.now(dt.UTC))


def skew(date: str, now: dt.datetime) -> Finding:
    """How far the collector's clock is from this one's."""
    try:
        seconds = abs((email.utils.parsedate_to_datetime(date) - now).total_seconds())
    except (TypeError, ValueError):
        return skipped("clock_skew", "the collector doesn't say what time it is")
    if seconds > SKEW_SECONDS_MAX:
        return warning("clock_skew", f"its clock is {seconds:.0f} s from this one", "synchronise both with NTP")
    return ok("clock_skew", f"its clock is within {SKEW_SECONDS_MAX:.0f} s of this one")


def port_state(check: str, host: str, port: int) -> Finding:
    """Whether a port is free."""
    if port == 0:
        return ok(check, "any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        option = check.replace("_", "-")
        return failed(
            check, f"{host}:{port} can't be bound: {error.strerror}", f"end what uses it, or give another --{option}"
        )
    return ok(check, f"{port} is free")


def read_address(path: pathlib.Path) -> dict[str, Any]:
    """What a running serve says of itself; empty if nothing can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and "url" in document else {}


def process_lives(pid: Any) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return True


def _trouble(answer: httpx.Response) -> str:
    if answer.is_success:
        return ""
    try:
        return str(answer.json()["trouble"])
    except (ValueError, KeyError, TypeError):
        return f"it answers {answer.status_code}"
