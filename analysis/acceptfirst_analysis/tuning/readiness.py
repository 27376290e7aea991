"""How long handshakes took to become ready after accept returned, one sample a stratum.

A stratum is environment, service and route. Strata are never pooled: a cold route in a warm crowd would run at ten
times its objective while the pooled figure looked right. Within one, what ran under several settings is one sample only
where the settings are not shown to differ (``pooled_with_latest``); else the latest setting speaks alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final

import numpy as np
from scipy.stats import fisher_exact

from acceptfirst_analysis.statistics.bounds import Milliseconds
from acceptfirst_analysis.statistics.multiple import holm

StratumKey = tuple[str, str, str]

MICROSECONDS_PER_MS: Final = 1000.0
POOLING_ALPHA: Final = 0.01
POOLING_SHARES: Final = (0.95, 0.5, 0.05, 0.005, 0.001)
EVENT_MODES: Final = frozenset({"event", "polled"})  # an event or a check says when the application is ready


@dataclass(frozen=True)
class ReadinessTimes:
    """The sample of one stratum: accepted, drawn handshakes (weight above 0).

    Attributes:
        ready_ms: accept returned to ready, ascending, of those that became ready.
        waited_ms: how long the others had been waited for when they ended, ascending: the client left, the timeout ran
            out, an exception ended it, or it is still open. Not one of them is dropped.
    """

    ready_ms: Milliseconds
    waited_ms: Milliseconds

    @property
    def n(self) -> int:
        """All handshakes, whether they became ready or not."""
        return len(self.ready_ms) + len(self.waited_ms)

    @property
    def n_missing(self) -> int:
        """Those that never became ready."""
        return len(self.waited_ms)

    @cached_property
    def worst_case_ms(self) -> Milliseconds:
        """Ascending; a handshake that never became ready counts as ``inf``, above every delay."""
        if not self.n_missing:
            return self.ready_ms
        return np.concatenate([self.ready_ms, np.full(self.n_missing, np.inf)])

    def exceedances_certain(self, delay_ms: float) -> int:
        """How many were surely not ready after ``delay_ms``.

        The other side of the worst case: a client that left earlier proves nothing against the delay, so here it does
        not count. A claim that no delay is enough must hold even so.
        """
        late = len(self.ready_ms) - int(np.searchsorted(self.ready_ms, delay_ms, side="right"))
        waited = len(self.waited_ms) - int(np.searchsorted(self.waited_ms, delay_ms, side="left"))
        return late + waited

    def share_above(self, delay_ms: float) -> float:
        """The sample's worst-case share that is not ready after ``delay_ms``."""
        late = self.n - int(np.searchsorted(self.worst_case_ms, delay_ms, side="right"))
        return late / self.n if self.n else 0.0


@dataclass(frozen=True)
class Stratum:
    """One environment × service × route: its sample and the setting that its latest handshakes ran under.

    Attributes:
        environment: as the spans said.
        service: ``service.name``.
        route: ``http.route``.
        readiness_mode: of the latest handshakes: ``auto``, ``event``, ``polled`` or ``blind``.
        gate: of the latest handshakes.
        delay_applied_ms: of the latest handshakes; 0 where none was waited.
        policy_version: of the latest handshakes.
        policy_versions: how many versions the sample comes from.
        handshakes: accepted handshakes, estimated from the weights.
        n_refused: accepted, then closed by the application before it was ready: its own decision, not a race.
        n_setting: drawn handshakes under the latest setting, where it can tell readiness.
        n_violations: of those, in which the application met a client before it was ready.
        n_timed_out: of those, that ran into the handshake timeout.
        n_messaged: of those, in which the client sent anything, so that it could have come too early.
        n_measured: of those, whose spans carry our library's own measurements, so that a message that came too early
            would have been seen; 0 where another instrumentation keeps to the contract's attributes alone.
        accept_ms_max: the longest from the server handing a connection over to accept returned.
        times: the sample.
        n_set_aside: handshakes under earlier settings that are shown to differ from the latest, so that they are left
            out of the sample.
        n_skewed: handshakes that were ready before they were accepted, by their clocks; each counts as never ready.
    """

    environment: str
    service: str
    route: str
    readiness_mode: str
    gate: str
    delay_applied_ms: float
    policy_version: str
    policy_versions: int
    handshakes: float
    n_refused: int
    n_setting: int
    n_violations: int
    n_timed_out: int
    n_messaged: int
    n_measured: int
    accept_ms_max: float
    times: ReadinessTimes
    n_set_aside: int = 0
    n_skewed: int = 0

    @property
    def key(self) -> StratumKey:
        """Environment, service and route."""
        return (self.environment, self.service, self.route)

    @property
    def gate_holds(self) -> bool:
        """Whether the latest handshakes already waited for the event itself."""
        return self.gate == "hold" and self.readiness_mode in EVENT_MODES


