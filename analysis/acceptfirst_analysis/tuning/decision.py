"""What a lead is told about one stratum's timing: a table, and the three questions whose answers lead into it.

How is readiness told and what does that cost (``Telling``)? Is the objective kept as things are (``Objective``)? Would
a fixed delay do (``DelayOutlook``)? Each cell of the table names an ``Advice``; what that says in words and figures is
``acceptfirst_analysis.tuning.verdict``'s.

The rules behind the cells:

- Where the objective is shown to be kept, nothing is changed, unless a delay that everybody waits for is shown to be
  longer than it need be. In ``auto`` mode no message can come before readiness, so there nothing else counts.
- Where the application says itself when it is ready, a message that comes too early is cured by holding it until then;
  that needs no number. A polled check is held on in the same way; nobody may be told to wait for an event that the
  application does not send.
- Where a delay stands in for the event, the answer is a delay, so long as one within the guardrail is enough.
- Where nothing tells how messages went, how long readiness took decides alone.
- That no delay is enough takes hundreds of handshakes to show, which one is takes thousands: so that is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from acceptfirst_analysis.statistics.bounds import Rate, rate, rate_is_above
from acceptfirst_analysis.tuning.readiness import EVENT_MODES, ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Settings

KEEP_SLACK: Final = 1.25
"""A delay in force that is at most a quarter above the one that is needed is not worth a change."""


class Telling(Enum):
    """How the latest handshakes told when they were ready, and who waited for it."""

    NOTHING = auto()
    """Nothing tells it: ``auto`` or ``blind`` without ``acceptfirst.ready()``."""

    HELD = auto()
    """An event or a check tells it, and messages are held until then."""

    AUTO = auto()
    """The first receive; ``acceptfirst.ready()`` tells beside it. Nobody waits, and no message can come before it."""

    EVENT = auto()
    """``acceptfirst.ready()``; nobody waits for it."""

    POLLED = auto()
    """A check; nobody waits for it."""

    WATCHED = auto()
    """A delay that stands in for it, but nobody waits for that; ``acceptfirst.ready()`` tells beside it."""

    DELAYED = auto()
    """A delay that stands in for it and that everybody waits for; ``acceptfirst.ready()`` tells beside it."""


class Objective(Enum):
    """Whether clients meet an application that is not ready, under the setting in force."""

    KEPT = auto()
    """The upper bound of the share that does is at most the objective."""

    UNSEEN = auto()
    """Nobody did, but too few handshakes are there to show that the objective is kept."""

    OPEN = auto()
    """Some did; it is shown neither that the objective is kept nor that it is not."""

    BROKEN = auto()
    """It is shown that more did than may."""

    UNTOLD = auto()
    """The spans don't tell how messages went: they come from another instrumentation."""


class DelayOutlook(Enum):
    """What a fixed delay could do."""

    HOPELESS = auto()
    """It is shown that none within the guardrail is enough."""

    UNKNOWN = auto()
    """None can be bounded: too few handshakes, or too many that never became ready."""

    CLIFF = auto()
    """Bound and estimate are so far apart that the answer lies on a cliff."""

    ABOVE = auto()
    """The bound is above the guardrail, and it is not shown that every delay within it fails."""

    ENOUGH = auto()
    """One within the guardrail is enough."""


class Advice(Enum):
    """What a cell of the table says."""

    TELL = auto()
    """``not_enough_evidence``: nothing tells readiness; say when the application is ready."""

    COUNT = auto()
    """``not_enough_evidence``: so many more handshakes show whether the objective is kept."""

    BOUND = auto()
    """``not_enough_evidence``: so many more handshakes bound a delay, or show that none is enough."""

    KEEP = auto()
    """``keep``: the objective is kept."""

    KEEP_HELD = auto()
    """``keep``: messages are held already."""

    FIT = auto()
    """``delay``, or ``keep`` where the delay in force is the one that is needed."""

    TRIM = auto()
    """``delay`` or ``gate`` where the delay in force is shown to be longer than it need be; else ``keep``."""

    DELAY = auto()
    """``delay``: nobody waits yet, and a delay is enough."""

    CLIFF = auto()
    """``cliff``: don't pick a number."""

    GATE = auto()
    """``gate``: no delay within the guardrail is enough."""

    HOLD = auto()
    """``gate``: messages come too early, and the application says itself when it is ready."""

    POLL = auto()
    """``poll``: messages come too early, and a check tells when the application is ready."""

    LEAK = auto()
    """A gate that does not keep the objective: ``code_fix``, or ``gate`` or ``poll`` with a longer timeout."""


def _row(hopeless: Advice, unknown: Advice, cliff: Advice, above: Advice, enough: Advice) -> dict[DelayOutlook, Advice]:
    return dict(zip(DelayOutlook, (hopeless, unknown, cliff, above, enough), strict=True))


def _always(advice: Advice) -> dict[DelayOutlook, Advice]:
    return dict.fromkeys(DelayOutlook, advice)


_T, _O, _A = Telling, Objective, Advice

