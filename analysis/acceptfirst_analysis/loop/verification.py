"""Whether the last change of a setting worked: each stratum's latest setting against the one before it.

Two fixed samples, looked at once: Fisher's exact test, with Holm's correction over everything that is asked at once.
What is compared is what the objective counts (the application was not ready in time), and that nothing else became
worse: exceptions and connections that ended without an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import fisher_exact

from acceptfirst_analysis.loop.arms import ArmCounts
from acceptfirst_analysis.statistics.bounds import Rate, rate, samples_required
from acceptfirst_analysis.statistics.multiple import holm
from acceptfirst_analysis.tuning.recommend import StatementReader
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.units import milliseconds, per_cent
from acceptfirst_analysis.window import BEGINNING, Window

SCHEMA_VERSION: Final = 1

Effect = Literal["worked", "kept", "worse", "no_evidence"]
Row = Mapping[str, Any]

_SIDES: Final[tuple[tuple[str, str, str], ...]] = (
    ("n_late", "n", "were not ready in time"),
    ("n_failed", "n", "had an exception or another race"),
    ("unanswered", "n_ended", "ended without an answer"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a change.

    Attributes:
        policy_version: of the latest handshakes on this side.
        setting: the setting in words.
        since: of the first handshake, as the store has it.
        until: of the last.
        counts: what happened.
        is_held: whether messages were held until ready.
    """

    policy_version: str
    setting: str
    since: str
    until: str
    counts: ArmCounts
    is_held: bool

    @property
    def is_told(self) -> bool:
        """Whether anything told when the application was ready, in most of the handshakes."""
        return self.counts.n_told * 2 >= self.counts.n > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a change of one stratum did.

    Attributes:
        environment: where.
        service: where.
        route: where.
        before: under the setting before.
        after: under the latest one.
        effect: ``worked`` (shown to be better), ``kept`` (not shown, but the objective is shown to be kept), ``worse``
            (shown), ``no_evidence``.
        objective_met: whether the latest setting is shown to keep the objective, or to break it; ``None``: neither.
        rate_before: share that was not ready in time, with its bounds; ``None`` where nothing told.
        rate_after: the same under the latest setting.
        p_value: of the difference, Holm-adjusted over all that was asked at once.
        rationale: in sentences.
    """

    environment: str
    service: str
    route: str
    before: Side
    after: Side
    effect: Effect
    objective_met: bool | None
    rate_before: Rate | None
    rate_after: Rate | None
    p_value: float | None
    rationale: str

    def to_row(self) -> dict[str, Any]:
        """The row as JSON carries it."""
        return asdict(self)


def verify(
    reader: StatementReader, window: Window, *, environment: str = "", settings: Settings | None = None
) -> list[Verification]:
    """What the last change of each stratum did; a stratum whose setting never changed is not in it.

    Args:
        reader: an open ``Database`` or a ``RemoteStore``.
        window: handshakes first seen in it; where it holds no change, the range of the same length before it is the
            other side.
        environment: only this one; empty for all.
        settings: objective and confidence; ``None`` for the defaults.

    Raises:
        StoreError: when the store can't be read.
    """
    parameters = {"environment": environment, **window.parameters}
    rows = _outside_canaries(reader.statement_rows("arm_outcomes", parameters))
    if rows and window.since > BEGINNING and not any(len(sides) > 1 for sides in _sides(rows).values()):
        earlier = {"environment": environment, **window.previous().parameters}
        rows = [*_outside_canaries(reader.statement_rows("arm_outcomes", earlier)), *rows]
    return verifications(rows, settings or Settings())


def verifications(rows: Sequence[Row], settings: Settings) -> list[Verification]:
    """The same from rows of the statement ``arm_outcomes``, without those of canaries."""
    changed = {key: sides[-2:] for key, sides in _sides(rows).items() if len(sides) > 1}
    if not changed:
        return []
    p_values = iter(holm([p for sides in changed.values() for p in _p_values(*sides)]))
    adjusted = {key: [next(p_values) for _ in _SIDES] for key in changed}
    return [_verification(key, (before, after), adjusted[key], settings) for key, (before, after) in changed.items()]


def to_document(
    found: Sequence[Verification], window: Window, settings: Settings, decisions: Sequence[Row] = ()
) -> dict[str, Any]:
    """The JSON that ``verify --json`` prints.

    Args:
        found: of ``verify``.
        window: the range.
        settings: objective and confidence.
        decisions: the latest step of each environment's policy.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "window": {**window.parameters, "week": window.week, "provisional": window.provisional},
        "settings": {"slo": settings.slo, "confidence": settings.confidence},
        "changes": [row.to_row() for row in found],
        "decisions": [dict(row) for row in decisions],
    }


def _outside_canaries(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["policy_arm"] != "canary"]


def _sides(rows: Sequence[Row]) -> dict[tuple[str, str, str], list[Side]]:
    """The settings of each stratum in the order in which they were last seen; only those with a known handshake."""
    known = sorted((row for row in rows if int(row["n"])), key=_key)
    return {key: _settings_of(list(group)) for key, group in groupby(known, key=_key)}


