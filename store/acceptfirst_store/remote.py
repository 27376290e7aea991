"""The store as seen through a running collector, for whoever must not open an embedded one a second time."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from acceptfirst_store.errors import StoreRefused, StoreUnreachable
from acceptfirst_store.results import from_json

TIMEOUT_SECONDS = 90
_PERMANENT_STATUS_MIN, _PERMANENT_STATUS_MAX = 400, 499


class RemoteStore:
    """Runs named statements over `POST /api/v1/statements/{name}`.

    Args:
        url: the collector's, such as `http://127.0.0.1:4318`.
        token: its bearer token, if it wants one.
        certificate: a PEM file with the one certificate that is believed; the system's authorities if empty.
    """

    def __init__(self, url: str, token: str | None = None, certificate: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise StoreUnreachable(f"expected a URL that starts with http:// or https://; got {url!r}")
        self.url = url.rstrip("/")
        self._token = token
        self._trust = trusting(certificate) if url.startswith("https://") else None

    def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement; rows as `Database.statement_rows` returns them.

        Raises:
            StoreRefused: the collector says that the request is wrong.
            StoreUnreachable: no answer, or one that says to come back later.
        """
        answer = self._post(f"/api/v1/statements/{name}", {"parameters": parameters or {}})
        types: dict[str, str] = answer["types"]
        return [{key: from_json(value, types[key]) for key, value in row.items()} for row in answer["rows"]]

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = json.dumps(body, default=_parameter_text).encode()
        request = urllib.request.Request(self.url + path, data, headers, method="POST")  # noqa: S310 - the scheme was checked when the store was made
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._trust) as response:  # noqa: S310 - as above
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise _refusal(self.url, error) from error
        except (OSError, ValueError) as error:
            raise StoreUnreachable(f"the collector at {self.url} does not answer: {error}") from error
        return answer


def trusting(certificate: str) -> ssl.SSLContext:
    """Say whom to believe: the system's authorities, or exactly one certificate, whatever name stands in it.

    Args:
        certificate: a PEM file; empty for the authorities.

    Raises:
        StoreUnreachable: the file can't be used.
    """
    if not certificate:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise StoreUnreachable(f"the certificate {certificate} can't be used: {error}") from error
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the end of the chain
    return context


def _refusal(url: str, error: urllib.error.HTTPError) -> StoreRefused | StoreUnreachable:
    try:
        message = str(json.load(error).get("message", ""))
    except (ValueError, AttributeError, OSError):
        message = ""
    text = f"the collector at {url} answered {error.code}: {message or error.reason}"
    if _PERMANENT_STATUS_MIN <= error.code <= _PERMANENT_STATUS_MAX:
        return StoreRefused(text)
    return StoreUnreachable(text)


def _parameter_text(value: Any) -> str:
    """Write a time as ClickHouse reads a bound parameter: UTC, without a zone."""
    if isinstance(value, dt.datetime):
        in_utc = value.astimezone(dt.UTC) if value.tzinfo else value
        return in_utc.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"expected a parameter that JSON or a time can hold; got {type(value).__name__}")
