"""Finds what is known of an application's dependencies, from whatever the caller has in its hands."""

from __future__ import annotations

from typing import Any, Final

from acceptfirst.connection import SCOPE_KEY
from acceptfirst.readiness.dependencies import DependencyStatus
from acceptfirst.readiness.monitor import DependencyMonitor

LAYERS_MAX: Final = 100


def dependencies(app_or_scope: Any) -> tuple[DependencyStatus, ...]:
    """What is known of each dependency, for a readiness endpoint of your own.

    Args:
        app_or_scope: the instrumented application, what ``instrument`` returned, a scope, a WebSocket or a request.

    Returns:
        One status a dependency, in the order in which they were given; empty where none is declared, nothing is
        instrumented, or the application has not been called yet.
    """
    scope = getattr(app_or_scope, "scope", app_or_scope)
    if hasattr(scope, "get") and hasattr(scope, "keys"):
        record = scope.get(SCOPE_KEY)
        monitor = getattr(record, "dependencies", None)
        monitor = monitor if isinstance(monitor, DependencyMonitor) else _monitor_of(scope.get("app"))
    else:
        monitor = _monitor_of(app_or_scope)
    return () if monitor is None else monitor.statuses()


def _monitor_of(app: Any) -> DependencyMonitor | None:
    """The monitor of the middleware around an application: layers of ASGI hold the next one as ``app``."""
    layer = getattr(app, "middleware_stack", None) or app
    for _ in range(LAYERS_MAX):
        gate = getattr(layer, "startup_gate", None)
        monitor = getattr(gate, "monitor", None)
        if isinstance(monitor, DependencyMonitor):
            return monitor
        layer = getattr(layer, "app", None)
        if layer is None:
            break
    return None
