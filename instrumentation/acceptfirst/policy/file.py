"""The policy file: TOML, a table for each environment, a table in it for each route with settings of its own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst.policy.model import Policy, PolicyError, default_policy

SCHEMA_VERSION: Final = 1


def load_policy_file(path: Path | str, environment: str) -> Policy:
    """Read the policy of one environment.

    Args:
        path: the TOML file.
        environment: whose table to read; a file without it gives the default policy.

    Raises:
        PolicyError: when the file can't be read or the table breaks a rule.
    """
    name = normalise_environment(environment)
    document = _document(Path(path))
    table = document.get(name)
    if table is None:
        return default_policy(name)
    return _policy(table, default_policy(name), f"{path}: [{name}]")


def dump_policy_file(policies: Mapping[str, Policy]) -> str:
    """The TOML text of policies by environment; ``load_policy_file`` reads it back to equal values."""
    lines = [f"schema_version = {SCHEMA_VERSION}"]
    for environment, policy in policies.items():
        lines += ["", f"[{environment}]", *_settings(policy, default_policy(environment))]
        for route, own in policy.routes.items():
            lines += ["", f"[{environment}.routes.{_quoted(route)}]", *_settings(own, replace(policy, routes={}))]
    return "\n".join(lines) + "\n"


def _settings(policy: Policy, base: Policy) -> list[str]:
    values = {f.name: getattr(policy, f.name) for f in fields(policy) if f.name not in {"environment", "routes"}}
    stated = {k: v for k, v in values.items() if v is not None and (k == "version" or v != getattr(base, k))}
    return [f"{key} = {_toml(value)}" for key, value in stated.items()]


def _toml(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


def _document(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"{path}: expected a readable TOML policy, but got: {error}") from error
    if document.get("schema_version") != SCHEMA_VERSION:
        raise PolicyError(
            f"{path}: expected schema_version = {SCHEMA_VERSION}, but got {document.get('schema_version')!r}"
        )
    for name in document.keys() - {"schema_version"}:
        try:
            normalise_environment(name)
        except UnknownEnvironmentError as error:
            raise PolicyError(f"{path}: {error}") from error
    return document


def _policy(table: Any, base: Policy, place: str) -> Policy:
    if not isinstance(table, dict):
        raise PolicyError(f"{place}: expected a table, but got {table!r}")
    settable = set(asdict(base)) - {"environment"}
    if unknown := set(table) - settable:
        raise PolicyError(f"{place}: expected only {', '.join(sorted(settable))}, but got {', '.join(sorted(unknown))}")
    own = {key: value for key, value in table.items() if key != "routes"}
    if isinstance(own.get("delay_ladder_ms"), list):
        own["delay_ladder_ms"] = tuple(own["delay_ladder_ms"])
    try:
        policy = replace(base, **own, routes={})
    except (PolicyError, TypeError) as error:
        raise PolicyError(f"{place}: {error}") from error
    routes = table.get("routes", {})
    return replace(policy, routes={route: _policy(t, policy, f"{place} route {route}") for route, t in routes.items()})
