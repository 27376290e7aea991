"""One line for an application: ``acceptfirst.instrument(app)``."""

from __future__ import annotations

from typing import Any, TypeVar

from acceptfirst.middleware import AcceptFirstMiddleware

_App = TypeVar("_App")


def instrument(app: _App, **options: Any) -> _App:
    """Observe the WebSocket handshakes of an application.

    Args:
        app: FastAPI, Starlette or any ASGI callable.
        options: those of ``AcceptFirstMiddleware``; ``environment``, ``readiness``, ``gate``, ``policy``,
            ``tracer_provider``, ``meter_provider``, ``patterns``, ``coordinator_factory`` and ``exclude``.

    Returns:
        The same FastAPI or Starlette application with the middleware added; for another callable the middleware around
        it. Instrumenting twice changes nothing.

    Raises:
        ConfigurationError: see ``AcceptFirstMiddleware``.
        RuntimeError: when the application has started already.
    """
    if isinstance(app, AcceptFirstMiddleware):
        return app
    if not _is_starlette(app):
        return AcceptFirstMiddleware(app, **options)  # type: ignore[arg-type, return-value]
    if not any(entry.cls is AcceptFirstMiddleware for entry in app.user_middleware):  # type: ignore[attr-defined]
        AcceptFirstMiddleware(_nothing, **options)  # says now what is wrong with the options, not at the first request
        app.add_middleware(AcceptFirstMiddleware, **options)  # type: ignore[attr-defined]
    return app


def uninstrument(app: Any) -> Any:
    """Take the middleware away again; connections that are open stay observed.

    Returns:
        The application without the middleware.
    """
    if isinstance(app, AcceptFirstMiddleware):
        return app.app
    if _is_starlette(app):
        app.user_middleware[:] = [entry for entry in app.user_middleware if entry.cls is not AcceptFirstMiddleware]
        app.middleware_stack = None  # Starlette builds it anew at the next request
    return app


def _is_starlette(app: object) -> bool:
    return hasattr(app, "add_middleware") and hasattr(app, "user_middleware")


async def _nothing(*_: Any) -> None:
    """Stands in for an application while the options are tried."""
