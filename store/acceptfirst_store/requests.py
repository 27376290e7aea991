"""How concatenated OTLP requests are handed to the store: the table, the inline schema and the insert's settings."""

from __future__ import annotations

import functools
import importlib.resources
from typing import Any

REQUEST_TABLE = "otlp_requests"


def request_settings(token: str) -> dict[str, Any]:
    """Return the settings under which a body of requests is inserted.

    Synchronous, since an asynchronous insert answers before it is stored and ignores tokens; and with tokens carried
    through every dependent view, so that a repeated batch adds nothing at any level.
    """
    return {
        "format_schema_source": "string",
        "format_schema": request_schema(),
        "format_schema_message_name": "TraceRequest",
        "input_format_protobuf_oneof_presence": 1,
        "async_insert": 0,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "insert_deduplication_token": token,
    }


@functools.cache
def request_schema() -> str:
    """Return otlp_request.proto without its comments: it travels with each insert."""
    text = importlib.resources.files("acceptfirst_store").joinpath("otlp_request.proto").read_text()
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("//"))
