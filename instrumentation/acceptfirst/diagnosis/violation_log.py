"""One line of log for each violation, for people and for machines, and never a flood.

The logger is ``acceptfirst.violations``: WARNING for a warning, ERROR for what is worse. The message says it in words;
the record's ``extra`` has the same under the names that spans use, so a structured formatter or an OpenTelemetry log
handler makes fields of it. Only what spans carry is written: no payload, header, query string or path.

Of each pattern and route the first few are written at once, then one an interval; the others are counted, and the count
is written too, by the next line that gets through or at the end of the interval.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, NamedTuple

from acceptfirst.connection import Connection
from acceptfirst.diagnosis.note import DELAY_ANSWERS, what_happened
from acceptfirst.diagnosis.rate_limit import Kept, RateLimit
from acceptfirst.failsafe import failsafe
from acceptfirst.observation import Violation
from acceptfirst.telemetry.surroundings import surrounding_context

LOGGER_NAME: Final = "acceptfirst.violations"
BURST: Final = 5
INTERVAL_S: Final = 60.0

logger: Final = logging.getLogger(LOGGER_NAME)

_LEVELS: Final = {"warning": logging.WARNING, "critical": logging.ERROR, "fatal": logging.ERROR}


class _Kind(NamedTuple):
    """What shares an allowance."""

    pattern: str
    severity: str
    environment: str
    route: str

    def __str__(self) -> str:
        return f"{self.pattern} ({self.severity})" + (f" on {self.route}" if self.route else "")

    def fields(self) -> dict[str, Any]:
        return {
            "acceptfirst.pattern.type": self.pattern,
            "acceptfirst.pattern.severity": self.severity,
            "acceptfirst.environment": self.environment,
            "http.route": self.route,
        }


class ViolationLog:
    """Writes violations to the logger; one for each instrumented application.

    Args:
        limit: how many are written; five of a kind at once and then one a minute where none is given.
    """

    def __init__(self, limit: RateLimit | None = None) -> None:
        self._limit = limit or RateLimit(burst=BURST, interval_s=INTERVAL_S)
        self._summary_due = 0.0

    def violated(self, connection: Connection, violation: Violation) -> None:
        """Write a line, or count it."""
        pattern = violation.pattern
        level = _LEVELS[pattern.severity]
        if not logger.isEnabledFor(level):
            return
        kind = _Kind(pattern.name, pattern.severity, connection.policy.environment, connection.route)
        before = self._limit.let_through(kind)
        if before is None:
            self._summarise_later()
            return
        happened = what_happened(connection, pattern)
        message = (
            f"{kind}: {happened} Does a delay help? {DELAY_ANSWERS[pattern.delay_helps]} Fix: {pattern.remedy} "
            f"[{connection.signature}, connection {connection.id.hex()}]{_and_more(before)}"
        )
        fields = {
            **kind.fields(),
            "acceptfirst.connection.id": connection.id.hex(),
            "acceptfirst.trace.id": trace_id(connection),
            "acceptfirst.user.hash": connection.user_hash,
            "acceptfirst.signature": connection.signature,
            "acceptfirst.pattern.evidence": happened,
            "acceptfirst.pattern.delay_helps": pattern.delay_helps,
            "acceptfirst.pattern.remedy": pattern.remedy,
            "acceptfirst.pattern.docs": pattern.anchor,
            "acceptfirst.violations.suppressed": before.number,
        }
        logger.log(level, "%s", message, extra={key: value for key, value in fields.items() if value is not None})

    @failsafe
    def summarise(self) -> None:
        """Write how many were kept back and have not been counted by a later line."""
        for kind, kept in self._limit.drain().items():
            fields = {"acceptfirst.violations.suppressed": kept.number}
            if isinstance(kind, _Kind):
                level, text = _LEVELS[kind.severity], str(kind)
                fields |= kind.fields()
            else:
                level, text = logging.ERROR, "violations of other patterns and routes"
            logger.log(level, "%s:%s", text, _and_more(kept), extra=fields)

    def _summarise_later(self) -> None:
        now = self._limit.clock()
        if now < self._summary_due:
            return
        try:
            asyncio.get_running_loop().call_later(self._limit.interval_s, self.summarise)
        except RuntimeError:  # trio: the next line that gets through carries the count
            return
        self._summary_due = now + self._limit.interval_s  # a loop that was closed in between keeps nothing from us


def _and_more(kept: Kept) -> str:
    return f" … and {kept.number} more in the last {kept.seconds:.0f} s" if kept.number else ""


def trace_id(connection: Connection) -> str | None:
    """The trace that the connection's spans are in, 32 hex digits; without any, the one that the server is in."""
    written = connection.trace
    if written is not None and written.identity is not None:
        return f"{written.identity.trace_id:032x}"
    if written is not None and written.live is not None:
        return f"{written.live.get_span_context().trace_id:032x}"
    around = surrounding_context(connection)
    return None if around is None else f"{around.trace_id:032x}"
