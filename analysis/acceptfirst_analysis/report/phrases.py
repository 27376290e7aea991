"""Numbers and verdicts as words of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from acceptfirst_analysis.report.model import Comparison, Status
from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_analysis.units import milliseconds, per_cent, plural

if TYPE_CHECKING:  # bounds brings scipy along, and the live page uses these words in the collector's process
    from acceptfirst_analysis.statistics.bounds import Rate

SETTING_VERDICTS: Final = frozenset({"gate", "delay", "poll"})

P_SHOWN_MIN: Final = 0.001

VERDICT_WORDS: Final = {
    "gate": "gate on readiness",
    "poll": "poll readiness",
    "delay": "fixed delay",
    "code_fix": "fix in the code",
    "keep": "keep",
    "cliff": "on a cliff",
    "not_enough_evidence": "not enough evidence",
}

GLYPHS: Final = {"change": "▲", "fix": "◆", "fine": "●", "unknown": "○"}

STATUS_WORDS: Final = {"change": "change", "fix": "fix the code", "fine": "fine", "unknown": "not enough evidence"}


def p_value(value: float | None) -> str:
    """``p = 0.032``, ``p < 0.001``: more digits would pretend to a precision that nobody can use; empty for none."""
    if value is None:
        return ""
    return f"p < {P_SHOWN_MIN}" if value < P_SHOWN_MIN else f"p = {value:.2g}"


def interval(share: Rate) -> str:
    """``97.1 to 99.3 %`` of a share; empty where there is nothing to bound."""
    return f"{100 * share.low:.3g} to {per_cent(share.high)}" if share.n else ""


def verdict_sentence(rows: Sequence[Recommendation], comparisons: Sequence[Comparison] = ()) -> tuple[Status, str]:
    """One environment in words, and the status that its glyph shows."""
    changes = [row for row in rows if row.verdict in SETTING_VERDICTS]
    fixes = [row for row in rows if row.verdict == "code_fix"]
    kept = [row for row in rows if row.verdict == "keep"]
    parts = []
    if changes:
        parts.append(f"{plural(len(changes), 'setting')} to change ({_kinds(changes)})")
    if fixes:
        parts.append(f"{plural(len(fixes), 'route')} to fix in the code, where no delay helps")
    if kept:
        parts.append(f"{plural(len(kept), 'route')} to leave as {'it is' if len(kept) == 1 else 'they are'}")
    answered = {(row.service, row.route) for row in (*changes, *fixes, *kept)}
    open_questions = {(row.service, row.route) for row in rows} - answered
    if open_questions:
        parts.append(f"{plural(len(open_questions), 'route')} without enough evidence")
    status: Status = "change" if changes else "fix" if fixes else "fine" if kept else "unknown"
    sentence = (", ".join(parts) or "no handshakes to judge") + "."
    return status, " ".join([sentence, *_effects(comparisons)])


def _effects(comparisons: Sequence[Comparison]) -> list[str]:
    worked = sum(comparison.effect == "worked" for comparison in comparisons)
    worse = sum(comparison.effect == "worse" for comparison in comparisons)
    return [
        *([f"The last change worked on {plural(worked, 'route')}."] if worked else []),
        *([f"The last change made {plural(worse, 'route')} worse."] if worse else []),
    ]


def _kinds(rows: Sequence[Recommendation]) -> str:
    kinds = dict.fromkeys(VERDICT_WORDS[row.verdict] for row in rows)
    return ", ".join(kinds)


def delay_text(row: Recommendation) -> str:
    """What a fixed delay would have to be, bound first."""
    if row.delay_ms is not None:
        return f"at most {milliseconds(row.delay_ms)}"
    if row.delay_ms_estimate is not None:
        return f"about {milliseconds(row.delay_ms_estimate)} (no bound yet)"
    return "unknown"


def setting_in_force(values: Mapping[str, Any]) -> str:
    """The setting that a recommendation was made under, in words."""
    delay_ms = float(values.get("delay_ms", 0.0))
    mode = values.get("readiness_mode") or "unknown"
    waiting = f", fixed delay of {milliseconds(delay_ms)}" if delay_ms else ""
    return f"readiness {mode}, gate {values.get('gate') or 'observe'}{waiting}"


def goal(row: Recommendation) -> str:
    """What a recommendation asks for, in words."""
    timeout = f", timeout {milliseconds(row.timeout_ms)}" if row.timeout_ms is not None else ""
    if row.verdict == "gate":
        return f"readiness event, gate hold, no delay{timeout}"
    if row.verdict == "poll" and row.poll_interval_ms is not None:
        return f"poll every {milliseconds(row.poll_interval_ms)}{timeout}"
    if row.verdict == "delay":
        return f"fixed delay of {milliseconds(row.delay_ms or 0.0)}{timeout}"
    return VERDICT_WORDS[row.verdict]
