"""A collector as the source of a policy: ``GET /api/v1/policy/{environment}``, with an ETag.

Design constraints:

- an answer is at most 1 MiB, and each step of a request and the whole of it are bounded in time;
- a redirect is refused: a token goes where the user said, and nowhere else;
- no proxy is used, whatever the environment names for the web: a collector is a neighbour;
- the ETag of an answer that can't be used is forgotten, so that a mended one is never mistaken for it.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Hashable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from acceptfirst.policy.document import policy_from_document
from acceptfirst.policy.file import POLICY_BYTES_MAX
from acceptfirst.policy.model import Policy, PolicyError
from acceptfirst.policy.source import CollectorPolicy, NothingStored

ENDPOINT: Final = "/api/v1/policy/"
TOKEN_VARIABLE: Final = "ACCEPTFIRST_TOKEN"  # noqa: S105 - the variable's name, not a token
TOKEN_FILE_VARIABLE: Final = "ACCEPTFIRST_TOKEN_FILE"  # noqa: S105 - the same

_CHUNK_BYTES: Final = 1 << 16
_REDIRECTS: Final = range(300, 400)
_EXCERPT_LENGTH: Final = 200


class CollectorSource:
    """Asks a collector; see ``Source``.

    Args:
        collector: where it is and how it is asked.
        environment: whose policy.

    Raises:
        PolicyError: when the URL can't be used.
    """

    is_local = False

    def __init__(self, collector: CollectorPolicy, environment: str) -> None:
        self._collector = collector
        self._environment = environment
        self._url = _checked(collector.url)
        self._path = _path_of(self._url, environment)
        self.place = f"{self._url.scheme}://{self._url.netloc}{self._path}"
        self.key: Hashable = ("collector", self.place, environment, collector.token, collector.timeout_s)
        self._etag: str | None = None

    def read(self) -> Policy | None:
        """See ``Source``."""
        try:
            text, etag = self._ask()
        except PolicyError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PolicyError(f"{self.place}: expected a policy, but got no answer: {_text(error)}") from error
        if text is None:
            return None
        self._etag = None
        policy = policy_from_document(text, self._environment, self.place)
        self._etag = etag
        return policy

    def _ask(self) -> tuple[bytes | None, str | None]:
        """The body and its ETag; no body where nothing has changed."""
        deadline = time.monotonic() + self._collector.timeout_s
        with closing(self._connection()) as connection:
            connection.request("GET", self._path, headers=self._headers())
            with closing(connection.getresponse()) as response:  # it has taken the socket over
                if response.status == http.client.NOT_MODIFIED and self._etag is not None:
                    return None, None
                if response.status != http.client.OK:
                    raise self._refusal(response, deadline)
                return self._body(response, deadline), response.headers["ETag"]

    def _connection(self) -> http.client.HTTPConnection:
        url, timeout_s = self._url, self._collector.timeout_s
        host = url.hostname or ""
        if url.scheme == "https":
            return http.client.HTTPSConnection(host, url.port, timeout=timeout_s, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, url.port, timeout=timeout_s)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "acceptfirst", "Connection": "close"}
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _token(self) -> str:
        """Asked each time: a token that is changed in its file holds at once."""
        token = self._collector.token or os.environ.get(TOKEN_VARIABLE, "")
        path = os.environ.get(TOKEN_FILE_VARIABLE)
        if not token and path:
            try:
                token = Path(path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise PolicyError(
                    f"{TOKEN_FILE_VARIABLE}: expected a file that holds a token, but got: {error}"
                ) from error
        token = token.strip()
        if not token.isascii() or any(character.isspace() for character in token):
            raise PolicyError(f"expected a token for {self.place} in one word of ASCII, but got something else")
        return token

    def _body(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        body = b""
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > POLICY_BYTES_MAX:
                raise PolicyError(f"{self.place}: expected at most {POLICY_BYTES_MAX} bytes, but got more")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the answer was not complete after {self._collector.timeout_s:g} s")
        if response.length:  # read1 does not tell an end from a connection that broke
            whole = len(body) + response.length
            raise PolicyError(f"{self.place}: expected {whole} bytes, but the answer broke off after {len(body)}")
        return body

    def _refusal(self, response: http.client.HTTPResponse, deadline: float) -> PolicyError:
        status = response.status
        if status in _REDIRECTS and status != http.client.NOT_MODIFIED:
            return PolicyError(
                f"{self.place}: expected the policy itself, but got a redirect ({status}); give the collector's own URL"
            )
        if status == http.client.UNAUTHORIZED:
            return PolicyError(
                f"{self.place}: expected to be let in, but got status 401; set {TOKEN_VARIABLE} or "
                f"{TOKEN_FILE_VARIABLE} to the collector's token"
            )
        message = _message(self._body(response, deadline))
        if status == http.client.NOT_FOUND and message:  # in the collector's own words: else it is not a collector
            return NothingStored(f"{self.place}: {message}")
        return PolicyError(f"{self.place}: expected status 200 or 304, but got {status} {message or response.reason!r}")


def _message(body: bytes) -> str:
    """What a collector says of its refusal, empty where it says nothing; on one line, since it goes into a log."""
    try:
        text = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "".join(c if c.isprintable() else " " for c in str(text))[:_EXCERPT_LENGTH]


def _checked(text: str) -> SplitResult:
    # The text itself is not repeated: it may hold a password.
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise PolicyError(
            "expected the URL of a collector, such as http://127.0.0.1:4318, but got one that can't be read"
        )
    if url.username is not None or url.password is not None:
        raise PolicyError(f"expected the URL of a collector without a password; give its token in {TOKEN_VARIABLE}")
    if url.query or url.fragment or not text.isascii() or any(character <= " " for character in text):
        raise PolicyError("expected the URL of a collector without query, fragment and blanks, but got one with them")
    return url


def _path_of(url: SplitResult, environment: str) -> str:
    """A collector's own address is completed; the address of a policy is taken as it is."""
    return url.path if ENDPOINT in url.path else f"{url.path.rstrip('/')}{ENDPOINT}{environment}"


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