def _settings_of(rows: Sequence[Row]) -> list[Side]:
    """One side a setting; where the setting never changed but the policy's version did, one side a version."""
    for identity in (_setting, lambda row: row["policy_version"]):
        groups: dict[Any, list[Row]] = {}
        for row in sorted(rows, key=lambda row: str(row["last_seen"])):
            groups.setdefault(identity(row), []).append(row)
        if len(groups) > 1:
            break
    ordered = sorted(groups.values(), key=lambda group: str(group[-1]["last_seen"]))
    return [_side(group) for group in ordered]


def _side(rows: Sequence[Row]) -> Side:
    latest = rows[-1]
    delay_ms = float(latest["delay_applied_ms"])
    waiting = f", delay {milliseconds(delay_ms)}" if latest["readiness_mode"] == "blind" else ""
    return Side(
        policy_version=str(latest["policy_version"]),
        setting=f"{latest['readiness_mode'] or 'unknown'}, {latest['gate'] or 'observe'}{waiting}",
        since=min(str(row["first_seen"]) for row in rows),
        until=str(latest["last_seen"]),
        counts=ArmCounts.of(rows),
        is_held=latest["gate"] == "hold",
    )


def _setting(row: Row) -> tuple[object, ...]:
    return row["readiness_mode"], row["gate"], row["delay_applied_ms"]


def _key(row: Row) -> tuple[str, str, str]:
    return (str(row["environment"]), str(row["service"]), str(row["route"]))


def _p_values(before: Side, after: Side) -> list[float]:
    return [_p_value(before, after, events, n) for events, n, _ in _SIDES]


def _p_value(before: Side, after: Side, events: str, n: str) -> float:
    """Two-sided for the objective, one-sided for harm: that something else became better is not the question."""
    if events == "n_late" and not (before.is_told and after.is_told):
        return 1.0  # silence on one side can't be compared with speech on the other
    pairs = [(int(getattr(side.counts, events)), int(getattr(side.counts, n))) for side in (after, before)]
    table = np.array([[k, total - k] for k, total in pairs])
    return float(fisher_exact(table, alternative="two-sided" if events == "n_late" else "greater").pvalue)


def _verification(
    key: tuple[str, str, str], sides: tuple[Side, Side], adjusted: Sequence[float], settings: Settings
) -> Verification:
    before, after = sides
    alpha = 1.0 - settings.confidence
    rate_before, rate_after = (_rate(side, settings) for side in (before, after))
    is_met = _objective(rate_after, settings)
    effect: Effect = "kept" if is_met else "no_evidence"
    harms = [words for p, (_, _, words) in zip(adjusted[1:], _SIDES[1:], strict=True) if p <= alpha]
    if adjusted[0] <= alpha and rate_before is not None and rate_after is not None:
        effect = "worked" if rate_after.share < rate_before.share else "worse"
    if harms:
        effect = "worse"
    found = Verification(
        environment=key[0],
        service=key[1],
        route=key[2],
        before=before,
        after=after,
        effect=effect,
        objective_met=is_met,
        rate_before=rate_before,
        rate_after=rate_after,
        p_value=adjusted[0] if rate_before is not None and rate_after is not None else None,
        rationale="",
    )
    return replace(found, rationale=_rationale(found, harms, settings))


def _rate(side: Side, settings: Settings) -> Rate | None:
    return rate(side.counts.n_late, side.counts.n, settings.confidence) if side.is_told else None


def _objective(after: Rate | None, settings: Settings) -> bool | None:
    if after is None:
        return None
    if after.high <= settings.slo:
        return True
    return False if after.low > settings.slo else None


def _rationale(found: Verification, harms: Sequence[str], settings: Settings) -> str:
    sentences = [_compared(found)]
    sentences += [f"More connections than before {words}." for words in harms]
    if found.objective_met is not None:
        kept = "keeps" if found.objective_met else "still breaks"
        sentences.append(f"It {kept} the objective of {per_cent(settings.slo)} ({per_cent(settings.confidence)}).")
    elif found.rate_after is not None:
        needed = samples_required(found.rate_after.events, settings.slo, settings.confidence)
        missing = max(needed - found.rate_after.n, 1)
        sentences.append(f"{missing:,} more handshakes without another would show that it keeps the objective.")
    else:
        sentences.append("Nothing tells when the application is ready: call acceptfirst.ready(websocket) where it is.")
    return " ".join(sentences)


def _compared(found: Verification) -> str:
    sides = ((found.before, found.rate_before), (found.after, found.rate_after))
    before, after = (
        f"{_said(*side)} under {side[0].policy_version or 'unknown'} ({side[0].setting})" for side in sides
    )
    return f"{before[0].upper()}{before[1:]}, {after}."


def _said(side: Side, shown: Rate | None) -> str:
    if shown is None:
        return f"it is not known how many of {side.counts.n:,} were ready in time"
    return f"{shown.events:,} of {shown.n:,} ({per_cent(shown.share)}) were not ready in time"
