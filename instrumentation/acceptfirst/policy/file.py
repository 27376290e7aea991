"""The policy file: TOML, a table for each environment, in it a table for each route and one for a canary."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from acceptfirst.policy.document import SCHEMA_VERSION, SETTINGS, environment_of, policy_from_table, require_schema
from acceptfirst.policy.model import Policy, PolicyError, default_policy

POLICY_BYTES_MAX: Final = 1 << 20
"""A policy is a few hundred bytes; what is this long is something else."""


def load_policy_file(path: Path | str, environment: str) -> Policy:
    """Read the policy of one environment.

    Args:
        path: the TOML file.
        environment: whose table to read; a file without it gives the default policy.

    Raises:
        PolicyError: when the file can't be read or a table breaks a rule.
    """
    return parse_policy_file(read_policy_file(path), environment, str(path))


def read_policy_file(path: Path | str) -> bytes:
    """The bytes of a policy file.

    Raises:
        PolicyError: when it can't be read, is no regular file (a pipe could keep us waiting), or is too long.
    """
    try:
        text = _bytes_of(Path(path))
    except (OSError, ValueError) as error:  # the latter is how Python refuses a path that holds a zero
        raise PolicyError(f"{path}: expected a readable TOML policy, but got: {error}") from error
    if len(text) > POLICY_BYTES_MAX:
        raise PolicyError(f"{path}: expected at most {POLICY_BYTES_MAX} bytes, but got more")
    return text


def _bytes_of(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise OSError("no regular file")
    with path.open("rb") as file:
        return file.read(POLICY_BYTES_MAX + 1)


def parse_policy_file(text: bytes, environment: str, place: str) -> Policy:
    """The policy of one environment in a file's bytes; arguments and errors as in ``load_policy_file``."""
    name = environment_of(environment, place)
    table = _document(text, place).get(name)
    base = default_policy(name)
    return base if table is None else policy_from_table(table, base, f"{place}: [{name}]")


def dump_policy_file(policies: Mapping[str, Policy]) -> str:
    """The TOML text of policies by environment; ``load_policy_file`` reads it back to what has the same effect.

    Raises:
        PolicyError: when a route of a canary leaves open what the same route of the baseline says: TOML can't say that.
    """
    lines = [f"schema_version = {SCHEMA_VERSION}"]
    for environment, policy in policies.items():
        lines += ["", f"[{environment}]", *_settings(policy, default_policy(environment))]
        for route, own in policy.routes.items():
            lines += ["", f"[{environment}.routes.{_quoted(route)}]", *_settings(own, policy)]
        lines += _canary_lines(environment, policy)
    return "\n".join(lines) + "\n"


def _canary_lines(environment: str, policy: Policy) -> Iterator[str]:
    if policy.canary is None:
        return
    tried = policy.canary.policy
    yield from ("", f"[{environment}.canary]", f"share = {_toml(policy.canary.share)}", *_settings(tried, policy))
    for route in {**tried.routes, **policy.routes}:
        yield from ("", f"[{environment}.canary.routes.{_quoted(route)}]")
        yield from _settings(_filled(route, policy, tried), None)


def _filled(route: str, policy: Policy, tried: Policy) -> Policy:
    """A route of the canary that says everything, since what it leaves out would be the baseline route's."""
    own = tried.for_route(route)
    mode = own.readiness_mode or tried.readiness_mode or policy.readiness_mode
    gate = own.gate or tried.gate or policy.gate
    before = policy.routes.get(route, policy)
    if (mode is None and before.readiness_mode is not None) or (gate is None and before.gate is not None):
        raise PolicyError(
            f"expected the canary's route {route} to say its readiness mode and its gate where the baseline's does, "
            "but got one left open; state both"
        )
    return replace(own, readiness_mode=mode, gate=gate)


def _settings(policy: Policy, base: Policy | None) -> list[str]:
    values = {key: getattr(policy, key) for key in SETTINGS}
    stated = {
        key: value
        for key, value in values.items()
        if value is not None and (key == "version" or base is None or value != getattr(base, key))
    }
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


def _document(text: bytes, place: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"{place}: expected a readable TOML policy, but got: {error}") from error
    require_schema(document.pop("schema_version", None), place)
    by_environment: dict[str, Any] = {}
    for name, table in document.items():
        environment = environment_of(name, place)
        if environment in by_environment:
            raise PolicyError(f"{place}: expected one table for {environment}, but got another one, [{name}]")
        by_environment[environment] = table
    return by_environment
