"""Zero-code start: what ``opentelemetry-instrument`` loads (ADR 0010).

Applications are instrumented where they are about to be used, so nothing of theirs changes and nothing is imported that
they don't import themselves:

- FastAPI and Starlette when they build their middleware stack, at the first request: innermost of what wraps them, so
  that the server's span of an OpenTelemetry instrumentation is around us;
- any other ASGI application when uvicorn has loaded it; what waits is flushed when uvicorn shuts down.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Iterator
from types import ModuleType
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped

from acceptfirst import logs
from acceptfirst.asgi import ASGIApplication
from acceptfirst.environment_options import options_from_environment, wants_log_correlation
from acceptfirst.failsafe import failsafe, logger
from acceptfirst.middleware import AcceptFirstMiddleware
from acceptfirst.on_import import ImportWatch
from acceptfirst.telemetry.lifetime import flush_everything


class AutomaticMiddleware(AcceptFirstMiddleware):
    """The middleware that nobody asked for; gives way to one that the application's author put in place."""

    automatic = True


class AcceptFirstInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Instruments each ASGI application of this process; options come from the environment.

    ``instrument(**options)`` takes the options of ``AcceptFirstMiddleware`` too; they win over the environment.
    """

    _watch: ImportWatch | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: frameworks and servers are recognised when, and if, the application imports them."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        if wants_log_correlation():
            logs.correlate()
        self._patches: list[tuple[type, str, Any]] = []
        self._make = functools.partial(_automatic, kwargs)
        self._watch = ImportWatch(
            {
                "starlette.applications": lambda module: self._patch_framework(module, "Starlette"),
                "fastapi.applications": lambda module: self._patch_framework(module, "FastAPI"),
                "uvicorn.config": self._patch_loading,
                "uvicorn.server": self._patch_shutdown,
            }
        )
        self._watch.begin()

    def _uninstrument(self, **kwargs: Any) -> None:
        """Stop instrumenting; applications that run already stay instrumented until they are built anew."""
        del kwargs
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        while self._patches:
            cls, name, original = self._patches.pop()
            if getattr(vars(cls)[name], "__wrapped__", None) is original:
                setattr(cls, name, original)
        logs.stop_correlating()

    def _patch_framework(self, module: ModuleType, name: str) -> None:
        cls = getattr(module, name)
        if "build_middleware_stack" not in vars(cls):
            return  # inherited from one that is patched

        def patched(build: Callable[[Any], ASGIApplication], app: Any) -> ASGIApplication:
            return self._make(build(app))

        self._patch(cls, "build_middleware_stack", patched)

    def _patch_loading(self, module: ModuleType) -> None:
        def patched(load: Callable[[Any], None], config: Any) -> None:
            load(config)
            if getattr(config, "interface", None) != "wsgi":
                config.loaded_app = self._make(config.loaded_app, _builds_a_stack)

        self._patch(module.Config, "load", patched)

    def _patch_shutdown(self, module: ModuleType) -> None:
        """An application without a lifespan has no other end than this one: uvicorn ends by the signal it got."""

        async def patched(shutdown: Callable[..., Awaitable[None]], server: Any, *args: Any, **kwargs: Any) -> None:
            await shutdown(server, *args, **kwargs)
            await flush_everything()

        self._patch(module.Server, "shutdown", patched)

    def _patch(self, cls: type, name: str, patched: Callable[..., Any]) -> None:
        original = vars(cls)[name]

        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            return patched(original, *args, **kwargs)

        setattr(cls, name, method)
        self._patches.append((cls, name, original))


def _automatic(
    argued: dict[str, Any], app: ASGIApplication, is_served_otherwise: Callable[[object], bool] = lambda _: False
) -> ASGIApplication:
    """The application with the middleware around it, unless something inside of it has one or will get one."""
    if any(isinstance(layer, AcceptFirstMiddleware) or is_served_otherwise(layer) for layer in _layers(app)):
        return app
    return _with_options(app, {**options_from_environment(), **argued}) or app


@failsafe
def _with_options(app: ASGIApplication, options: dict[str, Any]) -> ASGIApplication:
    try:
        return AutomaticMiddleware(app, **options)
    except ValueError as error:  # what is wrong in itself was left out before: these contradict one another
        logger.error("the options for zero-code start can't be used, the defaults hold: %s", error)
        fallback = {name: options[name] for name in _NEVER_WRONG if name in options}
        return AutomaticMiddleware(app, **fallback)


_NEVER_WRONG: Final = ("environment", "patterns", "exclude", "tracer_provider", "meter_provider")
_LAYERS_MAX: Final = 50


def _layers(app: object) -> Iterator[object]:
    """An application and what it wraps, as far as the wrappers tell."""
    for _ in range(_LAYERS_MAX):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None)


def _builds_a_stack(app: object) -> bool:
    """Whether this is a FastAPI or Starlette application, which is instrumented when it builds its stack."""
    return hasattr(app, "build_middleware_stack")
