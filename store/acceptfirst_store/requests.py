"""How concatenated OTLP requests are handed to the store: the table, the inline schema and the insert's settings."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

REQUEST_TABLE = "otlp_plain_requests"
MESSAGE = "TraceRequest"
#: Indexes of attributes in otel_traces, which cost a tenth of an insert; a shape without them ignores the names.
INDEXES_OF_MERGES = "idx_res_attr_key,idx_res_attr_value,idx_span_attr_key,idx_span_attr_value"
SCHEMA_PATH = pathlib.Path(__file__).with_name("otlp_request.proto")


def request_settings(token: str, *, embedded: bool) -> dict[str, Any]:
    """Return the settings under which a body of requests is inserted.

    Synchronous, since an asynchronous insert answers before it is stored and ignores tokens; and with tokens carried
    through every dependent view, so that a repeated batch adds nothing at any level.

    Args:
        token: the insert's deduplication token.
        embedded: the store is chDB, which shares our file system.
    """
    return {
        **(_of_embedded() if embedded else _schema_as_text()),
        "input_format_protobuf_oneof_presence": 1,
        "async_insert": 0,
        # Each insert is analysed anew; compiling what it does takes longer than it saves.
        "compile_expressions": 0,
        # A merge writes them anew anyhow; until then the parts are small enough to be read without.
        "exclude_materialize_skip_indexes_on_insert": INDEXES_OF_MERGES,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "insert_deduplication_token": token,
    }


@functools.cache
def _schema_as_text() -> dict[str, str]:
    """Send the schema, without its comments, with each insert: a server can't see our files."""
    text = SCHEMA_PATH.read_text()
    return {
        "format_schema_source": "string",
        "format_schema": "\n".join(line for line in text.splitlines() if line and not line.startswith("//")),
        "format_schema_message_name": MESSAGE,
    }


@functools.cache
def _of_embedded() -> dict[str, Any]:
    """Point chDB at the file; given as text it would leave a `__cache__` folder in the working directory."""
    return {
        "format_schema_source": "file",
        "format_schema": f"{SCHEMA_PATH}:{MESSAGE}",
        # Plans that read the block that came have nothing to gain from it: a seventh of what a small insert costs. Not
        # for servers, whose version is not ours to pin: it is an expert's setting, which one of them may refuse.
        "query_plan_enable_optimizations": 0,
    }
