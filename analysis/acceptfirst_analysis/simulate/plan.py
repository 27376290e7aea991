"""What is to be simulated: how many connections, where, how fast, and what goes wrong with them.

Everything follows from a plan and its seed: the same plan gives the same connections, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from acceptfirst.policy import Policy, PolicyError, default_policy

CONNECTIONS_MAX: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
WEEK: Final = timedelta(days=7)
EPISODE_VERSION: Final = "next"


class PlanError(ValueError):
    """A plan that can't be simulated; says what was expected and what came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """How long an application takes from accept to ready: a lognormal, and a share of cold ones.

    Attributes:
        median_ms: of the warm ones.
        spread: standard deviation of the logarithm.
        never: share of connections that never become ready.
    """

    median_ms: float = 6.0
    spread: float = 0.4
    never: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where connections come in: the dimensions that everything is broken down by.

    Attributes:
        policy: what holds there, its environment included. Readiness mode and gate must be given.
        service: ``service.name``.
        route: the route's template.
        readiness: how long the application takes.
        share: of the connections, relative to the other places.
    """

    policy: Policy
    service: str = "chat"
    route: str = "/ws/{room}"
    readiness: Readiness = Readiness()
    share: float = 1.0

    @property
    def mode(self) -> str:
        """How readiness is told here."""
        return self.policy.readiness_mode or "event"

    @property
    def gate(self) -> str:
        """What happens to messages that come before."""
        return self.policy.gate or "observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """A new version, from some moment on.

    Attributes:
        version: ``service.version`` from then on.
        at: the moment.
        slowdown: what the time to ready is multiplied by from then on.
    """

    version: str
    at: datetime
    slowdown: float = 1.0


READINESS_BY_ENVIRONMENT: Final[Mapping[str, Readiness]] = {
    "testing": Readiness(median_ms=2.0, spread=0.35),
    "development": Readiness(median_ms=3.0, spread=0.5),
    "staging": Readiness(median_ms=8.0, spread=0.6),
    "production": Readiness(median_ms=6.0, spread=0.4),
}
"""Hand-chosen, of the order of the incident's; not measured traffic."""


def place(environment: str, *, mode: str = "event", gate: str = "observe", sample_rate: float = 1.0) -> Place:
    """The usual place of an environment, under its default policy.

    Raises:
        PlanError: when the policy would be none.
    """
    base = default_policy(environment)
    values = {name: getattr(base, name) for name in ("delay_ladder_ms", "handshake_timeout_ms", "poll_interval_ms")}
    try:
        policy = Policy(
            environment=base.environment,
            readiness_mode=mode,  # type: ignore[arg-type] # checked by the policy itself
            gate=gate,  # type: ignore[arg-type] # the same
            sample_rate=sample_rate,
            **values,
        )
    except PolicyError as error:
        raise PlanError(str(error)) from error
    return Place(policy=policy, readiness=READINESS_BY_ENVIRONMENT[base.environment])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be simulated.

    Attributes:
        connections: how many come in, drawn or not; what many connections show together comes on top.
        since: from when, aware.
        until: until when (excluded), aware.
        seed: the same seed, the same connections.
        places: where they come in.
        faults: share of connections that show one of ``causes``, evenly spread over them.
        causes: names of ``acceptfirst_analysis.simulate.faults.FAULTS``; empty for all of them.
        episodes: how often each thing happens that only many connections show.
        fleet_causes: which of ``acceptfirst_analysis.simulate.episodes.EPISODES``; empty for all of them.
        impatient: share of clients that may send or leave before the application is ready. 0: all wait to be told.
        leave_ms: median of how long an impatient client waits for ready before it leaves; the others never do.
        cold_starts: how many times in the range the service is cold, for every connection of that time together.
        cold_ms: what a cold start adds to the time to ready, at its beginning.
        cold_s: seconds in which that falls to a third.
        drift: change of the time to ready a week, as a share; 0.1 is ten per cent more a week.
        deploys: new versions, in the order of their time.
        users: how many different ones there are; 0 where the application does not call ``identify``.
        shadow: in mode ``blind``, whether the application says all the same when it is ready.
    """

    connections: int
    since: datetime
    until: datetime
    seed: int = 1
    places: tuple[Place, ...] = ()
    faults: float = 0.05
    causes: tuple[str, ...] = ()
    episodes: int = 1
    fleet_causes: tuple[str, ...] = ()
    impatient: float = 0.2
    leave_ms: float = 20_000.0
    cold_starts: int = 2
    cold_ms: float = 400.0
    cold_s: float = 30.0
    drift: float = 0.0
    deploys: tuple[Deploy, ...] = ()
    users: int = 0
    shadow: bool = True
    version: str = field(default="1.0.0")

    def __post_init__(self) -> None:
        if not self.places:
            object.__setattr__(self, "places", (place("production"),))
        _require(
            0 <= self.connections <= CONNECTIONS_MAX,
            f"connections to be a whole number from 0 to {CONNECTIONS_MAX:,}",
            self.connections,
        )
        for name in ("since", "until"):
            instant = getattr(self, name)
            _require(instant.tzinfo is not None, f"{name} to have a time zone", instant)
        _require(self.since < self.until, "since to lie before until", f"{self.since} and {self.until}")
        _require(0 <= self.seed < 2**63, "the seed to be a whole number from 0 up", self.seed)
        for name in ("faults", "impatient"):
            _require(0 <= getattr(self, name) <= 1, f"{name} to be a share from 0 to 1", getattr(self, name))
        for name in ("cold_starts", "cold_ms", "episodes", "users"):
            _require(getattr(self, name) >= 0, f"{name} to be 0 or more", getattr(self, name))
        for name in ("leave_ms", "cold_s"):
            _require(getattr(self, name) > 0, f"{name} to be more than 0", getattr(self, name))
        _require(math.isfinite(self.drift) and self.drift > -1, "a drift above -1", self.drift)
        for deploy in self.deploys:
            _require(deploy.slowdown > 0, "a deploy to multiply by more than 0", deploy.slowdown)
        _require(sum(own.share for own in self.places) > 0, "places with a share", self.places)

    @property
    def since_ns(self) -> int:
        """The start in Unix nanoseconds."""
        return unix_ns(self.since)

    @property
    def until_ns(self) -> int:
        """The end in Unix nanoseconds."""
        return unix_ns(self.until)

    @property
    def versions(self) -> tuple[str, ...]:
        """The first version, then each deploy's, then the one that episodes deploy at places of their own."""
        return (self.version, *(deploy.version for deploy in self.deploys), EPISODE_VERSION)

    def rng(self, *purpose: int) -> np.random.Generator:
        """Random numbers that depend on the seed and on what they are for, and on nothing that was drawn before."""
        return np.random.default_rng((self.seed, *purpose))


def unix_ns(instant: datetime) -> int:
    """Unix nanoseconds of an aware instant, exact to the microsecond."""
    whole = instant.replace(microsecond=0)
    return int(whole.timestamp()) * NS_PER_S + instant.microsecond * 1000


def _require(holds: bool, expected: str, came: object) -> None:
    if not holds:
        raise PlanError(f"expected {expected}, but got {came}")
