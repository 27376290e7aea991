"""The collector as an ASGI application: OTLP, probes and the reading API over one set of open services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from acceptfirst_collector.access.admission import Admission, is_local
from acceptfirst_collector.access.browser import CrossOrigin, SecurityHeaders
from acceptfirst_collector.api import reading_routes
from acceptfirst_collector.care_routes import care_routes
from acceptfirst_collector.errors_http import install_error_handlers
from acceptfirst_collector.grpc_service import GrpcReceiver
from acceptfirst_collector.metering import Metering
from acceptfirst_collector.openapi import add_openapi
from acceptfirst_collector.policy.routes import policy_routes
from acceptfirst_collector.probes import probe_routes
from acceptfirst_collector.receive import TraceReceiver, TraceShortcut
from acceptfirst_collector.relay import PATHS as RELAYED_PATHS
from acceptfirst_collector.relay import relay_endpoint
from acceptfirst_collector.services import Services
from acceptfirst_collector.status import status_routes

Extend = Callable[[FastAPI, Services], None]


def create_app(services: Services, extend: Extend | None = None, grpc_receiver: GrpcReceiver | None = None) -> FastAPI:
    """Make the application.

    Args:
        services: open; the application closes them when it is shut down.
        extend: adds routes of the composition (jobs), below which the same errors and the same token hold.
        grpc_receiver: listens for as long as the application runs.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            if services.forwarder is not None:
                await services.forwarder.start()
            if grpc_receiver is not None:
                await grpc_receiver.start()
        except BaseException:
            services.close()
            raise
        yield
        if grpc_receiver is not None:
            await grpc_receiver.stop()
        if services.forwarder is not None:
            await services.forwarder.stop()
        # Here and not after the server returned: a second signal must not find the log open.
        services.close()

    app = FastAPI(title="AcceptFirst", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    receiver = TraceReceiver(services)
    app.add_middleware(TraceShortcut, receiver=receiver)
    _add_guards(app, services)
    install_error_handlers(app)
    app.add_route("/v1/traces", _as_endpoint(receiver), methods=["POST"])
    for path in RELAYED_PATHS:
        app.add_route(path, relay_endpoint(services, path), methods=["POST"])
    app.include_router(reading_routes(services))
    app.include_router(care_routes(services))
    app.include_router(policy_routes(services.policies))
    app.include_router(status_routes(services, services.policies))
    app.include_router(probe_routes(services))
    if extend is not None:
        extend(app, services)
    add_openapi(app)
    return app


def _add_guards(app: FastAPI, services: Services) -> None:
    """Put the layers round the routes; the last one added is the outermost."""
    settings = services.settings
    app.add_middleware(
        Admission,
        tokens=services.tokens,
        rate=services.rate,
        places=services.places,
        # Behind a token a foreign page gets nothing; beyond this host the names it is called by are not ours to know.
        local_only=is_local(settings.host) and not services.tokens.are_required,
        origins=settings.cors_origins,
    )
    if settings.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Metering, metrics=services.metrics)


def _as_endpoint(receiver: TraceReceiver) -> Any:
    """Hand the request over raw: the framework would otherwise read, and keep, a whole body before we can refuse it."""

    async def traces(request: Request) -> Response:
        return await receiver.receive(request)

    return traces
