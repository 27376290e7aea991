"""One line for an application: ``acceptfirst.instrument(app)``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from acceptfirst.coordinator import HandshakeCoordinator
from acceptfirst.middleware import AcceptFirstMiddleware, CoordinatorFactory
from acceptfirst.policy import Gate, GivenPolicy, ReadinessMode
from acceptfirst.readiness.dependencies import Dependency
from acceptfirst.readiness.poll import ReadinessPoll
from acceptfirst.readiness.startup_gate import UnreadyClose, WhenUnready

_App = TypeVar("_App")


def instrument(
    app: _App,
    *,
    environment: str | None = None,
    readiness: ReadinessMode | ReadinessPoll = "auto",
    gate: Gate = "observe",
    policy: GivenPolicy = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    patterns: Path | str | None = None,
    coordinator_factory: CoordinatorFactory = HandshakeCoordinator,
    exclude: Collection[str] = (),
    dependencies: Sequence[Dependency] = (),
    when_unready: WhenUnready = "observe",
    unready_close: UnreadyClose = "after_accept",
) -> _App:
    """Observe the WebSocket handshakes of an application.

    Args:
        app: FastAPI, Starlette or any ASGI callable.
        environment: see ``AcceptFirstMiddleware``, like all that follow.
        readiness: how READY is told.
        gate: whether messages are held back until READY.
        policy: the tuning, or the file or the collector that it comes from.
        tracer_provider: where spans go.
        meter_provider: where metrics go.
        patterns: a file with patterns of your own.
        coordinator_factory: makes each connection's coordinator.
        exclude: paths that are not observed.
        dependencies: what must answer before the application can serve.
        when_unready: what becomes of new WebSockets while one of them is down.
        unready_close: how they are refused where the server knows no denial response.

    Returns:
        The same FastAPI or Starlette application with the middleware added; for another callable the middleware around
        it. Instrumenting twice changes nothing.

    Raises:
        ConfigurationError: see ``AcceptFirstMiddleware``.
        RuntimeError: when the application has started already.
    """
    if isinstance(app, AcceptFirstMiddleware):
        return app
    options: dict[str, Any] = {
        "environment": environment,
        "readiness": readiness,
        "gate": gate,
        "policy": policy,
        "tracer_provider": tracer_provider,
        "meter_provider": meter_provider,
        "patterns": patterns,
        "coordinator_factory": coordinator_factory,
        "exclude": exclude,
        "dependencies": dependencies,
        "when_unready": when_unready,
        "unready_close": unready_close,
    }
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
