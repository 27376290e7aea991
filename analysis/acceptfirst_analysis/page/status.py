"""The first line of the live page: what is the matter, in one sentence, and four numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from acceptfirst_analysis.page.model import Alert, EnvironmentSeen, Mood, OpenNow, RaceCount, Status
from acceptfirst_analysis.page.reading import RECENT, STUCK_AFTER_S
from acceptfirst_analysis.report.model import Figure
from acceptfirst_analysis.units import count, milliseconds, per_cent, plural

SAMPLE_MIN: Final = 20  # below it a percentile or a share is an anecdote; the same as in the report
MINUTES: Final = int(RECENT.total_seconds() // 60)


def status_of(
    *,
    summary: Mapping[str, Any],
    open_now: OpenNow,
    races: Sequence[RaceCount],
    alerts: Sequence[Alert],
    environments: Sequence[EnvironmentSeen],
    now: datetime,
) -> Status:
    """Put the first line together.

    Args:
        summary: the row of ``live_summary``.
        open_now: what nothing has ended yet.
        races: connections with each pattern.
        alerts: pending or firing.
        environments: of those that are shown, with their newest spans.
        now: aware.
    """
    mood, sentence = _sentence(float(summary["handshakes"]), open_now, races, alerts, environments)
    return Status(
        mood=mood,
        sentence=sentence,
        figures=_figures(summary, races),
        # A backend whose clock is ahead must not make the page look fresher than it is.
        last_seen=min(max((each.last_seen for each in environments), default=now), now) if environments else None,
    )


def _sentence(
    handshakes: float,
    open_now: OpenNow,
    races: Sequence[RaceCount],
    alerts: Sequence[Alert],
    environments: Sequence[EnvironmentSeen],
) -> tuple[Mood, str]:
    if not environments:
        return "unknown", "Nothing has arrived yet."
    firing = [alert for alert in alerts if alert.is_loud]
    racing = sum(race.recent for race in races)
    troubles = []
    if firing:
        troubles.append(f"{plural(len(firing), 'alert is', 'alerts are')} firing: {', '.join(_names(firing))}.")
    if open_now.stuck:
        troubles.append(
            f"{plural(open_now.stuck, 'handshake has', 'handshakes have')} been open for over {STUCK_AFTER_S} s."
        )
    if racing:
        troubles.append(_racing(racing, sorted(races, key=lambda race: -race.recent)))
    if troubles:
        return ("change" if firing or open_now.stuck else "fix"), " ".join(troubles)
    if not handshakes:
        return "unknown", f"Quiet: no handshake began in the last {MINUTES} minutes."
    return "fine", f"Nothing races, nothing is stuck: {count(handshakes)} handshakes in {MINUTES} minutes."


def _racing(total: int, races: Sequence[RaceCount]) -> str:
    kinds = sum(race.recent > 0 for race in races)
    first, second = races[0], races[1] if kinds > 1 else None
    title = first.pattern.title if first.pattern else first.name
    if second is None:
        return f"{plural(total, 'race')} in {MINUTES} minutes: {title[:1].lower()}{title[1:]}."
    often = f", most often: {title[:1].lower()}{title[1:]}" if first.recent > second.recent else ""
    return f"{plural(total, 'race')} of {kinds} kinds in {MINUTES} minutes{often}."


def _names(alerts: Sequence[Alert]) -> list[str]:
    return list(dict.fromkeys(f"{alert.title} ({alert.name})" if alert.title else alert.name for alert in alerts))


def _figures(summary: Mapping[str, Any], races: Sequence[RaceCount]) -> tuple[Figure, ...]:
    handshakes, settled = float(summary["handshakes"]), int(summary["n_settled"])
    racing = sum(race.recent for race in races)
    accept_ms = float(summary["accept_p95_ms"])
    is_measured = int(summary["n_accepted"]) >= SAMPLE_MIN and math.isfinite(accept_ms)
    return (
        Figure(
            label="handshakes a minute",
            value=count(handshakes / MINUTES),
            interval=f"{count(handshakes)} in {MINUTES} minutes",
        ),
        Figure(
            label="reached ready",
            value=per_cent(int(summary["n_ready"]) / settled) if settled >= SAMPLE_MIN else "n too small",
            interval=f"of {count(settled)} that are settled",
        ),
        Figure(
            label="races",
            value=count(racing),
            interval=f"{count(10_000 * racing / handshakes)} per 10,000" if handshakes >= SAMPLE_MIN else "",
        ),
        Figure(
            label="accept, p95",
            value=milliseconds(accept_ms) if is_measured else "n too small",
            interval=f"of {count(int(summary['n_accepted']))} accepted",
        ),
    )
