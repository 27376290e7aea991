"""Whether any rule would have held in a range: for pipelines that want to stop a release.

Nothing is remembered and nobody is told. `for` is not waited for: in a pipeline, once is enough.

Design constraints:

- a range is looked at every five minutes, and at its end. Asking each rule at each look took a minute for a week, so
  each rule's statement has a form `<name>_range` that answers for all looks in one pass;
- the single form, which Grafana and the evaluator run, says what is right: a test compares the two on drawn data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from acceptfirst_analysis.alerts.evaluate import Sample, StatementReader, evaluate
from acceptfirst_analysis.alerts.labels import labels_of
from acceptfirst_analysis.alerts.rules import DIMENSIONS, Condition, Rule
from acceptfirst_store.errors import StoreError

SCHEMA_VERSION: Final = 1
STEP_S: Final = 300
"""Between two looks: the shortest window of any rule, so that nothing falls in between."""
_LAST_LOOK_S: Final = 4_294_967_100
"""No minute of the store lies behind it: it is the last multiple of the step that 32 bits hold."""


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that held.

    Attributes:
        sample: at its worst.
        first_at: when it held first.
        last_at: when it held last.
    """

    sample: Sample
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """What a check saw.

    Attributes:
        since: start of the range, ``None`` for one look at its end.
        until: its end.
        handshakes: connections that began in the range (or in the hour before its end), by count.
        judged: rules' answers that rested on enough handshakes.
        findings: what held.
        errors: id of a rule → why it could not be asked.
    """

    since: datetime | None
    until: datetime
    handshakes: int
    judged: int
    findings: tuple[Found, ...]
    errors: dict[str, str]

    @property
    def is_enough(self) -> bool:
        """Whether silence means anything."""
        return self.handshakes > 0 and self.judged > 0

    def to_json(self) -> dict[str, Any]:
        """The answer of ``alerts check --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat(),
            "handshakes": self.handshakes,
            "enough_data": self.is_enough,
            "findings": [_finding_json(found) for found in self.findings],
            "errors": self.errors,
        }


def check(
    reader: StatementReader,
    rules: Sequence[Rule],
    *,
    since: datetime | None,
    until: datetime,
    environment: str = "",
) -> Check:
    """Look at a range, or once.

    Args:
        reader: of the store; its rollup should be up to date.
        rules: which.
        since: aware start of the range; ``None`` to look once, at its end.
        until: aware end.
        environment: only this one; empty for all.

    Raises:
        StoreError: when the store can't be read.
    """
    start = since or until - timedelta(hours=1)
    [row] = reader.statement_rows(
        "alert_connections", {"since": _text(start), "until": _text(until), "environment": environment}
    )
    # How old the latest span is says something about now, and nothing about a range that may be long over.
    asked = [rule for rule in rules if rule.no_data == "ok"] if since else rules
    passed = look_back(reader, asked, since, until, environment=environment) if since else Passed((), 0, {})
    at_the_end = evaluate(reader, asked, until, environment=environment)
    return Check(
        since,
        until,
        int(row["connections"]),
        passed.judged + sum(sample.is_judged and sample.rule.n_min > 1 for sample in at_the_end.samples),
        tuple(_merged([*passed.findings, *(Found(sample, until, until) for sample in at_the_end.holding)])),
        {**passed.errors, **at_the_end.errors},
    )


@dataclass(frozen=True, slots=True)
class Passed:
    """What the looks in a range saw, its end left out.

    Attributes:
        findings: where conditions held, at their worst.
        judged: answers that rested on enough handshakes.
        errors: id of a rule → why it could not be asked.
    """

    findings: tuple[Found, ...]
    judged: int
    errors: Mapping[str, str]


def look_back(
    reader: StatementReader,
    rules: Iterable[Rule],
    since: datetime,
    until: datetime,
    *,
    environment: str = "",
    step_s: int = STEP_S,
) -> Passed:
    """Look at every whole multiple of a step behind a start and before an end.

    Args:
        reader: of the store; its rollup should be up to date.
        rules: which.
        since: aware start.
        until: aware end.
        environment: only this one; empty for all.
        step_s: between two looks; whole minutes.
    """
    first_s = (max(0, int(since.timestamp())) // step_s + 1) * step_s
    last_s = min(_LAST_LOOK_S, (math.ceil(until.timestamp() / step_s) - 1) * step_s)
    if first_s > last_s:
        return Passed((), 0, {})
    looks = {"first_s": first_s, "last_s": last_s, "step_s": step_s, "environment": environment}
    findings: list[Found] = []
    judged = 0
    errors: dict[str, str] = {}
    for rule in rules:
        try:
            for condition, row in _answers(reader, rule, looks):
                judged += int(row["judged"]) if rule.n_min > 1 else 0
                findings += [_found(rule, condition, row)] if row["value"] is not None else []
        except StoreError as error:  # one statement that fails must not silence the other rules
            errors[rule.id] = str(error)
    return Passed(tuple(findings), judged, errors)


def _answers(
    reader: StatementReader, rule: Rule, looks: Mapping[str, Any]
) -> Iterator[tuple[Condition, Mapping[str, Any]]]:
    for condition in rule.conditions:
        limits = {"threshold": condition.threshold, "n_min": rule.n_min}
        for row in reader.statement_rows(f"{rule.statement}_range", {**condition.parameters, **looks, **limits}):
            yield condition, row


def _found(rule: Rule, condition: Condition, row: Mapping[str, Any]) -> Found:
    sample = Sample(
        rule=rule,
        condition=condition,
        labels=labels_of(rule, condition, row),
        value=float(row["value"]),
        n=int(row["n"]),
        holds=True,
    )
    first_at, last_at = (datetime.fromtimestamp(int(row[name]), UTC) for name in ("first_s", "last_s"))
    return Found(sample, first_at, last_at)


def _merged(every: Iterable[Found]) -> list[Found]:
    """One a set of labels: the worst, the first of the firsts and the last of the lasts."""
    merged: dict[str, Found] = {}
    for found in every:
        before = merged.setdefault(found.sample.fingerprint, found)
        worst = max(before.sample, found.sample, key=lambda sample: sample.value or 0)
        first_at, last_at = min(before.first_at, found.first_at), max(before.last_at, found.last_at)
        merged[found.sample.fingerprint] = Found(worst, first_at, last_at)
    return sorted(
        merged.values(), key=lambda each: (each.sample.rule.id, each.first_at, sorted(each.sample.labels.items()))
    )


def _finding_json(found: Found) -> dict[str, Any]:
    sample = found.sample
    return {
        **{name: sample.labels.get(name, "") for name in ("rule", "alertname", "severity", "window", *DIMENSIONS)},
        "value": sample.value,
        "threshold": sample.condition.threshold,
        "n": sample.n,
        "summary": sample.sentence(sample.rule.summary),
        "first_at": found.first_at.isoformat(),
        "last_at": found.last_at.isoformat(),
    }


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
