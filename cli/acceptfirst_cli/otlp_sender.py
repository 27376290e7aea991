"""Sends OTLP trace requests to a collector, ours or another, and waits when it asks to."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

import httpx

from acceptfirst_cli.errors import CommandError, ExitCode

TRACES: Final = "/v1/traces"
TRIES_MAX: Final = 8
WAIT_S_MAX: Final = 5.0
_BUSY: Final = frozenset({429, 502, 503, 504})


class OtlpSender:
    """One connection to a collector; use it as a context manager.

    Args:
        url: of the collector, without the path.
        token: that it wants, empty where it wants none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        headers = {"Content-Type": "application/x-protobuf"} | ({"Authorization": f"Bearer {token}"} if token else {})
        # A collector is a neighbour: a proxy that the environment names for the web would not find it.
        self._client = httpx.Client(headers=headers, timeout=60.0, trust_env=False)

    def send(self, request: bytes) -> None:
        """Send one encoded ``ExportTraceServiceRequest``.

        Raises:
            CommandError: when nobody answers, or the answer is no.
        """
        for _ in range(TRIES_MAX):
            response = self._post(request)
            if response.is_success:
                return
            if response.status_code not in _BUSY:
                break
            time.sleep(min(_seconds(response.headers.get("Retry-After", "")), WAIT_S_MAX))
        code = ExitCode.UNREACHABLE if response.status_code in _BUSY else ExitCode.FAILURE
        raise CommandError(f"{self._url} answered {response.status_code} to spans: {response.reason_phrase}", code)

    def _post(self, request: bytes) -> httpx.Response:
        try:
            return self._client.post(self._url + TRACES, content=request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"nothing answers at {self._url}: {error}", ExitCode.UNREACHABLE) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0
