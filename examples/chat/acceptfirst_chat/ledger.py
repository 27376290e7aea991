"""What really happened in the backend, counted without AcceptFirst: the demo is judged by it.

A bug writes itself down at the moment it happens, in its own code; connections are counted around everything else, and
spans where they are handed to the exporter. The figures are written when the backend stops.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from starlette.types import ASGIApp, Receive, Scope, Send

TRANSITION_SPAN = "websocket.transition"


class Ledger:
    """The counts of one run of the backend."""

    def __init__(self) -> None:
        self.connections = 0
        self.transitions = 0
        self.planted: Counter[str] = Counter()

    def plant(self, name: str) -> None:
        """A connection has just shown this bug; called at most once a connection."""
        self.planted[name] += 1

    def to_json(self) -> dict[str, Any]:
        """The counts, as ``write`` writes them."""
        return {
            "schema_version": 1,
            "connections": self.connections,
            "transitions": self.transitions,
            "planted": dict(sorted(self.planted.items())),
        }

    def write(self, path: Path) -> None:
        """Write the counts to a file, whole or not at all."""
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)


class ConnectionCount:
    """ASGI middleware that counts WebSocket connections; stands outside of all else."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, and pass on."""
        if scope["type"] == "websocket":
            self._ledger.connections += 1
        await self._app(scope, receive, send)


class TransitionCount(SpanProcessor):
    """Counts the transition spans that are handed to the exporter's processor, which stands beside this one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: only finished spans are exported."""

    def on_end(self, span: ReadableSpan) -> None:
        """Count a finished span."""
        if span.name == TRANSITION_SPAN:
            self._ledger.transitions += 1
