"""The alert rules, read from ``rules.toml``; what a rule's keys mean stands there."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Severity = Literal["critical", "warning", "info"]

DIMENSIONS: Final = ("environment", "service", "route", "pattern")
"""What a statement tells apart, and so the labels of an alert, besides those of its rule."""

_NEARLY: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a rule holds.

    Attributes:
        threshold: the value must lie above it.
        for_s: for how long it must hold before anybody is told.
        window: tells the conditions of one rule apart; empty where it has one.
        parameters: of the statement.
    """

    threshold: float
    for_s: int
    window: str = ""
    parameters: Mapping[str, Any]

    @property
    def words(self) -> dict[str, str]:
        """Its threshold and parameters as they stand in a rule's sentences."""
        values = {"threshold_s": self.threshold, **self.parameters}
        return {name: _word(name, value) for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; see ``rules.toml``.

    Attributes:
        id: ``AF-01``; the name of its runbook.
        name: ``alertname`` of its alerts.
        severity: who is to be woken.
        statement: the named statement that it asks.
        summary: one line, with fields.
        description: what it means, with fields.
        n_min: fewer handshakes than this decide nothing.
        keep_firing_s: how long it must not hold before the alert is over.
        no_data: whether no answer at all is fine or an alert.
        panel: uid of the board and id of the panel that show it.
        conditions: one or more.
        is_enabled: whether it is asked at all.
    """

    id: str
    name: str
    severity: Severity
    statement: str
    summary: str
    description: str
    n_min: int
    keep_firing_s: int
    panel: tuple[str, int]
    conditions: tuple[Condition, ...]
    no_data: Literal["ok", "alerting"] = "ok"
    is_enabled: bool = True

    @property
    def runbook(self) -> str:
        """Name of its runbook's file."""
        return f"{self.id}.md"


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """The rules, in the order of their ids."""
    text = importlib.resources.files(__package__).joinpath("rules.toml").read_text(encoding="utf-8")
    return tuple(_rule(values) for values in tomllib.loads(text)["rules"])


def rules_without(disabled: tuple[str, ...], rules: tuple[Rule, ...] = ()) -> tuple[Rule, ...]:
    """The rules that are left when some are switched off.

    Args:
        disabled: ids.
        rules: as an operator set them; those of this version where there are none.

    Raises:
        ValueError: an id that no rule has.
    """
    known = {rule.id for rule in all_rules()}
    if unknown := sorted(set(disabled) - known):
        raise ValueError(f"expected ids of rules ({', '.join(sorted(known))}), but got {', '.join(unknown)[:200]}")
    return tuple(rule for rule in rules or all_rules() if rule.is_enabled and rule.id not in disabled)


def _rule(values: Mapping[str, Any]) -> Rule:
    conditions = tuple(Condition(**condition) for condition in values["conditions"])
    uid, number = values["panel"]
    return Rule(**{**values, "conditions": conditions, "panel": (uid, number)})


def _word(name: str, value: Any) -> str:
    if name.endswith("_s"):
        return _time(float(value))
    if name in ("slo", "floor_share"):
        return f"1 in {1 / value:,.0f}" if abs(1 / value - round(1 / value)) < _NEARLY else f"{100 * value:g} %"
    return str(value) or "any environment"


def _time(seconds: float) -> str:
    for unit_s, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit_s and seconds % unit_s == 0:
            number = round(seconds / unit_s)
            return f"{number} {unit}{'s' * (number != 1)}"
    return f"{seconds:g} s"