TABLE: Final[Mapping[tuple[Telling, Objective], Mapping[DelayOutlook, Advice]]] = {
    **{(_T.NOTHING, objective): _always(_A.TELL) for objective in Objective},
    (_T.HELD, _O.KEPT): _always(_A.KEEP_HELD),
    (_T.HELD, _O.UNSEEN): _always(_A.KEEP_HELD),
    (_T.HELD, _O.OPEN): _always(_A.KEEP_HELD),
    (_T.HELD, _O.BROKEN): _always(_A.LEAK),
    (_T.HELD, _O.UNTOLD): _always(_A.KEEP_HELD),
    #                        HOPELESS  UNKNOWN   CLIFF     ABOVE     ENOUGH
    (_T.AUTO, _O.KEPT): _always(_A.KEEP),
    (_T.AUTO, _O.UNSEEN): _always(_A.COUNT),
    (_T.AUTO, _O.OPEN): _row(_A.GATE, _A.COUNT, _A.COUNT, _A.COUNT, _A.COUNT),
    (_T.AUTO, _O.BROKEN): _row(_A.GATE, _A.HOLD, _A.HOLD, _A.HOLD, _A.HOLD),
    (_T.AUTO, _O.UNTOLD): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.DELAY),
    (_T.EVENT, _O.KEPT): _always(_A.KEEP),
    (_T.EVENT, _O.UNSEEN): _row(_A.GATE, _A.COUNT, _A.COUNT, _A.COUNT, _A.COUNT),
    (_T.EVENT, _O.OPEN): _row(_A.GATE, _A.COUNT, _A.COUNT, _A.COUNT, _A.COUNT),
    (_T.EVENT, _O.BROKEN): _row(_A.GATE, _A.HOLD, _A.HOLD, _A.HOLD, _A.HOLD),
    (_T.EVENT, _O.UNTOLD): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.DELAY),
    (_T.POLLED, _O.KEPT): _always(_A.KEEP),
    (_T.POLLED, _O.UNSEEN): _row(_A.POLL, _A.COUNT, _A.COUNT, _A.COUNT, _A.COUNT),
    (_T.POLLED, _O.OPEN): _row(_A.POLL, _A.COUNT, _A.COUNT, _A.COUNT, _A.COUNT),
    (_T.POLLED, _O.BROKEN): _always(_A.POLL),
    (_T.POLLED, _O.UNTOLD): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.POLL),
    (_T.WATCHED, _O.KEPT): _always(_A.KEEP),
    (_T.WATCHED, _O.UNSEEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.COUNT),
    (_T.WATCHED, _O.OPEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.DELAY),
    (_T.WATCHED, _O.BROKEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.DELAY),
    (_T.WATCHED, _O.UNTOLD): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.DELAY),
    (_T.DELAYED, _O.KEPT): _row(_A.TRIM, _A.KEEP, _A.KEEP, _A.KEEP, _A.TRIM),
    (_T.DELAYED, _O.UNSEEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.FIT),
    (_T.DELAYED, _O.OPEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.FIT),
    (_T.DELAYED, _O.BROKEN): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.FIT),
    (_T.DELAYED, _O.UNTOLD): _row(_A.GATE, _A.BOUND, _A.CLIFF, _A.BOUND, _A.FIT),
}
"""What is told: by how readiness is told and whether the objective is kept, then by the outlook of a delay."""


def advice_of(stratum: Stratum, bound_ms: float | None, estimate_ms: float | None, settings: Settings) -> Advice:
    """The cell of a stratum.

    Args:
        stratum: its sample and its setting in force.
        bound_ms: the upper bound of the delay that is needed; ``None`` where there is none.
        estimate_ms: its point estimate.
        settings: objective, confidence and costs.
    """
    outlook = outlook_of(stratum.times, bound_ms, estimate_ms, settings)
    return TABLE[telling_of(stratum), objective_of(stratum, settings)][outlook]


def telling_of(stratum: Stratum) -> Telling:
    """How the latest handshakes told when they were ready."""
    if not stratum.times.n:
        return Telling.NOTHING
    if stratum.gate_holds:
        return Telling.HELD
    if stratum.readiness_mode == "auto":
        return Telling.AUTO
    if stratum.readiness_mode in EVENT_MODES:
        return Telling.EVENT if stratum.readiness_mode == "event" else Telling.POLLED
    return Telling.DELAYED if stratum.gate == "hold" else Telling.WATCHED


def violations_of(stratum: Stratum, settings: Settings) -> Rate:
    """The share of the latest setting's handshakes that met an application that was not ready, with its bounds."""
    return rate(stratum.n_violations, stratum.n_setting, settings.confidence)


def objective_of(stratum: Stratum, settings: Settings) -> Objective:
    """Whether the latest setting keeps the objective."""
    if not stratum.n_measured and not stratum.n_violations and not stratum.gate_holds:
        return Objective.UNTOLD
    if violations_of(stratum, settings).high <= settings.slo:
        return Objective.KEPT
    if not stratum.n_violations:
        return Objective.UNSEEN
    is_broken = rate_is_above(stratum.n_violations, stratum.n_setting, settings.slo, settings.confidence)
    return Objective.BROKEN if is_broken else Objective.OPEN


def outlook_of(
    times: ReadinessTimes, bound_ms: float | None, estimate_ms: float | None, settings: Settings
) -> DelayOutlook:
    """What a fixed delay could do."""
    late = times.exceedances_certain(settings.delay_ms_max)
    if times.n and rate_is_above(late, times.n, settings.slo, settings.confidence):
        return DelayOutlook.HOPELESS
    if bound_ms is None or estimate_ms is None:
        return DelayOutlook.UNKNOWN
    if bound_ms > settings.cliff_ratio * estimate_ms:
        return DelayOutlook.CLIFF
    return DelayOutlook.ABOVE if bound_ms > settings.delay_ms_max else DelayOutlook.ENOUGH
