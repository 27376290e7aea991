"""What handshakes meant for users, week by week: for people who don't ask for quantiles.

User-seconds are what the rest can be summed in: waiting behind a gate is some, and each connection that met a race
costs ``lambda_ms`` of them, the same setting that weighs a delay against its violations. What a change saved is not
what became less (traffic changes too), but the difference of the rates on either side of it, times the connections
since.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from acceptfirst_analysis.loop.verification import Side, Verification, verify
from acceptfirst_analysis.statistics.bounds import Rate, rate
from acceptfirst_analysis.tuning.recommend import StatementReader
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.window import Window

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekOfValue:
    """One environment in one ISO week.

    Attributes:
        environment: where.
        week: such as ``2026-W47``.
        handshakes: all of them, estimated from the weights.
        reached_ready: share of the drawn that reached READY, with a two-sided interval.
        first_message_p50_ms: connect to the first message that the application was given; ``None`` where none came.
        first_message_p95_ms: the same for the slowest twentieth.
        messages_early: messages that were handled before the application was ready.
        connections_affected: connections that met a race, an exception or a timeout.
        users_affected: users behind them, by hash; ``None`` where no connection was identified.
        identified_share: share of the affected connections whose user is known: the rest may be more users.
        wait_s: user-seconds behind a gate, from accept to ready.
        wasted_s: of these, waited on though the application was ready.
        lost_s: user-seconds lost: the wasted ones, and ``lambda_ms`` for each affected connection.
    """

    environment: str
    week: str
    handshakes: float
    reached_ready: Rate
    first_message_p50_ms: float | None
    first_message_p95_ms: float | None
    messages_early: int
    connections_affected: int
    users_affected: int | None
    identified_share: float | None
    wait_s: float
    wasted_s: float
    lost_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What the last change of one route saved since; negative where it cost.

    Attributes:
        environment: where.
        service: where.
        route: where.
        connections: since the change, that a rate is known of.
        violations_avoided: the difference of the rates, times the connections.
        wait_saved_s: the difference of the mean waits, times the connections.
        saved_s: user-seconds: the waits, and ``lambda_ms`` for each violation.
        is_shown: whether the difference of the rates is shown; else the figures are estimates of what may be chance.
    """

    environment: str
    service: str
    route: str
    connections: int
    violations_avoided: float
    wait_saved_s: float
    saved_s: float
    is_shown: bool


@dataclass(frozen=True, slots=True)
class BusinessValue:
    """Weeks and savings of a range.

    Attributes:
        weeks: one an environment and week, in order.
        savings: one a route whose setting changed.
        lambda_ms: what one violation counts as.
    """

    weeks: tuple[WeekOfValue, ...]
    savings: tuple[Saving, ...]
    lambda_ms: float

    def to_document(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "lambda_ms": self.lambda_ms,
            "weeks": [asdict(week) for week in self.weeks],
            "savings": [asdict(saving) for saving in self.savings],
        }


def business_value(
    reader: StatementReader, window: Window, *, environment: str = "", settings: Settings | None = None
) -> BusinessValue:
    """What the handshakes of a range meant for users.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        window: handshakes first seen in it.
        environment: only this one; empty for all.
        settings: confidence and ``lambda_ms``; ``None`` for the defaults.

    Raises:
        StoreError: when the store can't be read.
    """
    settings = settings or Settings()
    rows = reader.statement_rows("business_value", {"environment": environment, **window.parameters})
    changes = verify(reader, window, environment=environment, settings=settings)
    savings = savings_of(changes, settings)
    return BusinessValue(tuple(_week(row, settings) for row in rows), savings, settings.lambda_ms)


def savings_of(changes: Sequence[Verification], settings: Settings) -> tuple[Saving, ...]:
    """What changes saved; one of which a rate is not known on both sides is left out."""
    return tuple(_saving(change, settings) for change in changes if change.rate_before and change.rate_after)


def _saving(change: Verification, settings: Settings) -> Saving:
    after = change.after.counts
    fewer = _share(change.rate_before) - _share(change.rate_after)
    wait_saved_s = (_held_ms(change.before) - _held_ms(change.after)) * after.n / 1000.0
    avoided = fewer * after.n
    return Saving(
        environment=change.environment,
        service=change.service,
        route=change.route,
        connections=after.n,
        violations_avoided=round(avoided, 1),
        wait_saved_s=round(wait_saved_s, 3),
        saved_s=round(wait_saved_s + avoided * settings.lambda_ms / 1000.0, 3),
        is_shown=change.effect in ("worked", "worse"),
    )


def _held_ms(side: Side) -> float:
    """What a client waited on average: behind an observing gate nothing, whatever the backend's state says."""
    return (side.counts.wait_ms_mean or 0.0) if side.is_held else 0.0


def _share(shown: Rate | None) -> float:
    return shown.share if shown is not None else 0.0


def _week(row: Mapping[str, Any], settings: Settings) -> WeekOfValue:
    monday: date = row["week"]
    year, week, _ = monday.isocalendar()
    affected, identified = int(row["connections_affected"]), int(row["n_identified"])
    wasted_s = float(row["wasted_s"])
    return WeekOfValue(
        environment=str(row["environment"]),
        week=f"{year}-W{week:02d}",
        handshakes=float(row["handshakes"]),
        # Two one-sided bounds make the two-sided interval that is shown.
        reached_ready=rate(int(row["n_ready"]), int(row["n"]), 1 - (1 - settings.confidence) / 2),
        first_message_p50_ms=_known(row["first_message_p50_ms"]),
        first_message_p95_ms=_known(row["first_message_p95_ms"]),
        messages_early=int(row["messages_early"]),
        connections_affected=affected,
        users_affected=int(row["users_affected"]) if identified else None,
        identified_share=identified / affected if affected else None,
        wait_s=round(float(row["wait_s"]), 3),
        wasted_s=round(wasted_s, 3),
        lost_s=round(wasted_s + affected * settings.lambda_ms / 1000.0, 3),
    )


def _known(value_ms: float | None) -> float | None:
    return None if value_ms is None or not math.isfinite(value_ms) else round(float(value_ms), 3)
