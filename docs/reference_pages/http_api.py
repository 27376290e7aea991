"""The API, from the description of itself that it serves."""

from __future__ import annotations

import json
from typing import Any, Final

from reference_pages.markdown import page, table, words

BOUNDS: Final = {"minimum": "from", "maximum": "to", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def http_api_page(described: dict[str, Any]) -> str:
    """Every operation of an OpenAPI document.

    Args:
        described: what `GET /api/v1/openapi.json` gives.
    """
    schemas = described.get("components", {}).get("schemas", {})
    operations = [(path, method, o) for path, some in described["paths"].items() for method, o in some.items()]
    index = [(f"`{method.upper()} {path}`", words(o.get("description", ""))) for path, method, o in operations]
    sections = [
        "# HTTP API",
        (
            "What `acceptfirst serve` answers beside [OTLP](../protocol.md) and the [live page](../page.md), on the "
            "same port. A running one describes itself in OpenAPI at `/api/v1/openapi.json`. Every JSON document has "
            '`schema_version`; an error is `{"schema_version": 1, "message": "…"}`, and the message says what was '
            "expected, what came and what to do. Where tokens are set, reading asks for the scope `read`, changing "
            "(`POST`) for `admin`: see [operations.md](../operations.md#tokens)."
        ),
        table(("", ""), index),
    ]
    for path, method, operation in operations:
        sections += _operation(path, method, operation, schemas)
    return page("the API's own OpenAPI description", *sections)


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    sections = [f"## `{method.upper()} {path}`", words(operation.get("description", ""))]
    parameters = [
        (f"`{p['name']}`", p["in"], _type(p["schema"], schemas), "" if p.get("required") else _default(p["schema"]))
        for p in operation.get("parameters", [])
    ]
    if parameters:
        sections.append(table(("parameter", "in", "value", "default"), parameters))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        fields = _resolved(body, schemas).get("properties", {})
        required = _resolved(body, schemas).get("required", [])
        rows = [
            (f"`{name}`", _type(schema, schemas), "required" if name in required else _default(schema))
            for name, schema in fields.items()
        ]
        sections.append(
            table(("field of the body", "value", "default"), rows) if rows else "The body is a JSON object."
        )
    return sections


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = schemas.get(name, schema)
    return found


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    schema = _resolved(schema, schemas)
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(one, schemas) for one in alternatives if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if isinstance(kinds := schema.get("type"), list):
        return " or ".join(_type({**schema, "type": kind}, schemas) for kind in kinds if kind != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    bounds = [f"{word} {schema[name]:g}" for name, word in BOUNDS.items() if name in schema]
    kind = schema.get("format") or schema.get("type", "anything")
    pattern = [f"`{schema['pattern']}`"] if "pattern" in schema else []
    return " ".join([kind, *bounds, *pattern])


def _default(schema: dict[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""
