"""The live page as parts, each read and drawn by itself: one that fails says so and the others still stand.

However many look at it, each part is made once: no more often than its age allows, and never so often that reading
takes more than a quarter of the time.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis import rendering
from acceptfirst_analysis.page import lanes, policies, reading, value
from acceptfirst_analysis.page.model import Alert, AlertGroup, EnvironmentSeen, Handshake
from acceptfirst_analysis.page.status import status_of
from acceptfirst_store.database import StatementRunner

AlertReader = Callable[[str], Sequence[Alert]]
"""Alerts that are pending or firing in an environment, or in all of them where it is empty."""

REST_SHARE: Final = 3  # a part rests three times as long as it took to make
MEMORIES_MAX: Final = 256  # parts times environments; the oldest goes, since anybody can ask for any environment

PARTS: Final[dict[str, float]] = {
    "status": 1.0,
    "lanes": 1.0,
    "open": 1.0,
    "alerts": 2.0,
    "races": 5.0,
    "value": 20.0,
    "advice": 5.0,
    "policy": 5.0,
}
"""Each part and how many seconds it may be old, in reading order."""

RACING: Final = "racing_lanes"
"""Stands in the place of the lanes where only those with a race are asked for."""
TEMPLATES: Final = {RACING: "lanes"}


@dataclass(frozen=True, slots=True)
class Part:
    """A drawn part; the digest tells whether a viewer has it already."""

    html: Markup
    digest: str


@dataclass(slots=True)
class _Memory:
    value: Any
    made_at: float
    took_s: float


class Board:
    """Makes the parts. Safe to share between threads; one of them reads at a time.

    Args:
        reader: the store.
        catalogue: the patterns.
        alerts: where alerts are read; ``None`` where nothing evaluates any.
        clock: gives the time, aware.
    """

    def __init__(
        self,
        reader: StatementRunner,
        catalogue: Catalogue,
        alerts: AlertReader | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.reader = reader
        self.catalogue = catalogue
        self.clock = clock
        self._alerts = alerts
        self._lock = threading.RLock()
        self._memories: dict[tuple[str, str], _Memory] = {}
        self._draws: dict[str, Callable[[str], Mapping[str, Any]]] = {
            "status": self._status,
            "lanes": self._lanes,
            RACING: self._racing_lanes,
            "open": self._open,
            "alerts": self._alerting,
            "races": self._races,
            "value": self._value_of_day,
            "advice": self._advice,
            "policy": self._policy,
        }

    def parts(self, environment: str, *, racing_only: bool = False) -> dict[str, Part]:
        """Every part.

        Args:
            environment: which one; all of them where it is empty.
            racing_only: leave lanes out of handshakes that showed no race.
        """
        drawn = {"lanes": RACING} if racing_only else {}
        with self._lock:
            return {n: self._remembered(drawn.get(n, n), environment, age_s) for n, age_s in PARTS.items()}

    def environments(self) -> tuple[EnvironmentSeen, ...]:
        """Those that sent anything lately."""
        with self._lock:
            found: tuple[EnvironmentSeen, ...] = self._value(
                "environments", "", 5.0, lambda: reading.environments(self.reader, self.clock())
            )
            return found

    def _remembered(self, name: str, environment: str, age_s: float) -> Part:
        def make() -> Part:
            html = rendering.guarded(
                name,
                lambda: rendering.part(
                    f"part_{TEMPLATES.get(name, name)}.html.j2",
                    {"now": self.clock(), "environment": environment, **self._draws[name](environment)},
                ),
            )
            return Part(html, hashlib.blake2b(html.encode(), digest_size=8).hexdigest())

        part: Part = self._value(f"part {name}", environment, age_s, make)
        return part

    def _value(self, name: str, environment: str, age_s: float, make: Callable[[], Any]) -> Any:
        key = (name, environment)
        now = time.monotonic()
        held = self._memories.get(key)
        if held is not None and now - held.made_at < max(age_s, REST_SHARE * held.took_s):
            return held.value
        value = make()
        self._memories.pop(key, None)
        while len(self._memories) >= MEMORIES_MAX:
            self._memories.pop(next(iter(self._memories)))
        done = time.monotonic()
        self._memories[key] = _Memory(value, done, done - now)
        return value

    # -- what each part is drawn from ----------------------------------------------------------------------------------

    def _status(self, environment: str) -> Mapping[str, Any]:
        now = self.clock()
        status = status_of(
            summary=reading.summary(self.reader, environment, now),
            open_now=self._open_now(environment),
            races=self._race_counts(environment),
            alerts=self._alert_rows(environment) or (),
            environments=[each for each in self.environments() if environment in ("", each.name)],
            now=now,
        )
        return {"status": status}

    def _lanes(self, environment: str) -> Mapping[str, Any]:
        found = reading.last_handshakes(self.reader, environment, self.clock())
        return {**self._drawn_lanes(found), "racing_only": False}

    def _racing_lanes(self, environment: str) -> Mapping[str, Any]:
        found = reading.last_handshakes(self.reader, environment, self.clock(), racing_only=True)
        return {**self._drawn_lanes(found), "racing_only": True}

    def _drawn_lanes(self, handshakes: Sequence[Handshake]) -> Mapping[str, Any]:
        axis = lanes.axis_of(handshakes)
        return {
            "lanes": lanes.lanes_of(handshakes, axis),
            "axis": axis,
            "several": len({each.place.environment for each in handshakes}) > 1,
            "titles": {pattern.name: pattern.title for pattern in self.catalogue},
        }

    def _open(self, environment: str) -> Mapping[str, Any]:
        return {"open_now": self._open_now(environment), "stuck_after_s": reading.STUCK_AFTER_S}

    def _alerting(self, environment: str) -> Mapping[str, Any]:
        rows = self._alert_rows(environment)
        return {"groups": None if rows is None else _grouped(rows)}

    def _races(self, environment: str) -> Mapping[str, Any]:
        return {"races": self._race_counts(environment)}

    def _advice(self, environment: str) -> Mapping[str, Any]:
        return {"advice": reading.advice(self.reader, environment)}

    def _value_of_day(self, environment: str) -> Mapping[str, Any]:
        found = value.value(self.reader, environment, self.clock())
        return {"value": found, "lambda_ms": value.LAMBDA_MS}

    def _policy(self, environment: str) -> Mapping[str, Any]:
        return {
            "policies": policies.policies(self.reader, environment),
            "steps": policies.policy_steps(self.reader, environment),
        }

    def _open_now(self, environment: str) -> Any:
        return self._value("open", environment, 1.0, lambda: reading.open_now(self.reader, environment, self.clock()))

    def _race_counts(self, environment: str) -> Any:
        return self._value(
            "races", environment, 5.0, lambda: reading.races(self.reader, self.catalogue, environment, self.clock())
        )

    def _alert_rows(self, environment: str) -> Any:
        if self._alerts is None:
            return None
        read = self._alerts
        return self._value("alerts", environment, 2.0, lambda: tuple(read(environment)))


def _grouped(alerts: Sequence[Alert]) -> tuple[AlertGroup, ...]:
    """One group a rule and state: what fires loudly first, then by how bad it is, then what began first."""
    severities = {"critical": 0, "warning": 1}
    kinds: dict[tuple[str, str], list[Alert]] = {}
    for alert in sorted(alerts, key=lambda row: (not row.is_loud, row.since or datetime.max.replace(tzinfo=UTC))):
        kinds.setdefault((alert.name, alert.state), []).append(alert)
    groups = [
        AlertGroup(
            name=rows[0].name,
            title=rows[0].title,
            severity=rows[0].severity,
            state=rows[0].state,
            runbook=rows[0].runbook,
            rows=tuple(rows),
        )
        for rows in kinds.values()
    ]
    return tuple(sorted(groups, key=lambda g: (not g.is_loud, g.state != "firing", severities.get(g.severity, 2))))
