"""What holds for all connections of a time together: cold starts, drift, versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from acceptfirst_analysis.simulate.group import Bool, Float64, Int64
from acceptfirst_analysis.simulate.plan import NS_PER_S, WEEK, Place, Plan, unix_ns

_COLD_STARTS: Final = 1
"""What the random numbers of this module are for; see ``Plan.rng``."""
_COLD_FOR: Final = 3.0
"""Time constants of a cold start after which it is over: five per cent are left."""


@dataclass(frozen=True)
class Climate:
    """The weather of a plan.

    Attributes:
        plan: the plan.
        cold_ns: when the cold starts began, Unix nanoseconds, sorted.
    """

    plan: Plan
    cold_ns: Int64

    @classmethod
    def of(cls, plan: Plan) -> Climate:
        """The climate of a plan: its cold starts lie at random, and one at each deploy."""
        if not plan.cold_starts or not plan.cold_ms:
            return cls(plan, np.zeros(0, np.int64))
        drawn = plan.rng(_COLD_STARTS).integers(plan.since_ns, plan.until_ns, plan.cold_starts)
        deployed = [unix_ns(deploy.at) for deploy in plan.deploys]
        return cls(plan, np.sort(np.concatenate([drawn, np.array(deployed, np.int64)])))

    def cold_extra_ms(self, started_ns: Int64) -> Float64:
        """What the cold start that is under way adds to the time to ready; 0 where none is."""
        if not len(self.cold_ns):
            return np.zeros(len(started_ns))
        before = np.searchsorted(self.cold_ns, started_ns, side="right") - 1
        since_s = np.where(before >= 0, (started_ns - self.cold_ns[np.maximum(before, 0)]) / NS_PER_S, np.inf)
        return np.where(
            since_s < _COLD_FOR * self.plan.cold_s, self.plan.cold_ms * np.exp(-since_s / self.plan.cold_s), 0.0
        )

    def is_cold(self, started_ns: Int64) -> Bool:
        """Whether the service was cold then."""
        return self.cold_extra_ms(started_ns) > 0

    def version_at(self, started_ns: Int64) -> Int64:
        """Which of the plan's versions served then."""
        deployed = np.array([unix_ns(deploy.at) for deploy in self.plan.deploys], np.int64)
        return np.searchsorted(deployed, started_ns, side="right").astype(np.int64)

    def ready_ms(self, place: Place, started_ns: Int64, rng: np.random.Generator) -> Float64:
        """Accept to ready of each connection; infinite where the application never becomes ready."""
        own = place.readiness
        warm = own.median_ms * np.exp(own.spread * rng.standard_normal(len(started_ns)))
        weeks = (started_ns - self.plan.since_ns) / (WEEK.total_seconds() * NS_PER_S)
        slowdowns = np.array([1.0, *(deploy.slowdown for deploy in self.plan.deploys)])
        drifted = warm * (1.0 + self.plan.drift) ** weeks * slowdowns[self.version_at(started_ns)]
        cold = self.cold_extra_ms(started_ns) * np.exp(0.2 * rng.standard_normal(len(started_ns)))
        never = rng.random(len(started_ns)) < own.never
        return np.where(never, np.inf, drifted + cold)
