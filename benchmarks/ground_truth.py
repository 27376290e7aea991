"""Distributions of readiness times of which the truth is known: what the statistics are measured on.

Rebuilt from the quantiles of the incident's ranges (authentication 100-500 ms, a user's tools 200-1000 ms, a service
that wakes up to 10 s): hand-chosen, not measured traffic. A time that is infinite never became ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import expon, lognorm, pareto, uniform

Floats = npt.NDArray[np.float64]
SLO: Final = 0.001
LAMBDA_MS: Final = 5000.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a mixture.

    Attributes:
        weight: its share.
        draw: draws so many times in milliseconds.
        sf: the share of it above a time.
    """

    weight: float
    draw: Callable[[np.random.Generator, int], Floats]
    sf: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A mixture with a name.

    Attributes:
        name: short.
        parts: their weights sum to 1.
    """

    name: str
    parts: tuple[Part, ...]

    def draw(self, generator: np.random.Generator, n: int) -> Floats:
        """Sorted times of n handshakes."""
        counts = generator.multinomial(n, [part.weight for part in self.parts])
        return np.sort(
            np.concatenate([part.draw(generator, count) for part, count in zip(self.parts, counts, strict=True)])
        )

    def above(self, delay_ms: Any) -> Any:
        """The true share above a delay."""
        return sum(part.weight * part.sf(delay_ms) for part in self.parts)

    def cost(self, delay_ms: Any) -> Any:
        """What a delay costs everybody, in milliseconds."""
        return delay_ms + LAMBDA_MS * self.above(delay_ms)

    def oracle_cost(self) -> float:
        """Of the cheapest delay that keeps the objective, found on a grid of a tenth of a per cent."""
        grid = np.exp(np.arange(0.0, np.log(50_000.0), 0.001))
        kept = grid[self.above(grid) <= SLO]
        return float(np.min(self.cost(kept))) if len(kept) else float("inf")


def warm(weight: float, median_ms: float, sigma: float) -> Part:
    """Log-normal."""
    frozen = lognorm(sigma, scale=median_ms)
    return Part(weight, lambda g, n: g.lognormal(np.log(median_ms), sigma, n), frozen.sf)


def cold(weight: float, low_ms: float, high_ms: float) -> Part:
    """Uniform."""
    frozen = uniform(low_ms, high_ms - low_ms)
    return Part(weight, lambda g, n: g.uniform(low_ms, high_ms, n), frozen.sf)


def waking(weight: float, mean_ms: float) -> Part:
    """Exponential."""
    frozen = expon(scale=mean_ms)
    return Part(weight, lambda g, n: g.exponential(mean_ms, n), frozen.sf)


def tail(weight: float, least_ms: float, shape: float) -> Part:
    """Pareto."""
    frozen = pareto(shape, scale=least_ms)
    return Part(weight, lambda g, n: least_ms * (1.0 + g.pareto(shape, n)), frozen.sf)


def never(weight: float) -> Part:
    """Never ready."""
    return Part(weight, lambda _, n: np.full(n, np.inf), lambda delay_ms: np.ones_like(delay_ms, dtype=float))


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("S1 warm", (warm(1.0, 2.0, 0.35),)),
        Scenario("S2 noisy", (warm(1.0, 3.0, 0.55),)),
        Scenario("S3 rare cold, 0.05 %", (warm(0.9995, 6.0, 0.4), cold(0.0005, 200, 1000))),
        Scenario("S4 cold authentication, 1 %", (warm(0.99, 8.0, 0.4), cold(0.01, 100, 500))),
        Scenario(
            "S5 three kinds of cold start",
            (warm(0.9688, 8.0, 0.4), cold(0.0235, 100, 500), cold(0.0055, 200, 1000), waking(0.0022, 3500.0)),
        ),
        Scenario("S6 heavy tail, 2 %", (warm(0.98, 6.0, 0.4), tail(0.02, 20.0, 1.6))),
        Scenario("S7 bimodal", (warm(0.84, 2.1, 0.3), warm(0.16, 10.6, 0.2))),
        Scenario("S8 never ready, 0.3 %", (warm(0.997, 6.0, 0.4), never(0.003))),
    )
}
