"""`GET /api/v1/openapi.json`: what the API takes and gives, with our errors and not the framework's."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

import acceptfirst
from acceptfirst_collector.errors_http import SCHEMA_VERSION

PATH = "/api/v1/openapi.json"

_ERROR = {
    "description": "Refused: `message` says what was expected, what came and what to do.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["schema_version", "message"],
                "properties": {
                    "schema_version": {"type": "integer", "const": SCHEMA_VERSION},
                    "message": {"type": "string"},
                },
            }
        }
    },
}
_DROPPED = ("HTTPValidationError", "ValidationError")


def add_openapi(app: FastAPI) -> None:
    """Add the route, after all others."""

    @app.get(PATH, include_in_schema=False)
    def openapi() -> dict[str, Any]:
        """Describe the API."""
        return document(app)


def document(app: FastAPI) -> dict[str, Any]:
    """The framework's description with what we answer where it would answer 422, and the way to show a token."""
    described = dict(app.openapi())
    described["info"] = {"title": "AcceptFirst", "version": acceptfirst.__version__}
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _ERROR
    components = described.setdefault("components", {})
    for name in _DROPPED:
        components.get("schemas", {}).pop(name, None)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    described["security"] = [{}, {"token": []}]
    return described
