"""Answers to errors in our way, not the framework's: on OTLP paths a Status, elsewhere JSON, never a traceback."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from acceptfirst_collector.intake import RETRY_AFTER_SECONDS
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.receive import refusal_response
from acceptfirst_store.errors import StatementUnknown, StoreError, StoreRefused

OTLP_PREFIX = "/v1/"
SCHEMA_VERSION = 1

logger = logging.getLogger(__name__)


def error_response(refusal: RefusedError, path: str, headers: Headers) -> Response:
    """Answer a refusal in the manner of the path it came for."""
    if path.startswith(OTLP_PREFIX):
        return refusal_response(refusal, headers)
    response = JSONResponse({"schema_version": SCHEMA_VERSION, "message": refusal.message}, refusal.status)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def install_error_handlers(app: FastAPI) -> None:
    """Take over every way in which the framework answers errors."""
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(StoreError, _store_error)
    app.add_exception_handler(Exception, _unforeseen)


def _answer(request: Request, refusal: RefusedError) -> Response:
    return error_response(refusal, request.url.path, request.headers)


async def _framework_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    response = _answer(request, RefusedError(error.status_code, f"{request.method} {request.url.path}: {error.detail}"))
    response.headers.update(error.headers or {})
    return response


async def _bad_parameters(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    wrong = "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    )
    return _answer(request, RefusedError(400, wrong))


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedError):
        raise error
    return _answer(request, error)


async def _store_error(request: Request, error: Exception) -> Response:
    if isinstance(error, StatementUnknown):
        return _answer(request, RefusedError(404, str(error)))
    if isinstance(error, StoreRefused):
        return _answer(request, RefusedError(400, str(error)))
    return _answer(request, RefusedError(503, str(error), RETRY_AFTER_SECONDS))


async def _unforeseen(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, RefusedError(503, "the collector failed; its log says why", RETRY_AFTER_SECONDS))
