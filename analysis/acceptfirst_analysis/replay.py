"""Recorded handshakes under another policy: what would have been, and what can't be known.

Everything is counted in the store (the statement ``replay``); what is not known is put between its bounds there. A
policy that changes what clients do (they retry, they leave sooner) is beyond any replay, and so is one that changes how
long the application takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from acceptfirst.policy import Policy
from acceptfirst_analysis.tuning.recommend import StatementReader
from acceptfirst_analysis.window import Window

SCHEMA_VERSION: Final = 1
US_PER_MS: Final = 1000.0

LIMITS: Final = (
    "clients are taken to do what they did: that they would have retried, or left sooner, is not known",
    "the application is taken to be ready when it was: work that waits for the first message would begin later",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One stratum under a policy.

    Attributes:
        environment: where.
        service: where.
        route: where.
        policy_version: of the policy that was tried.
        readiness_mode: that it sets, or the recorded one's usual ``event``.
        gate: that it sets, or ``observe``.
        n: handshakes that were looked at: drawn, accepted, and not refused by the application.
        n_messaged: of these, the ones in which a client message came.
        recorded_violations: in which one was handled too early, as it was.
        violations_least: in which one certainly would have been.
        violations_most: in which one possibly would have been.
        unknown_readiness: of the difference, because nobody saw when the application was ready.
        unknown_arrival: of the difference, because nobody saw when the message arrived.
        timed_out_least: that certainly run into the handshake timeout.
        timed_out_most: that possibly do.
        wait_ms_mean: of a first message, where it is certain; ``None`` where it never is.
        wait_ms_p95: the same.
        wait_known: how many it is certain of.
        waited_s: their sum, in user-seconds, each by its weight.
        unknowable: in words, what the figures leave open.
    """

    environment: str
    service: str
    route: str
    policy_version: str
    readiness_mode: str
    gate: str
    n: int
    n_messaged: int
    recorded_violations: int
    violations_least: int
    violations_most: int
    unknown_readiness: int
    unknown_arrival: int
    timed_out_least: int
    timed_out_most: int
    wait_ms_mean: float | None
    wait_ms_p95: float | None
    wait_known: int
    waited_s: float
    unknowable: tuple[str, ...]


_STRATUM: Final = ("environment", "service", "route")


def replay(
    reader: StatementReader, policy_of: Callable[[str], Policy], window: Window, environment: str = ""
) -> list[Replay]:
    """Replay every stratum of a range.

    Args:
        reader: the store, or a collector that has it.
        policy_of: the policy of an environment.
        window: handshakes first seen in it.
        environment: only of this one; empty for all.

    Returns:
        One for each environment, service and route that has accepted handshakes.

    Raises:
        StoreError: when the store can't be read.
    """
    asked = {"environment": environment, **window.parameters}
    strata = reader.statement_rows("handshake_summary", asked)
    found = [
        _replayed(reader, {name: str(row[name]) for name in _STRATUM}, policy_of(str(row["environment"])), window)
        for row in strata
    ]
    return [replayed for replayed in found if replayed.n]


def to_document(replays: list[Replay], window: Window) -> dict[str, Any]:
    """What ``simulate --policy --json`` prints."""
    return {
        "schema_version": SCHEMA_VERSION,
        "window": window.parameters,
        "replay": [asdict(replayed) for replayed in replays],
        "limits": list(LIMITS),
    }


def _replayed(reader: StatementReader, stratum: dict[str, str], held: Policy, window: Window) -> Replay:
    policy = held.for_route(stratum["route"])
    mode, gate = policy.readiness_mode or "event", policy.gate or "observe"
    tried = {
        "mode": mode,
        "gate": gate,
        "action": policy.gate_timeout_action,
        "delay_us": policy.delay_ms(0) * US_PER_MS,
        "timeout_us": policy.handshake_timeout_ms * US_PER_MS,
        "poll_us": policy.poll_interval_ms * US_PER_MS,
    }
    [row] = reader.statement_rows("replay", {**stratum, **window.parameters, **tried})
    figures: dict[str, Any] = {name: _figure(row[name]) for name in row if name != "handshakes"}
    return Replay(
        environment=stratum["environment"],
        service=stratum["service"],
        route=stratum["route"],
        policy_version=policy.version,
        readiness_mode=mode,
        gate=gate,
        **figures,
        unknowable=_unknowable(figures),
    )


def _figure(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return None if value is None else int(value)


def _unknowable(row: dict[str, Any]) -> tuple[str, ...]:
    said = []
    if row["unknown_readiness"]:
        said.append(
            f"of {row['unknown_readiness']} handshakes nobody saw when the application was ready (blind mode without a "
            "ready(), or the client left before): say acceptfirst.ready() to know"
        )
    if row["unknown_arrival"]:
        said.append(
            f"of {row['unknown_arrival']} handshakes nobody saw when the first message arrived: it had been waiting "
            "before it was asked for, or a gate had held it"
        )
    if row["wait_known"] < row["n_messaged"]:
        said.append(
            f"how long the first message would have waited is known of {row['wait_known']} of {row['n_messaged']}"
        )
    return tuple(said)
