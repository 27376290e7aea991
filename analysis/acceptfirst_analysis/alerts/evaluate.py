"""Asks each rule's statement, and says where its condition holds at an instant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from acceptfirst_analysis.alerts.labels import fingerprint_of, labels_of
from acceptfirst_analysis.alerts.rules import DIMENSIONS, Condition, Rule
from acceptfirst_store.errors import StoreError

ALERTS_PER_RULE_MAX: Final = 200


class StatementReader(Protocol):
    """Whoever runs named statements: an open ``Database``, or a ``RemoteStore``."""

    def statement_rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run the statement ``name`` and return its rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one condition found for one set of labels.

    Attributes:
        rule: which.
        condition: which of its.
        labels: of the alert that it is, or would be.
        value: what was measured; ``None`` where nothing is known at all.
        n: handshakes that it was measured on.
        holds: whether the condition does.
    """

    rule: Rule
    condition: Condition
    labels: Mapping[str, str]
    value: float | None
    n: int
    holds: bool

    @property
    def fingerprint(self) -> str:
        """Of the labels."""
        return fingerprint_of(self.labels)

    @property
    def is_judged(self) -> bool:
        """Whether there were enough handshakes to decide."""
        return self.n >= self.rule.n_min

    def sentence(self, template: str) -> str:
        """A rule's summary or description, filled in."""
        fields = {name: self.labels.get(name, "") for name in DIMENSIONS}
        value = "?" if self.value is None else f"{self.value:.4g}"
        return " ".join(template.format(**fields, **self.condition.words, value=value).split())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What all rules found at an instant.

    Attributes:
        at: the instant, aware.
        samples: of all rules that could be asked, also where the condition does not hold.
        errors: id of a rule → why it could not be asked.
    """

    at: datetime
    samples: tuple[Sample, ...]
    errors: Mapping[str, str]

    @property
    def holding(self) -> tuple[Sample, ...]:
        """The samples whose condition holds."""
        return tuple(sample for sample in self.samples if sample.holds)


def evaluate(reader: StatementReader, rules: Iterable[Rule], at: datetime, *, environment: str = "") -> Evaluation:
    """Ask every rule.

    Args:
        reader: of the store; its rollup should be up to date.
        rules: which.
        at: aware instant; nothing after it is looked at.
        environment: only this one; empty for all.
    """
    samples: list[Sample] = []
    errors: dict[str, str] = {}
    for rule in rules:
        try:
            samples += _asked(reader, rule, at, environment)
        except StoreError as error:  # one statement that fails must not silence the other rules
            errors[rule.id] = str(error)
    return Evaluation(at, tuple(samples), errors)


def statement_parameters(condition: Condition, at: datetime, environment: str) -> dict[str, Any]:
    """The parameters of an alert's statement."""
    return {**condition.parameters, "at": _text(at), "environment": environment}


def _asked(reader: StatementReader, rule: Rule, at: datetime, environment: str) -> Sequence[Sample]:
    samples: list[Sample] = []
    for condition in rule.conditions:
        rows = reader.statement_rows(rule.statement, statement_parameters(condition, at, environment))
        found = [_sample(rule, condition, row) for row in rows if row["value"] is not None]
        if not found and rule.no_data == "alerting":
            found = [_sample(rule, condition, {})]
        samples += sorted(found, key=lambda sample: not sample.holds)[:ALERTS_PER_RULE_MAX]
    return samples


def _sample(rule: Rule, condition: Condition, row: Mapping[str, Any]) -> Sample:
    value = float(row["value"]) if row else None
    n = int(row.get("n", 0))
    is_known = value is not None and math.isfinite(value)
    holds = not row or (value is not None and is_known and value > condition.threshold and n >= rule.n_min)
    return Sample(
        rule=rule,
        condition=condition,
        labels=labels_of(rule, condition, row),
        value=value if is_known else None,
        n=n,
        holds=holds,
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
