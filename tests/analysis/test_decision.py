"""What a lead is told in each cell: how readiness is told × whether the objective is kept × what a delay could do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptfirst_analysis.tuning.decision import (
    TABLE,
    DelayOutlook,
    Objective,
    Telling,
    objective_of,
    outlook_of,
    telling_of,
)
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.tuning.verdict import delays_of, judge

Make = Callable[..., Stratum]

SETTING = Settings()

MODES = {
    Telling.HELD: {"readiness_mode": "event", "gate": "hold", "delay_applied_ms": 0.0},
    Telling.AUTO: {"readiness_mode": "auto", "gate": "observe", "delay_applied_ms": 0.0},
    Telling.EVENT: {"readiness_mode": "event", "gate": "observe", "delay_applied_ms": 0.0},
    Telling.POLLED: {"readiness_mode": "polled", "gate": "observe", "delay_applied_ms": 0.0},
    Telling.WATCHED: {"readiness_mode": "blind", "gate": "observe", "delay_applied_ms": 25.0},
    Telling.DELAYED: {"readiness_mode": "blind", "gate": "hold", "delay_applied_ms": 25.0},
}

#: Violations, of how many handshakes under the latest setting.
COUNTS = {
    Objective.KEPT: (0, 4000),
    Objective.UNSEEN: (0, 300),
    Objective.OPEN: (1, 600),
    Objective.BROKEN: (60, 600),
    Objective.UNTOLD: (0, 4000),
}

SAMPLES: dict[DelayOutlook, Any] = {
    DelayOutlook.HOPELESS: [5.0] * 3600 + [400.0] * 400,
    DelayOutlook.UNKNOWN: [5.0] * 2000,
    DelayOutlook.CLIFF: [5.0] * 3998 + [200.0] * 2,
    DelayOutlook.ABOVE: [180.0] * 3998 + [260.0] * 2,
    DelayOutlook.ENOUGH: list(np.linspace(1.0, 20.0, 4000)),
}

#: Written down a second time, in words, so that a slip of the table is seen: hopeless, unknown, cliff, above, enough.
VERDICTS = """
HELD    KEPT    keep                 keep                 keep                 keep                 keep
HELD    UNSEEN  keep                 keep                 keep                 keep                 keep
HELD    OPEN    keep                 keep                 keep                 keep                 keep
HELD    BROKEN  code_fix             code_fix             code_fix             code_fix             code_fix
AUTO    KEPT    keep                 keep                 keep                 keep                 keep
AUTO    UNSEEN  not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
AUTO    OPEN    gate                 not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
AUTO    BROKEN  gate                 gate                 gate                 gate                 gate
AUTO    UNTOLD  gate                 not_enough_evidence  cliff                not_enough_evidence  delay
EVENT   KEPT    keep                 keep                 keep                 keep                 keep
EVENT   UNSEEN  gate                 not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
EVENT   OPEN    gate                 not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
EVENT   BROKEN  gate                 gate                 gate                 gate                 gate
EVENT   UNTOLD  gate                 not_enough_evidence  cliff                not_enough_evidence  delay
POLLED  KEPT    keep                 keep                 keep                 keep                 keep
POLLED  UNSEEN  poll                 not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
POLLED  OPEN    poll                 not_enough_evidence  not_enough_evidence  not_enough_evidence  not_enough_evidence
POLLED  BROKEN  poll                 poll                 poll                 poll                 poll
POLLED  UNTOLD  gate                 not_enough_evidence  cliff                not_enough_evidence  poll
WATCHED KEPT    keep                 keep                 keep                 keep                 keep
WATCHED UNSEEN  gate                 not_enough_evidence  cliff                not_enough_evidence  not_enough_evidence
WATCHED OPEN    gate                 not_enough_evidence  cliff                not_enough_evidence  delay
WATCHED BROKEN  gate                 not_enough_evidence  cliff                not_enough_evidence  delay
WATCHED UNTOLD  gate                 not_enough_evidence  cliff                not_enough_evidence  delay
DELAYED KEPT    keep                 keep                 keep                 keep                 keep
DELAYED UNSEEN  gate                 not_enough_evidence  cliff                not_enough_evidence  keep
DELAYED OPEN    gate                 not_enough_evidence  cliff                not_enough_evidence  keep
DELAYED BROKEN  gate                 not_enough_evidence  cliff                not_enough_evidence  keep
DELAYED UNTOLD  gate                 not_enough_evidence  cliff                not_enough_evidence  keep
"""

CELLS = [
    (Telling[words[0]], Objective[words[1]], outlook, verdict)
    for words in map(str.split, VERDICTS.strip().splitlines())
    for outlook, verdict in zip(DelayOutlook, words[2:], strict=True)
]


def judged(stratum: Stratum) -> Recommendation:
    """The verdict on a complete week."""
    return judge(stratum, SETTING, provisional=False)


def cell_of(stratum: Stratum) -> tuple[Telling, Objective, DelayOutlook]:
    """Where a stratum lies."""
    delays = delays_of(stratum.times, SETTING)
    outlook = outlook_of(stratum.times, delays.bound_ms, delays.estimate_ms, SETTING)
    return telling_of(stratum), objective_of(stratum, SETTING), outlook


@pytest.mark.parametrize(("telling", "objective", "outlook", "verdict"), CELLS)
def test_verdict_is_what_its_cell_says(
    stratum: Make, telling: Telling, objective: Objective, outlook: DelayOutlook, verdict: str
) -> None:
    """A sample made for each cell lies in it, and is told what the cell says."""
    violations, n = COUNTS[objective]
    measured = 0 if objective is Objective.UNTOLD else n
    found = stratum(SAMPLES[outlook], **MODES[telling], n_violations=violations, n_setting=n, n_measured=measured)
    assert cell_of(found) == (telling, objective, outlook)
    assert judged(found).verdict == verdict


def test_table_has_every_cell() -> None:
    """No combination is left without advice."""
    assert {key: set(row) for key, row in TABLE.items()} == {
        (telling, objective): set(DelayOutlook) for telling in Telling for objective in Objective
    }


@pytest.mark.parametrize("mode", ["auto", "blind", ""])
def test_verdict_asks_for_an_event_when_nothing_tells(stratum: Make, mode: str) -> None:
    """And the number that it says is missing is the one that a bound takes."""
    row = judged(stratum([], readiness_mode=mode))
    assert (row.verdict, row.n_missing) == ("not_enough_evidence", 2995)
    assert "2,995 such handshakes" in row.rationale


def test_verdict_trims_a_delay_that_is_longer_than_it_need_be(stratum: Make) -> None:
    """Everybody waits 200 ms, 20 are enough: the one change where nothing was violated."""
    row = judged(stratum(SAMPLES[DelayOutlook.ENOUGH], gate="hold", delay_applied_ms=200.0, n_violations=0))
    assert (row.verdict, row.delay_ms) == ("delay", 20.0)
    assert "longer than that needs" in row.rationale
    assert row.cost["added_latency_s"] == pytest.approx((20.0 - 200.0) * 4000 / 1000, abs=1)


def test_verdict_is_gate_when_a_delay_above_the_guardrail_is_waited_for(stratum: Make) -> None:
    """500 ms for everybody keep the objective; the event would take 44."""
    row = judged(stratum(SAMPLES[DelayOutlook.HOPELESS], gate="hold", delay_applied_ms=500.0, n_violations=0))
    assert row.verdict == "gate"
    assert row.cost["added_latency_s"] < 0


def test_verdict_lengthens_the_timeout_when_it_cuts_off_what_becomes_ready(stratum: Make) -> None:
    """Up to 490 ms and cut off at 500: more would have become ready."""
    own = {**MODES[Telling.HELD], "n_violations": 40, "n_timed_out": 40}
    row = judged(stratum(np.linspace(5.0, 490.0, 560), [500.0] * 40, **own))
    assert (row.verdict, row.pattern, row.timeout_ms) == ("gate", None, 1000.0)
    assert "cuts off" in row.rationale


def test_verdict_is_code_fix_when_no_timeout_is_long_enough(stratum: Make) -> None:
    """Ready within 20 ms or never: a longer timeout only keeps people waiting."""
    own = {**MODES[Telling.HELD], "n_violations": 40, "n_timed_out": 40}
    row = judged(stratum(np.linspace(5.0, 20.0, 560), [500.0] * 40, **own))
    assert (row.verdict, row.pattern) == ("code_fix", "handshake_stalled")


def test_verdict_never_gates_a_polled_route_on_an_event_that_nobody_sends(stratum: Make) -> None:
    """However slow: the check is what can be waited for."""
    row = judged(stratum(SAMPLES[DelayOutlook.HOPELESS], **MODES[Telling.POLLED], n_violations=500))
    assert (row.verdict, row.poll_interval_ms) == ("poll", 20.0)


def test_cost_of_a_gate_counts_who_never_becomes_ready(stratum: Make) -> None:
    """They wait until the timeout, and are let through then: nothing is avoided there."""
    row = judged(stratum([10.0] * 300, [5000.0] * 100, **MODES[Telling.EVENT], n_violations=200, n_setting=400))
    assert row.verdict == "gate"
    assert row.cost["wait_ms_mean_after"] == pytest.approx((10.0 * 300 + (row.timeout_ms or 0.0) * 100) / 400)
    assert row.cost["violations_avoided"] == 100.0


strata = st.fixed_dictionaries(
    {
        "fast": st.integers(0, 6000),
        "slow": st.integers(0, 200),
        "slow_ms": st.sampled_from([30.0, 200.0, 249.0, 400.0, 3000.0]),
        "left": st.integers(0, 30),
        "left_ms": st.sampled_from([1.0, 300.0, 9000.0]),
        "mode": st.sampled_from(["auto", "event", "polled", "blind", ""]),
        "gate": st.sampled_from(["observe", "hold"]),
        "delay_ms": st.sampled_from([0.0, 4.0, 25.0, 200.0, 2000.0]),
        "n_setting": st.integers(0, 6000),
        "share": st.sampled_from([0.0, 0.0, 0.0, 0.0005, 0.01, 1.0]),
        "messaged": st.floats(0, 1),
    }
)


def stratum_of(drawn: dict[str, Any]) -> Stratum:
    """A stratum of what Hypothesis drew."""
    ready_ms = np.concatenate([np.linspace(1.0, 9.0, drawn["fast"]), np.full(drawn["slow"], drawn["slow_ms"])])
    times = ReadinessTimes(ready_ms, np.full(drawn["left"], drawn["left_ms"]))
    n_setting = min(drawn["n_setting"], times.n)
    n_violations = int(n_setting * drawn["share"])
    return Stratum(
        *("production", "chat", "/ws"),
        readiness_mode=drawn["mode"],
        gate=drawn["gate"],
        delay_applied_ms=drawn["delay_ms"],
        policy_version="one",
        policy_versions=1,
        handshakes=float(times.n),
        n_refused=0,
        n_setting=n_setting,
        n_violations=n_violations,
        n_timed_out=min(n_violations, drawn["left"]),
        n_messaged=int(n_setting * drawn["messaged"]),
        n_measured=n_setting,
        accept_ms_max=2.0,
        times=times,
    )


def waits_in_vain(stratum: Stratum, row: Recommendation) -> bool:
    """Whether everybody waits for a delay that is shown to be longer than it need be."""
    is_waited_for = telling_of(stratum) is Telling.DELAYED
    needed_ms = row.delay_ms if row.delay_ms is not None else SETTING.delay_ms_max
    return is_waited_for and stratum.delay_applied_ms > min(needed_ms, SETTING.delay_ms_max)


@settings(max_examples=400, deadline=None)
@given(strata)
def test_verdict_changes_nothing_when_nothing_was_violated_and_the_objective_is_kept(drawn: dict[str, Any]) -> None:
    """Unless everybody waits in vain."""
    stratum = stratum_of(drawn)
    row = judged(stratum)
    if row.violation_rate == 0.0 and (row.violation_rate_upper or 0.0) <= row.slo and not waits_in_vain(stratum, row):
        assert row.verdict in {"keep", "not_enough_evidence"}


@settings(max_examples=400, deadline=None)
@given(strata)
def test_figures_never_contradict_the_verdict(drawn: dict[str, Any]) -> None:
    """What is missing goes with not enough evidence, a pattern with a fix, a cost with a change; and it is JSON."""
    stratum = stratum_of(drawn)
    row = judged(stratum)
    known = json.loads(json.dumps(row.to_row(), allow_nan=False))
    assert known["rationale"]
    assert (row.n_missing > 0) <= (row.verdict == "not_enough_evidence")
    assert (row.n_missing == 0) or f"{row.n_missing:,}" in row.rationale
    assert (row.pattern is not None) == (row.verdict == "code_fix")
    assert (row.poll_interval_ms is not None) == (row.verdict == "poll")
    assert row.verdict != "delay" or (row.delay_ms is not None and row.delay_ms <= SETTING.delay_ms_max)
    assert row.verdict not in {"keep", "not_enough_evidence", "cliff"} or row.cost.get("added_latency_s", 0.0) == 0.0
    if row.verdict == "delay":  # a day's headroom is the only thing between them
        assert f"{row.delay_ms:.3g}" in row.rationale
