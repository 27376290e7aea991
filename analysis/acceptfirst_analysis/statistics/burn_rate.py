"""Multi-window burn rates with a guard for low traffic, as pure functions of counts.

The burn rate is the violation rate in units of the objective: at 1 the error budget of the period is used up when the
period ends. A rule fires when a long window shows that it matters and a short one that it still goes on (Google SRE
workbook, chapter 5; the windows are those of the Prometheus mixins). With 60 handshakes an hour a single violation is
16 times the objective: without a least number of events such a rule cries wolf in 71 of 100 quiet weekends, with it in
none. Below about 600 handshakes an hour ``acceptfirst_analysis.statistics.sequential.log_change_evidence`` says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

EVENTS_MIN: Final = 3


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in a window of time.

    Attributes:
        events: violations.
        n: handshakes.
    """

    events: float
    n: float

    def burn(self, slo: float) -> float:
        """How many times faster than the objective allows the budget is used up; 0 where nothing happened."""
        return self.events / self.n / slo if self.n > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BurnRule:
    """One pair of windows.

    Attributes:
        severity: ``page`` for somebody now, ``ticket`` for somebody this week.
        long_minutes: the window that must show that it matters.
        short_minutes: the window that must show that it goes on.
        burn: what both must reach.
    """

    severity: Literal["page", "ticket"]
    long_minutes: int
    short_minutes: int
    burn: float

    def is_burning(self, long: Window, short: Window, slo: float, events_min: int = EVENTS_MIN) -> bool:
        """Whether the rule fires.

        Args:
            long: the latest ``long_minutes``.
            short: the latest ``short_minutes``.
            slo: share of handshakes that may be violated, in (0, 1).
            events_min: violations that the long window must hold; 1 switches the guard off.
        """
        if not 0.0 < slo < 1.0:
            raise ValueError(f"expected slo to lie between 0 and 1 (0.001 is one in a thousand), but got {slo!r}")
        return long.events >= events_min and long.burn(slo) >= self.burn and short.burn(slo) >= self.burn


#: For an objective over 30 days; the first two use up 2 % and 5 % of its budget, the others 10 %.
BURN_RULES: Final = (
    BurnRule("page", 60, 5, 14.4),
    BurnRule("page", 360, 30, 6.0),
    BurnRule("ticket", 1440, 120, 3.0),
    BurnRule("ticket", 4320, 360, 1.0),
)


def burning(windows: Mapping[int, Window], slo: float, *, events_min: int = EVENTS_MIN) -> tuple[BurnRule, ...]:
    """The rules that fire, the most urgent first.

    Args:
        windows: what happened in the latest so many minutes, for each length in ``BURN_RULES``.
        slo: share of handshakes that may be violated.
        events_min: see ``BurnRule.is_burning``.
    """
    return tuple(
        rule
        for rule in BURN_RULES
        if rule.is_burning(windows[rule.long_minutes], windows[rule.short_minutes], slo, events_min)
    )
