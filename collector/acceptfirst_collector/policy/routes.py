"""``/api/v1/policy/{environment}``: what the backends ask for, and how it is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst.policy import PolicyError, policy_from_document
from acceptfirst_collector.errors_http import SCHEMA_VERSION
from acceptfirst_collector.intake import RETRY_AFTER_SECONDS
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.policy.ledger import Account, PolicyLedger
from acceptfirst_collector.policy.state import ChangeConflictError, ChangeInvalidError, PolicyState
from acceptfirst_store.errors import StoreRefused

CHANGE_BYTES_MAX: Final = 1 << 20
TEXT_LENGTH_MAX: Final = 1000

_ACCOUNTED: Final[Mapping[str, Any]] = {
    "by": {"type": "string", "maxLength": TEXT_LENGTH_MAX, "description": "Who decided."},
    "reason": {"type": "string", "maxLength": TEXT_LENGTH_MAX, "description": "Why."},
    "evidence": {"type": "object", "description": "What it rests on; kept as it is."},
}
_POLICY: Final = {"type": "object", "description": "A policy as GET gives it."}
_SHARE: Final = {"type": ["number", "null"], "description": "Of the connections; all of them if left out."}
_VERSION: Final = {
    "type": ["string", "null"],
    "description": "What is meant to be promoted; refused if another is proposed.",
}

_Step = Callable[[str, dict[str, Any], Account], PolicyState]
_ACCOUNT: Final = ("by", "reason", "evidence")


def policy_routes(ledger: PolicyLedger) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/api/v1/policy/{environment}")
    _add_changes(router, ledger)

    @router.get("")
    def policy(request: Request, environment: str) -> Response:
        """What holds for the backends of an environment, its default until something is promoted; 304 to who has it."""
        name = _environment(environment)
        try:
            served = ledger.served(name)
        except StoreRefused as error:  # what the store holds, not what the caller asked
            raise RefusedError(503, str(error), RETRY_AFTER_SECONDS) from error
        headers = {"ETag": served.etag, "Cache-Control": "no-cache"}
        if _has(request.headers.get("if-none-match", ""), served.etag):
            return Response(status_code=304, headers=headers)
        return Response(served.body, media_type="application/json", headers=headers)

    return router


def _add_changes(router: APIRouter, ledger: PolicyLedger) -> None:
    def propose(name: str, values: dict[str, Any], account: Account) -> PolicyState:
        if "policy" not in values:
            raise RefusedError(400, "expected a policy, a document as GET gives it, but got none")
        # Read again from text: that is the one way in, with the one set of errors.
        return ledger.propose(policy_from_document(json.dumps(values["policy"]), name, "policy"), account)

    def promote(name: str, values: dict[str, Any], account: Account) -> PolicyState:
        _require_candidate(ledger.state(name), values.get("version"))
        return ledger.promote(name, _share(values.get("share")), account)

    def rollback(name: str, _: dict[str, Any], account: Account) -> PolicyState:
        return ledger.rollback(name, account)

    @router.post("/propose", openapi_extra=_body_of(required=True, policy=_POLICY))
    async def propose_policy(request: Request, environment: str) -> dict[str, Any]:
        """Keep ``policy`` as the candidate."""
        return await _changed(request, environment, propose, ("policy",))

    @router.post("/promote", openapi_extra=_body_of(share=_SHARE, version=_VERSION))
    async def promote_policy(request: Request, environment: str) -> dict[str, Any]:
        """Let the candidate hold: for ``share`` of the connections, or for all."""
        return await _changed(request, environment, promote, ("share", "version"))

    @router.post("/rollback", openapi_extra=_body_of())
    async def rollback_policy(request: Request, environment: str) -> dict[str, Any]:
        """Take back the change that is under way, else the last promotion."""
        return await _changed(request, environment, rollback, ())


def _body_of(*, required: bool = False, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """How a body is described that is read here, and not by the framework: its own errors, and none of the types'."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**properties, **_ACCOUNTED},
        **({"required": list(properties)} if required else {}),
    }
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


async def _changed(request: Request, environment: str, step: _Step, keys: tuple[str, ...]) -> dict[str, Any]:
    name = _environment(environment)
    values = _values(await _body(request), (*keys, *_ACCOUNT))
    account = _account(values)
    try:
        state = await run_in_threadpool(step, name, values, account)
    except (ChangeInvalidError, PolicyError) as error:
        raise RefusedError(400, str(error)) from error
    except ChangeConflictError as error:
        raise RefusedError(409, str(error)) from error
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": name,
        "revision": state.revision,
        "in_force": state.baseline.version,
        "candidate": None if state.candidate is None else state.candidate.version,
        "stage": state.stage,
        "share": state.share,
    }


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > CHANGE_BYTES_MAX:
            raise RefusedError(413, f"expected at most {CHANGE_BYTES_MAX} bytes, but got more")
    return body


def _values(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = json.loads(body or b"{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"expected a JSON object, but got: {error}") from error
    if not isinstance(values, dict):
        raise RefusedError(400, f"expected a JSON object, but got a {type(values).__name__}")
    if unknown := sorted(set(values) - set(known)):
        raise RefusedError(400, f"expected only {', '.join(known)}, but got {', '.join(unknown)[:TEXT_LENGTH_MAX]}")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")


def _account(values: Mapping[str, Any]) -> Account:
    evidence = values.get("evidence", {})
    if not isinstance(evidence, dict):
        raise RefusedError(400, f"expected evidence to be an object, but got a {type(evidence).__name__}")
    return Account(actor=_said(values, "by") or "unknown", reason=_said(values, "reason"), evidence=evidence)


def _said(values: Mapping[str, Any], key: str) -> str:
    text = values.get(key, "")
    if not isinstance(text, str) or len(text) > TEXT_LENGTH_MAX or not _is_storable(text):
        raise RefusedError(400, f"expected {key} to be a text of at most {TEXT_LENGTH_MAX} characters")
    return text


def _is_storable(text: str) -> bool:
    """JSON can say half a character, which nothing can encode."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _share(share: Any) -> float | None:
    if share is None or (isinstance(share, int | float) and not isinstance(share, bool)):
        return share
    raise RefusedError(400, f"expected share to be a number, but got {share!r:.100}")


def _require_candidate(state: PolicyState, version: Any) -> None:
    """A caller may say what it means to promote; then nothing else is promoted in its place."""
    proposed = None if state.candidate is None else state.candidate.version
    if version is not None and version != proposed:
        raise ChangeConflictError(f"expected version {version!r:.100} to be proposed, but {proposed!r} is")


def _environment(name: str) -> str:
    try:
        return normalise_environment(name)
    except UnknownEnvironmentError as error:
        raise RefusedError(400, str(error)) from error


def _has(given: str, etag: str) -> bool:
    return given.strip() == "*" or etag in [each.strip().removeprefix("W/") for each in given.split(",")]
