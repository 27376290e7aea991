"""Whether any rule would have held in a range: for pipelines that want to stop a release.

Nothing is remembered and nobody is told. `for` is not waited for: in a pipeline, once is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from acceptfirst_analysis.alerts.evaluate import Evaluation, Sample, StatementReader, evaluate
from acceptfirst_analysis.alerts.rules import DIMENSIONS, Rule

SCHEMA_VERSION: Final = 1
STEP_S: Final = 300
"""Between two looks: the shortest window of any rule, so that nothing falls in between."""
LOOKS_MAX: Final = 2100
"""A week of looks, if there were handshakes all the time."""


class RangeTooLongError(ValueError):
    """More looks than anybody wants to wait for."""


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
        RangeTooLongError: with handshakes in too many of its parts.
        StoreError: when the store can't be read.
    """
    start = since or until - timedelta(hours=1)
    rows = reader.statement_rows(
        "alert_looks", {"since": _text(start), "until": _text(until), "step_s": STEP_S, "environment": environment}
    )
    looks = [row["look_at"].astimezone(UTC) for row in rows] if since else []
    if len(looks) > LOOKS_MAX:
        raise RangeTooLongError(
            f"expected a range with handshakes in at most {LOOKS_MAX} spans of five minutes, but got {len(looks)}; "
            "give a later --since"
        )
    instants = [*(look for look in looks if look < until), until]
    # How old the latest span is says something about now, and nothing about a range that may be long over.
    asked = [rule for rule in rules if rule.no_data == "ok"] if since else rules
    evaluations = [evaluate(reader, asked, at, environment=environment) for at in instants]
    return Check(
        since,
        until,
        sum(int(row["connections"]) for row in rows),
        sum(sample.is_judged and sample.rule.n_min > 1 for each in evaluations for sample in each.samples),
        tuple(_merged(evaluations)),
        {rule_id: error for each in evaluations for rule_id, error in each.errors.items()},
    )


def _merged(evaluations: Iterable[Evaluation]) -> list[Found]:
    found: dict[str, Found] = {}
    for evaluation in evaluations:
        for sample in evaluation.holding:
            before = found.get(sample.fingerprint)
            worst = before.sample if before and (before.sample.value or 0) >= (sample.value or 0) else sample
            found[sample.fingerprint] = Found(worst, before.first_at if before else evaluation.at, evaluation.at)
    return sorted(
        found.values(), key=lambda each: (each.sample.rule.id, each.first_at, sorted(each.sample.labels.items()))
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
