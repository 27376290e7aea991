"""What came of it: whether the last changes worked, what handshakes meant for users, which alerts fired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from acceptfirst_analysis.alerts.silences import LABELS, kept_silences
from acceptfirst_analysis.loop.verification import Side, Verification, verify
from acceptfirst_analysis.report.model import AlertCount, Comparison, Effect, SilenceShown
from acceptfirst_analysis.report.phrases import interval
from acceptfirst_analysis.statistics.bounds import Rate, rate
from acceptfirst_analysis.tuning.recommend import StatementReader
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.units import count, per_cent
from acceptfirst_analysis.value import business_value
from acceptfirst_analysis.window import Window

ALERTS_MAX: Final = 10_000

_EFFECTS: Final[dict[str, Effect]] = {
    "worked": "worked",
    "kept": "kept",
    "worse": "worse",
    "no_evidence": "no evidence",
}


def comparisons_of(
    reader: StatementReader, window: Window, environment: str, settings: Settings
) -> tuple[Comparison, ...]:
    """The latest change of each route, before and after, as ``acceptfirst verify`` judges it; the clearest first.

    Where only the policy's version is new and nothing is shown to differ, another route was changed, not this one.
    """
    found = verify(reader, window, environment=environment, settings=settings)
    rows = [_comparison(each, settings) for each in found if _is_change(each)]
    return tuple(sorted(rows, key=lambda row: 1.0 if row.p_value is None else row.p_value))


def _is_change(found: Verification) -> bool:
    return found.before.setting != found.after.setting or found.effect in ("worked", "worse")


def _comparison(found: Verification, settings: Settings) -> Comparison:
    before, after = found.before.counts, found.after.counts
    return Comparison(
        environment=found.environment,
        service=found.service,
        route=found.route,
        before_version=_version(found.before),
        after_version=_version(found.after),
        before=(before.n_late, before.n),
        after=(after.n_late, after.n),
        before_text=_share(found.rate_before, settings),
        after_text=_share(found.rate_after, settings),
        effect=_EFFECTS[found.effect],
        p_value=found.p_value,
        rationale=found.rationale,
    )


def _version(side: Side) -> str:
    return f"{side.policy_version or 'unknown'} ({side.setting})"


def _share(known: Rate | None, settings: Settings) -> str:
    if known is None:
        return "not known"
    # Two one-sided bounds at 97.5 % make the two-sided 95 % interval that is shown.
    shown = rate(known.events, known.n, 1 - (1 - settings.confidence) / 2)
    return f"{per_cent(shown.share)} ({interval(shown)}, n = {count(shown.n)})"


def value_document(reader: StatementReader, window: Window, environment: str, settings: Settings) -> dict[str, Any]:
    """What the handshakes of the range meant for users, as ``acceptfirst_analysis.value`` documents it."""
    return business_value(reader, window, environment=environment, settings=settings).to_document()


def alerts_fired(reader: StatementReader, window: Window, environment: str) -> tuple[AlertCount, ...]:
    """Alerts whose condition fired in the range, the most frequent first."""
    asked = {
        "environment": environment,
        "service": "",
        "route": "",
        "state": "",
        "since": _instant(window.since),
        "until": _instant(window.until),
        "limit": ALERTS_MAX,
        "before": "1970-01-01 00:00:00",
        "before_fingerprint": "",
    }
    fired = [row for row in reader.statement_rows("alerts_page", asked) if row["fired_at"].timestamp() > 0]
    fired.sort(key=_alert)
    counts = [_count(key, list(rows)) for key, rows in groupby(fired, key=_alert)]
    return tuple(sorted(counts, key=lambda each: -each.fired))


def silences_on(reader: StatementReader, window: Window, environment: str) -> tuple[SilenceShown, ...]:
    """Silences that somebody set and that were on in the range; those of one environment, and those of all."""
    kept = kept_silences(reader, since=window.since, until=window.until)
    return tuple(
        SilenceShown(
            what=", ".join(value for name in LABELS if (value := getattr(each.silence, name))),
            reason=each.silence.reason,
            by=each.by,
            since=_minute(each.set_at),
            until=_minute(each.ended_at),
            is_lifted=each.lifted_at is not None,
        )
        for each in kept
        if environment in ("", each.silence.environment) or not each.silence.environment
    )


def _minute(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def _alert(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return str(row["alertname"]), str(row["rule"]), str(row["severity"]), str(row["environment"])


def _count(key: tuple[str, str, str, str], rows: list[Mapping[str, Any]]) -> AlertCount:
    over = [row for row in rows if row["resolved_at"].timestamp() > 0]
    return AlertCount(
        name=key[0],
        rule=key[1],
        severity=key[2],
        environment=key[3],
        fired=len(rows),
        firing=len(rows) - len(over),
        mean_s=_mean((row["resolved_at"] - row["fired_at"]).total_seconds() for row in over),
    )


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return sum(listed) / len(listed) if listed else None


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
