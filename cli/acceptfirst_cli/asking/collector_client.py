"""Reads from a running collector, for verbs that make sense of a running one only."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx

from acceptfirst_cli.asking.source import Source
from acceptfirst_cli.errors import CommandError, ExitCode

PATIENCE_S: Final = 30.0
_CODES: Final = {400: ExitCode.USAGE, 401: ExitCode.USAGE, 403: ExitCode.USAGE, 404: ExitCode.FAILURE}


class NoAnswerError(CommandError):
    """Nothing answers, or it says to come back later: the same call may succeed then."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.UNREACHABLE)


class CollectorClient:
    """One connection to a collector; a context manager.

    Args:
        source: where the commands look; it must be a collector.

    Raises:
        CommandError: no collector runs there: 5, since it is a running one that is wanted.
    """

    def __init__(self, source: Source) -> None:
        if not source.url:
            raise CommandError(
                "expected a running serve, but there is none here; start one, or give --url", ExitCode.UNREACHABLE
            )
        self.url = source.url
        self._client = source.http_client(PATIENCE_S)

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read a JSON document.

        Raises:
            NoAnswerError: nothing answers, or not now.
            CommandError: the collector says no.
        """
        return self._ask("GET", path, params=dict(parameters or {}))

    def statement(self, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run a named statement; its rows as JSON has them. Errors as in `get`."""
        answer = self._ask("POST", f"/api/v1/statements/{name}", json={"parameters": dict(parameters)})
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **what)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswerError(f"nothing answers at {self.url}: {error}") from error
        try:
            document = response.json()
        except ValueError:
            document = None
        if response.is_success and isinstance(document, dict):
            return document
        message = document.get("message", "") if isinstance(document, dict) else ""
        text = f"{self.url} answered {response.status_code}: {message or response.reason_phrase}"
        if response.status_code in _CODES:
            raise CommandError(text, _CODES[response.status_code])
        raise NoAnswerError(text)