def strata_of(rows: Sequence[Mapping[str, Any]]) -> list[Stratum]:
    """Strata from the rows of the statement ``readiness_times``: one a setting, sorted by stratum, the latest last."""
    groups = groupby(rows, key=lambda row: (str(row["environment"]), str(row["service"]), str(row["route"])))
    return [_stratum(key, list(settings)) for key, settings in groups]


def _stratum(key: StratumKey, settings: list[Mapping[str, Any]]) -> Stratum:
    latest = max(settings, key=lambda row: str(row["last_seen"]))
    telling = sorted((row for row in settings if tells_readiness(row)), key=lambda row: str(row["last_seen"]))
    samples = [_times([row]) for row in telling]
    pooled = pooled_with_latest(samples)
    return Stratum(
        *key,
        readiness_mode=str(latest["readiness_mode"]),
        gate=str(latest["gate"]),
        delay_applied_ms=float(latest["delay_applied_ms"]),
        policy_version=str(latest["policy_version"]),
        policy_versions=len({str(row["policy_version"]) for row in settings}),
        handshakes=sum(float(row["handshakes"]) for row in settings),
        n_refused=sum(int(row["n_refused"]) for row in settings),
        n_setting=int(latest["n"]) if tells_readiness(latest) else 0,
        n_violations=int(latest["n_violations"]) if tells_readiness(latest) else 0,
        n_timed_out=int(latest["n_timed_out"]),
        n_messaged=int(latest["n_messaged"]),
        n_measured=int(latest["n_measured"]),
        accept_ms_max=max(float(row["accept_ms_max"]) for row in settings),
        times=_times([telling[index] for index in pooled]),
        n_set_aside=sum(sample.n for index, sample in enumerate(samples) if index not in pooled),
        n_skewed=sum(int(row.get("n_skewed", 0)) for row in telling),
    )


def pooled_with_latest(samples: Sequence[ReadinessTimes]) -> list[int]:
    """Which samples may be one with the latest: those that are not shown to differ from it where bounds are made.

    Each is compared with the latest at the pooled times that 95, 50, 5, 0.5 and 0.1 % exceed, by Fisher's exact test;
    Holm's correction over all comparisons keeps the chance of setting one aside that is alike below ``POOLING_ALPHA``.

    Args:
        samples: the latest last.

    Returns:
        Their positions, ascending; the latest is always in.
    """
    if len(samples) < 2:  # noqa: PLR2004 - one sample has nobody to differ from
        return list(range(len(samples)))
    latest = samples[-1]
    adjusted = iter(holm([p for other in samples[:-1] for p in _differences(other, latest)]))
    alike = [
        index
        for index in range(len(samples) - 1)
        if all(p > POOLING_ALPHA for p in [next(adjusted) for _ in POOLING_SHARES])
    ]
    return [*alike, len(samples) - 1]


def _differences(one: ReadinessTimes, other: ReadinessTimes) -> list[float]:
    merged = np.sort(np.concatenate([one.worst_case_ms, other.worst_case_ms]))
    return [_difference(one, other, merged, share) for share in POOLING_SHARES]


def _difference(one: ReadinessTimes, other: ReadinessTimes, merged: Milliseconds, share: float) -> float:
    if not len(merged):
        return 1.0
    limit_ms = merged[max(0, math.ceil(len(merged) * (1 - share)) - 1)]
    late = [sample.n - int(np.searchsorted(sample.worst_case_ms, limit_ms, side="right")) for sample in (one, other)]
    table = np.array([[late[0], one.n - late[0]], [late[1], other.n - late[1]]])
    return float(fisher_exact(table).pvalue)


def _times(settings: Sequence[Mapping[str, Any]]) -> ReadinessTimes:
    return ReadinessTimes(
        ready_ms=_expand(settings, "ready_us", "ready_count"),
        waited_ms=_expand(settings, "waited_us", "waited_count"),
    )


def tells_readiness(row: Mapping[str, Any]) -> bool:
    """Whether a handshake that shows no readiness under this setting had none.

    ``blind`` and ``auto`` know nothing of readiness by themselves; where the application says in the shadow when it was
    ready, a handshake in which it did not is one that never became ready.
    """
    return row["readiness_mode"] in EVENT_MODES or len(row["ready_us"]) > 0


def _expand(settings: Sequence[Mapping[str, Any]], values_us: str, counts: str) -> Milliseconds:
    """Ascending milliseconds from whole microseconds, each with the number of handshakes that took it."""
    # 64-bit integers come as text where JSON was between us and the store.
    values = np.concatenate([np.empty(0), *(np.asarray(row[values_us], dtype=np.float64) for row in settings)])
    times = np.concatenate([np.empty(0, np.int64), *(np.asarray(row[counts], dtype=np.int64) for row in settings)])
    order = np.argsort(values)  # the distinct ones, which are far fewer
    return np.repeat(values[order] / MICROSECONDS_PER_MS, times[order])
