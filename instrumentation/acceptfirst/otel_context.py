"""The current OpenTelemetry context, for the path before an application's first message.

The API's ``get_current`` is two calls of Python around one context variable, and every handshake asks twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import context
from opentelemetry.context import Context


def _reader() -> Callable[[], Context]:
    """What reads the variable itself; the API's own function where a user has set another kind of context."""
    variable: Any = getattr(getattr(context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    return variable.get if isinstance(variable, ContextVar) else context.get_current


current_context: Final = _reader()
"""Gives the context that is current where it is called."""
