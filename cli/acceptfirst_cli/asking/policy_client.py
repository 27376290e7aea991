"""Asks a running collector for policies, and changes them there."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from acceptfirst.policy import Policy, PolicyError, policy_from_document, policy_to_document
from acceptfirst_cli.asking.source import Source
from acceptfirst_cli.errors import CommandError, ExitCode

PATIENCE_S: Final = 30.0
_NOT_FOUND: Final = 404
_CODES: Final = {
    400: ExitCode.USAGE,
    401: ExitCode.USAGE,
    403: ExitCode.USAGE,
    409: ExitCode.FAILURE,
    413: ExitCode.USAGE,
}


class PolicyClient:
    """The policies of one collector.

    Args:
        source: where the commands look; it must be a collector.

    Raises:
        CommandError: when it is a store: what is in force is a collector's affair, since backends ask it.
    """

    def __init__(self, source: Source) -> None:
        if not source.url:
            raise CommandError(
                "expected a running serve, since that is what backends ask for their policy; start one, or give --url",
                ExitCode.USAGE,
            )
        self._source = source

    def in_force(self, environment: str) -> Policy | None:
        """The policy that backends of an environment are given, its canary included; ``None`` where none is stored.

        Raises:
            CommandError: the collector does not answer, or not with a policy.
        """
        response = self._ask("GET", environment)
        if response.status_code == _NOT_FOUND:
            return None
        try:
            return policy_from_document(self._checked(response).content, environment, self._source.url)
        except PolicyError as error:
            raise CommandError(str(error)) from error

    def propose(self, policy: Policy, reason: str) -> dict[str, Any]:
        """Hand a candidate over; gives what is known afterwards. Raises as ``in_force``."""
        return self._change(policy.environment, "propose", {"policy": policy_to_document(policy)}, reason)

    def promote(self, environment: str, share: float | None, version: str, reason: str) -> dict[str, Any]:
        """Let the candidate hold, for a share or for all. Raises as ``in_force``."""
        values = {"share": share, "version": version or None}
        return self._change(environment, "promote", {k: v for k, v in values.items() if v is not None}, reason)

    def rollback(self, environment: str, reason: str) -> dict[str, Any]:
        """Take the last change back. Raises as ``in_force``."""
        return self._change(environment, "rollback", {}, reason)

    def _change(self, environment: str, action: str, values: Mapping[str, Any], reason: str) -> dict[str, Any]:
        body = {**values, "by": user_name(), "reason": reason}
        answer: dict[str, Any] = self._checked(self._ask("POST", f"{environment}/{action}", body)).json()
        return answer

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        url = self._source.url
        content = None if body is None else json.dumps(body)
        try:
            with self._source.http_client(PATIENCE_S) as client:
                return client.request(method, f"/api/v1/policy/{path}", content=content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"nothing answers at {url}: {error}", ExitCode.UNREACHABLE) from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        try:
            message = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = response.reason_phrase
        code = _CODES.get(response.status_code, ExitCode.UNREACHABLE)
        raise CommandError(f"{self._source.url} answered {response.status_code}: {message}", code)


def user_name() -> str:
    """Who changes it, as far as this machine knows: what a history is worth without a directory of people."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"
