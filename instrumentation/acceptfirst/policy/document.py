"""A policy as a table of settings, as TOML files and the collector's JSON have it.

A table says what is its own: what it leaves out is its surroundings'. A route starts from its environment; a canary's
table is laid over its environment's, routes over routes, and starts from the same default. What nobody knows is refused
with its place, since a misspelt setting that is passed over is one that nobody sees missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst.policy.model import Canary, Policy, PolicyError, default_policy

SCHEMA_VERSION: Final = 1

_PARTS: Final = frozenset({"environment", "routes", "canary", "arm"})
SETTINGS: Final = tuple(field.name for field in fields(Policy) if field.name not in _PARTS)
"""What a table can say of an environment or a route, in the order in which it is written."""


def policy_from_table(table: Any, base: Policy, place: str) -> Policy:
    """The policy that a table says.

    Args:
        table: settings, ``routes`` and ``canary`` (``share`` beside settings and routes).
        base: what holds where the table says nothing.
        place: where the table is, for errors.

    Raises:
        PolicyError: with the place.
    """
    _require_keys(table, (*SETTINGS, "routes", "canary"), place)
    policy = _with_routes(table, base, place)
    if table.get("canary") is None:
        return policy
    return _replaced(policy, {"canary": _canary(table, base, f"{place} canary")}, place)


def policy_from_document(text: bytes | str, environment: str, place: str) -> Policy:
    """The policy in a JSON document, as the collector gives it.

    Args:
        text: JSON: ``schema_version``, ``environment``, settings, ``routes``, and ``canary`` (``share``, ``policy``).
        environment: whose it must be.
        place: where it is from, for errors.

    Raises:
        PolicyError: with the place.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{place}: expected a policy as JSON, but got: {error}") from error
    _require_table(document, place)
    table = {key: value for key, value in document.items() if key not in ("schema_version", "environment")}
    require_schema(document.get("schema_version"), place)
    if document.get("environment") != environment:
        raise PolicyError(f"{place}: expected the policy of {environment}, but got {document.get('environment')!r}")
    if table.get("canary") is not None:
        table["canary"] = _canary_table(table["canary"], f"{place} canary")
    return policy_from_table(table, default_policy(environment), place)


def policy_to_document(policy: Policy) -> dict[str, Any]:
    """The document of a policy, complete: nothing in it depends on anybody's defaults."""
    document = {"schema_version": SCHEMA_VERSION, "environment": policy.environment, **_stated(policy)}
    canary = policy.canary
    if canary is not None:
        tried = _stated(canary.policy)
        # A route that the canary does not have is one that it treats like the rest, not one that it takes over.
        missing = policy.routes.keys() - canary.policy.routes.keys()
        tried["routes"] |= {route: _settings(canary.policy) for route in missing}
        document["canary"] = {"share": canary.share, "policy": tried}
    return document


def environment_of(name: str, place: str) -> str:
    """The environment that a document means by a name.

    Raises:
        PolicyError: when there is none of that name.
    """
    try:
        return normalise_environment(name)
    except UnknownEnvironmentError as error:
        raise PolicyError(f"{place}: {error}") from error


def _stated(policy: Policy) -> dict[str, Any]:
    return {**_settings(policy), "routes": {route: _settings(own) for route, own in policy.routes.items()}}


def _settings(policy: Policy) -> dict[str, Any]:
    return {**{key: getattr(policy, key) for key in SETTINGS}, "delay_ladder_ms": list(policy.delay_ladder_ms)}


def _with_routes(table: Mapping[str, Any], base: Policy, place: str) -> Policy:
    policy = _replaced(base, {"routes": {}, "canary": None, **_own(table)}, place)
    routes = {}
    for route, own in _routes(table, place).items():
        where = f"{place} route {route}"
        _require_keys(own, SETTINGS, where)
        routes[route] = _replaced(policy, _own(own), where)
    return _replaced(policy, {"routes": routes}, place)


def _canary(table: Mapping[str, Any], base: Policy, place: str) -> Canary:
    canary = table["canary"]
    _require_keys(canary, (*SETTINGS, "routes", "share"), place)
    if "share" not in canary:
        raise PolicyError(f"{place}: expected a share from 0 to 1, but got none")
    routes, tried = _routes(table, place), _routes(canary, place)
    for route, own in tried.items():
        _require_keys(own, SETTINGS, f"{place} route {route}")
    laid_over = {route: {**routes.get(route, {}), **tried.get(route, {})} for route in {**routes, **tried}}
    policy = _with_routes({**_own(table), **_own(canary), "routes": laid_over}, base, place)
    try:
        return Canary(canary["share"], policy)
    except PolicyError as error:
        raise PolicyError(f"{place}: {error}") from error


def _canary_table(canary: Any, place: str) -> dict[str, Any]:
    """The canary of a document (its policy in a table of its own) as a table has it (settings beside the share)."""
    _require_keys(canary, ("share", "policy"), place)
    policy = canary.get("policy")
    _require_keys(policy, (*SETTINGS, "routes"), f"{place} policy")
    return {**({"share": canary["share"]} if "share" in canary else {}), **policy}


def _own(table: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: table[key] for key in SETTINGS if key in table}
    if isinstance(own.get("delay_ladder_ms"), list):
        own["delay_ladder_ms"] = tuple(own["delay_ladder_ms"])
    return own


def _routes(table: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    routes = table.get("routes", {})
    _require_table(routes, f"{place} routes")
    found: Mapping[str, Any] = routes
    return found


def _replaced(policy: Policy, values: Mapping[str, Any], place: str) -> Policy:
    try:
        return replace(policy, **values)
    except (PolicyError, TypeError) as error:
        raise PolicyError(f"{place}: {error}") from error


def _require_table(table: Any, place: str) -> None:
    if not isinstance(table, dict):
        raise PolicyError(f"{place}: expected a table, but got {table!r:.200}")


def _require_keys(table: Any, known: tuple[str, ...], place: str) -> None:
    _require_table(table, place)
    if unknown := sorted(set(table) - set(known)):
        raise PolicyError(f"{place}: expected only {', '.join(sorted(known))}, but got {', '.join(unknown)}")


def require_schema(version: Any, place: str) -> None:
    """Refuse a document of another schema.

    Raises:
        PolicyError: with both versions.
    """
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise PolicyError(f"{place}: expected schema_version = {SCHEMA_VERSION}, but got {version!r}")
