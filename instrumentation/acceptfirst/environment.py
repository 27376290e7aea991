"""Which of the four environments this process runs in, and by what name people call it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

ENVIRONMENTS: Final = ("testing", "development", "staging", "production")
DEFAULT_ENVIRONMENT: Final = "development"
ENVIRONMENT_VARIABLE: Final = "ACCEPTFIRST_ENVIRONMENT"

ALIASES: Final = {
    "prod": "production",
    "live": "production",
    "stage": "staging",
    "test": "testing",
    "ci": "testing",
    "dev": "development",
    "local": "development",
}


class UnknownEnvironmentError(ValueError):
    """A name that is neither an environment nor an alias of one."""


def normalise_environment(name: str) -> str:
    """The environment that a name stands for.

    Args:
        name: an environment or an alias (``prod``, ``stage``, ``test``, ``ci``, ``dev``), in any case.

    Raises:
        UnknownEnvironmentError: when it is neither.
    """
    lowered = name.strip().lower()
    resolved = ALIASES.get(lowered, lowered)
    if resolved not in ENVIRONMENTS:
        raise UnknownEnvironmentError(
            f"expected one of {', '.join(ENVIRONMENTS)} (or {', '.join(ALIASES)}), but got {name!r}"
        )
    return resolved


def resolve_environment(argument: str | None = None, resource: Mapping[str, object] | None = None) -> str:
    """Where we are: the argument, then ``ACCEPTFIRST_ENVIRONMENT``, then the OTel resource, then development.

    Args:
        argument: what the caller said, if anything.
        resource: attributes of the OTel resource; ``deployment.environment.name`` is read, then the older
            ``deployment.environment``.

    Raises:
        UnknownEnvironmentError: when the argument or the variable is not an environment. A resource that is not is
            passed over: it was written for others, who may use names of their own.
    """
    if argument:
        return normalise_environment(argument)
    if variable := os.environ.get(ENVIRONMENT_VARIABLE):
        return normalise_environment(variable)
    for key in ("deployment.environment.name", "deployment.environment"):
        value = (resource or {}).get(key)
        if isinstance(value, str) and value:
            try:
                return normalise_environment(value)
            except UnknownEnvironmentError:
                continue
    return DEFAULT_ENVIRONMENT
