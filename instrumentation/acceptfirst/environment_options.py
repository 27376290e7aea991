"""What the environment variables say of an application that is instrumented without its author (ADR 0010).

A wrong variable is logged and left out: it must never keep an application from starting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from acceptfirst.catalogue import CatalogueError, load_catalogue
from acceptfirst.environment import (
    DEFAULT_ENVIRONMENT,
    ENVIRONMENT_VARIABLE,
    UnknownEnvironmentError,
    normalise_environment,
)
from acceptfirst.excluded_paths import ExcludedPaths
from acceptfirst.failsafe import logger

READINESS_VARIABLE: Final = "ACCEPTFIRST_READINESS"
GATE_VARIABLE: Final = "ACCEPTFIRST_GATE"
POLICY_VARIABLE: Final = "ACCEPTFIRST_POLICY"
PATTERNS_VARIABLE: Final = "ACCEPTFIRST_PATTERNS"
EXCLUDE_VARIABLE: Final = "ACCEPTFIRST_EXCLUDE"
LOG_CORRELATION_VARIABLE: Final = "ACCEPTFIRST_LOG_CORRELATION"
EXCLUDED_URLS_VARIABLES: Final = ("OTEL_PYTHON_ACCEPTFIRST_EXCLUDED_URLS", "OTEL_PYTHON_EXCLUDED_URLS")
"""As for OpenTelemetry's own instrumentations: the first that is set holds."""


def options_from_environment() -> dict[str, Any]:
    """Arguments for ``AcceptFirstMiddleware``; none for what is not set, or not usable."""
    options = {
        "environment": _environment(),
        "readiness": _one_of(READINESS_VARIABLE, ("auto", "event", "blind")),
        "gate": _one_of(GATE_VARIABLE, ("observe", "hold")),
        "policy": os.environ.get(POLICY_VARIABLE) or None,
        "patterns": _patterns(),
        "exclude": _excluded(),
    }
    return {name: value for name, value in options.items() if value is not None}


def wants_log_correlation() -> bool:
    """Whether every log record is to carry the ids of its connection."""
    return _one_of(LOG_CORRELATION_VARIABLE, ("true", "false")) == "true"


def _environment() -> str | None:
    """``None`` where the variable is fine, since the middleware reads it itself; else what holds in its place."""
    try:
        normalise_environment(os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT)
    except UnknownEnvironmentError as error:
        logger.error("%s: %s; %s holds", ENVIRONMENT_VARIABLE, error, DEFAULT_ENVIRONMENT)
        return DEFAULT_ENVIRONMENT
    return None


def _one_of(variable: str, allowed: tuple[str, ...]) -> str | None:
    value = os.environ.get(variable, "").strip().lower()
    if not value:
        return None
    if value not in allowed:
        logger.error("%s: expected one of %s, but got %r; the default holds", variable, ", ".join(allowed), value)
        return None
    return value


def _patterns() -> str:
    """The file of patterns that can be used; empty where there is none, so that nobody looks for it again."""
    path = os.environ.get(PATTERNS_VARIABLE, "")
    try:
        if path:
            load_catalogue(Path(path))
    except (CatalogueError, OSError) as error:
        logger.error("%s: %s; the shipped patterns alone are used", PATTERNS_VARIABLE, error)
        return ""
    return path


def _excluded() -> ExcludedPaths | None:
    paths = _listed(os.environ.get(EXCLUDE_VARIABLE, ""))
    patterns = list(_excluded_patterns())
    return ExcludedPaths(paths, patterns) if paths or patterns else None


def _excluded_patterns() -> Iterator[re.Pattern[str]]:
    for variable in EXCLUDED_URLS_VARIABLES:
        if value := os.environ.get(variable):
            for pattern in _listed(value):
                try:
                    yield re.compile(pattern)
                except re.error as error:
                    logger.error("%s: %r is no regular expression (%s); it is left out", variable, pattern, error)
            return


def _listed(value: str) -> list[str]:
    return [part for part in map(str.strip, value.split(",")) if part]
