"""What became of handshakes under two settings: counts that a canary and a before-and-after are judged by.

Both arms are counted by what can be seen whatever the setting: a message handled before the application was ready, a
handshake that ran into its timeout, an exception, a connection that ended without an answer. What only one setting can
see (how long readiness took behind a delay) is not compared with what the other sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

Harm = Literal["races", "failures", "unanswered"]
HARMS: Final[tuple[Harm, ...]] = ("races", "failures", "unanswered")


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """Counts of one arm, or of one side of a change.

    Attributes:
        n: drawn handshakes that were accepted and of which it is known how they ended.
        n_late: of those, in which the application was not ready in time: what the objective counts.
        n_races: of those, in which a message was handled too early or the handshake ran into its timeout.
        n_failed: of those, with an exception or another race.
        n_told: of those, in which anything told when the application was ready.
        races: connections with a race, drawn or not: all of them are exported.
        failures: connections with an exception or another race, drawn or not.
        n_ended: drawn connections that have ended.
        unanswered: of those, on which the application never sent anything.
        wait_ms: sum over ``n_waited`` of accept to ready, as the backend took it.
        n_waited: handshakes that have such a time.
    """

    n: int = 0
    n_late: int = 0
    n_races: int = 0
    n_failed: int = 0
    n_told: int = 0
    races: int = 0
    failures: int = 0
    n_ended: int = 0
    unanswered: int = 0
    wait_ms: float = 0.0
    n_waited: int = 0

    @property
    def wait_ms_mean(self) -> float | None:
        """Accept to ready on average; ``None`` where nothing became ready."""
        return self.wait_ms / self.n_waited if self.n_waited else None

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """The sum of rows of the statement ``arm_outcomes``."""
        listed = list(rows)
        whole = {key: sum(int(row[column]) for row in listed) for key, column in _COLUMNS.items()}
        return cls(**whole, wait_ms=sum(float(row["ready_ms_sum"]) for row in listed))


# 64-bit integers come as text where JSON was between us and the store.
_COLUMNS: Final = {
    "n": "n",
    "n_late": "n_late",
    "n_races": "n_races",
    "n_failed": "n_failed",
    "n_told": "n_told",
    "races": "races",
    "failures": "failures",
    "n_ended": "n_ended",
    "unanswered": "n_unanswered",
    "n_waited": "n_ready",
}
