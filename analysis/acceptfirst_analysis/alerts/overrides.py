"""What an operator sets otherwise about the rules: the ``[alerts]`` of acceptfirst.toml, checked when it is read.

Example::

    [alerts]
    slo = 0.005            # AF-01, AF-02: the share of handshakes that may fail

    [alerts.AF-04]
    threshold = 0.5        # seconds
    for_s = 300

    [alerts.AF-01.6h]      # one of the rule's two conditions
    threshold = 10

    [alerts.AF-08]
    enabled = false

The evaluator and Grafana's rule file are both made from what comes out, so they can't differ.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from acceptfirst_analysis.alerts.rules import Condition, Rule, all_rules
from acceptfirst_analysis.alerts.settings import SEVERITIES

FIXED: Final = frozenset({"long_s", "short_s"})
"""Parameters that name a condition: a window of six hours that is called ``1h`` would lie."""

_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_LOOK_S: Final = 300
_COUNT_MAX: Final = 10**9


class OverrideError(ValueError):
    """Settings that can't be used.

    Attributes:
        problems: one line each, with the setting's name, what was expected and what came.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a setting may be."""

    text: str
    fits: Callable[[Any], bool]


def _number(low: float, high: float, *, unit: str = "", whole: bool = False, open_low: bool = False) -> _Bounds:
    kind = "a whole number" if whole else "a number"
    start = f"above {low:,g}" if open_low else f"from {low:,g}"
    text = f"{kind}{unit} {start}{'' if math.isinf(high) else f' to {high:,g}'}"

    def fits(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            return False
        return math.isfinite(value) and low <= value <= high and not (open_low and value == low)

    return _Bounds(text, fits)


_SECONDS: Final = " of seconds"
_LASTING: Final = _number(0, _WEEK_S, unit=_SECONDS, whole=True)
_CONDITION: Final[Mapping[str, _Bounds]] = {"threshold": _number(0, math.inf), "for_s": _LASTING}
_PARAMETERS: Final[Mapping[str, _Bounds]] = {
    "slo": _number(0, 0.5, open_low=True),
    "events_min": _number(0, _COUNT_MAX),
    # `alerts check` looks at a range in steps of five minutes: a shorter window would fall in between.
    "window_s": _number(_LOOK_S, _DAY_S, unit=_SECONDS, whole=True),
    "older_than_s": _number(1, _LOOK_S, unit=_SECONDS, whole=True),
    "floor_share": _number(0, 1, open_low=True),
    "baseline_n_min": _number(0, _COUNT_MAX, whole=True),
    "of_environment": _Bounds("the name of an environment", lambda value: isinstance(value, str) and bool(value)),
}
_RULE: Final[Mapping[str, _Bounds]] = {
    "enabled": _Bounds("true or false", lambda value: isinstance(value, bool)),
    "severity": _Bounds(f"one of {', '.join(SEVERITIES)}", lambda value: value in SEVERITIES),
    "n_min": _number(0, _COUNT_MAX, whole=True),
    "keep_firing_s": _LASTING,
}
_FIELDS: Final = {"enabled": "is_enabled"}
_SLO: Final = "slo"


def settable(rule: Rule) -> tuple[str, ...]:
    """The names that may be set of a rule; with several conditions those of one stand under its window."""
    return (*_RULE, *_CONDITION, *_parameters(rule))


def overridden_rules(table: Any) -> tuple[Rule, ...]:
    """The rules with what an operator set otherwise.

    Args:
        table: the ``[alerts]`` of a configuration; whatever the file has there.

    Raises:
        OverrideError: with all that can't be used.
    """
    if not isinstance(table, Mapping):
        raise OverrideError([f"alerts: expected a table such as [alerts.AF-04]; got {table!r:.100}"])
    problems = _unknown("alerts", table, (_SLO, *(rule.id for rule in all_rules())))
    shared = {_SLO: table[_SLO]} if _SLO in table else {}
    problems += _unfit("alerts", shared, _PARAMETERS)
    for rule in all_rules():
        problems += _rule_problems(rule, table.get(rule.id, {}))
    if problems:
        raise OverrideError(problems)
    return tuple(_overridden(rule, table.get(rule.id, {}), shared) for rule in all_rules())


def _parameters(rule: Rule) -> tuple[str, ...]:
    return tuple(name for name in rule.conditions[0].parameters if name not in FIXED)


def _windows(rule: Rule) -> tuple[str, ...]:
    return tuple(condition.window for condition in rule.conditions if condition.window)


def _rule_problems(rule: Rule, given: Any) -> list[str]:
    place, windows = f"alerts.{rule.id}", _windows(rule)
    if not isinstance(given, Mapping):
        return [f"{place}: expected a table; got {given!r:.100}"]
    own = {name: value for name, value in given.items() if name not in windows}
    of_rule = {**_RULE, **{name: _PARAMETERS[name] for name in _parameters(rule)}}
    problems: list[str] = []
    if windows and (lost := [name for name in own if name in _CONDITION]):
        where = " or ".join(f"[{place}.{window}]" for window in windows)
        problems += [f"{place}.{name}: expected it under {where}, since the rule has two conditions" for name in lost]
        own = {name: value for name, value in own.items() if name not in lost}
    allowed = of_rule if windows else {**of_rule, **_CONDITION}
    problems += [*_unknown(place, own, (*allowed, *windows)), *_unfit(place, own, allowed)]
    for window in (each for each in windows if each in given):
        below, inner = f"{place}.{window}", given[window]
        if not isinstance(inner, Mapping):
            problems.append(f"{below}: expected a table; got {inner!r:.100}")
            continue
        problems += [*_unknown(below, inner, tuple(_CONDITION)), *_unfit(below, inner, _CONDITION)]
    return problems


def _unknown(place: str, given: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    found = []
    for name in given:
        if name in known:
            continue
        close = difflib.get_close_matches(str(name), known, 1)
        hint = f"do you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        found.append(f"{place}.{name:.60}: expected a setting; {hint}")
    return found


def _unfit(place: str, given: Mapping[str, Any], bounds: Mapping[str, _Bounds]) -> list[str]:
    return [
        f"{place}.{name}: expected {bounds[name].text}; got {value!r:.100}"
        for name, value in given.items()
        if name in bounds and not bounds[name].fits(value)
    ]


def _overridden(rule: Rule, given: Mapping[str, Any], shared: Mapping[str, Any]) -> Rule:
    own = {_FIELDS.get(name, name): given[name] for name in _RULE if name in given}
    conditions = tuple(_condition(condition, given, shared) for condition in rule.conditions)
    return dataclasses.replace(rule, **own, conditions=conditions)


def _condition(condition: Condition, given: Mapping[str, Any], shared: Mapping[str, Any]) -> Condition:
    values = {**given, **given.get(condition.window, {})} if condition.window else given
    wanted = {**shared, **values}
    parameters = {name: wanted.get(name, value) for name, value in condition.parameters.items() if name not in FIXED}
    return dataclasses.replace(
        condition,
        threshold=float(values.get("threshold", condition.threshold)),
        for_s=values.get("for_s", condition.for_s),
        parameters={**condition.parameters, **parameters},
    )
