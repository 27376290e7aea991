"""From a sample to a verdict: each verdict where it belongs, and never where it would mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from acceptfirst_analysis.statistics.bounds import rate
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum, strata_of
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.tuning.verdict import delays_of, judge, ladder_of

SEED = 7

Make = Callable[..., Stratum]


def warm(n: int, seed: int = SEED) -> Any:
    """Readiness times of a warm service: median 6 ms, one in a thousand above 25."""
    return np.random.default_rng(seed).lognormal(1.8, 0.45, n)


def judged(stratum: Stratum, **settings: Any) -> Recommendation:
    """The verdict on a complete week."""
    return judge(stratum, Settings(**settings), provisional=False)


def test_verdict_is_gate_when_a_few_hundred_handshakes_show_cold_starts(stratum: Make) -> None:
    """One in fourteen takes 400 ms: the bound abstains, the gate does not."""
    row = judged(stratum(np.append(warm(300), np.full(20, 400.0))))
    assert (row.verdict, row.delay_ms) == ("gate", None)
    assert row.delay_ms_estimate == 400.0


def test_verdict_says_what_a_delay_would_have_to_be_when_it_is_gate(stratum: Make) -> None:
    """With enough handshakes bound and estimate stand beside the gate."""
    row = judged(stratum(np.append(warm(5000), np.full(300, 400.0))))
    assert row.verdict == "gate"
    assert (row.delay_ms, row.delay_ms_estimate) == (400.0, 400.0)


def test_verdict_is_delay_when_a_warm_service_bounds_one(stratum: Make) -> None:
    """The bound is above the estimate and within the guardrail, and the ladder ends at it."""
    row = judged(stratum(warm(10_000)))
    assert row.verdict == "delay"
    assert row.delay_ms is not None
    assert row.delay_ms_estimate is not None
    assert row.delay_ms_estimate <= row.delay_ms <= 250
    assert sum(row.ladder_ms) == pytest.approx(row.delay_ms, abs=0.005)


def test_verdict_says_how_many_more_when_the_sample_is_too_small(stratum: Make) -> None:
    """2,000 of 2,995: 995 are missing."""
    row = judged(stratum(warm(2000)))
    assert (row.verdict, row.delay_ms) == ("not_enough_evidence", None)
    assert "995 more are needed (2,995 in all)" in row.rationale


def test_verdict_never_bounds_below_the_least_sample(stratum: Make) -> None:
    """Whatever the sample: below 2,995 there is no bound."""
    assert all(judged(stratum(warm(n, seed))).delay_ms is None for seed, n in enumerate((1, 59, 500, 2994)))


def test_verdict_is_cliff_when_the_cold_share_is_near_the_objective(stratum: Make) -> None:
    """Two of 4,000 take 200 ms: the estimate does not see them, the bound can't exclude them."""
    row = judged(stratum(np.append(warm(3998), [200.0, 210.0])))
    assert row.verdict == "cliff"
    assert "can't exclude" in row.rationale


def test_verdict_is_not_gate_when_impatient_clients_left_early(stratum: Make) -> None:
    """Who leaves after 20 ms proves nothing about 250."""
    row = judged(stratum(warm(400), np.full(40, 20.0)))
    assert row.verdict == "not_enough_evidence"
    assert (row.n_never_ready, row.n_missing) == (40, 0)


def test_verdict_is_gate_when_handshakes_are_never_ready_for_long(stratum: Make) -> None:
    """Who was waited for longer than the guardrail counts."""
    assert judged(stratum(warm(400), np.full(12, 5000.0))).verdict == "gate"


def test_missing_handshakes_count_as_above_the_delay_when_it_is_bounded(stratum: Make) -> None:
    """Adding ones that never became ready can only raise the bound."""
    without = judged(stratum(warm(20_000))).delay_ms
    with_missing = judged(stratum(warm(20_000), np.full(8, 5.0))).delay_ms
    assert without is not None
    assert with_missing is not None
    assert with_missing >= without


def test_estimate_is_flagged_when_too_many_are_missing(stratum: Make) -> None:
    """The rationale names the assumption."""
    row = judged(stratum(warm(400), np.full(40, 3.0)))
    assert "Kaplan-Meier" in row.rationale
    assert row.delay_ms_estimate is not None


def test_verdict_is_keep_when_a_gate_holds_already(stratum: Make) -> None:
    """However slow readiness is: nothing comes too early."""
    row = judged(stratum([400.0] * 300, readiness_mode="event", gate="hold", n_violations=0))
    assert row.verdict == "keep"


def test_verdict_is_code_fix_when_a_gate_lets_messages_through(stratum: Make) -> None:
    """Held, and early all the same: the application reads before it says ready, which no setting mends."""
    row = judged(stratum([400.0] * 300, readiness_mode="event", gate="hold", n_violations=200))
    assert (row.verdict, row.pattern) == ("code_fix", "early_message_before_ready")
    assert "receives=True" in row.rationale


def test_verdict_is_keep_when_the_delay_in_force_is_just_above_the_bound(stratum: Make) -> None:
    """A change of a few per cent is not worth a change."""
    sample = warm(10_000)
    needed = judged(stratum(sample)).delay_ms
    assert needed is not None
    assert judged(stratum(sample, gate="hold", delay_applied_ms=needed * 1.1)).verdict == "keep"
    assert judged(stratum(sample, gate="hold", delay_applied_ms=needed * 3)).verdict == "delay"


def test_verdict_is_keep_when_messages_are_shown_not_to_come_early(stratum: Make) -> None:
    """Ready by event, nothing waits, 10,000 clients spoke and none too early."""
    own = {"readiness_mode": "event", "delay_applied_ms": 0.0, "n_violations": 0}
    assert judged(stratum(warm(10_000), **own)).verdict == "keep"
    assert "in only 10 of them" in judged(stratum(warm(10_000), **own, n_messaged=10)).rationale


def test_verdict_is_poll_when_readiness_is_polled(stratum: Make) -> None:
    """At most a twentieth of the delay that it replaces."""
    row = judged(stratum(warm(10_000) * 4, readiness_mode="polled"))
    assert row.verdict == "poll"
    assert row.poll_interval_ms is not None
    assert row.poll_interval_ms <= (row.delay_ms or 0) / 20


def test_verdict_asks_for_a_ready_event_when_nothing_tells_readiness(stratum: Make) -> None:
    """Blind, and nobody says when the application is ready."""
    row = judged(stratum([]))
    assert row.verdict == "not_enough_evidence"
    assert "acceptfirst.ready(websocket)" in row.rationale
    assert row.timeout_ms is None


def test_timeout_is_marked_provisional_when_the_sample_is_small(stratum: Make) -> None:
    """Twice the slowest or the default, and it says so."""
    slow = judged(stratum([900.0] * 200))
    assert slow.timeout_ms == 2 * (900 + 2)
    assert "provisional" in slow.rationale
    assert judged(stratum([5.0] * 200)).timeout_ms == 1000.0


def test_timeout_is_a_bound_when_the_sample_is_large(stratum: Make) -> None:
    """The order statistic of one in ten thousand, behind the slowest accept."""
    sample = np.sort(warm(40_000))
    row = judged(stratum(sample))
    assert row.timeout_ms == np.ceil(sample[-1] + 2.0)


def test_timeout_has_a_default_when_the_environment_is_a_strangers(stratum: Make) -> None:
    """A name that is none of ours came over the wire."""
    assert judged(replace(stratum([5.0]), environment="qa-7")).timeout_ms == 1000.0


def test_bound_covers_at_its_confidence_over_many_weeks(stratum: Make) -> None:
    """300 weeks of 3,500 handshakes: the true share above the delay is within the objective in 95 of 100."""
    generator = np.random.default_rng(SEED)
    kept = 0
    for _ in range(300):
        sample = generator.lognormal(1.8, 0.45, 3500)
        delay_ms = delays_of(stratum(sample).times, Settings()).bound_cheapest_ms
        assert delay_ms is not None
        kept += _above(delay_ms) <= 0.001
    assert rate(kept, 300, 0.99).high >= 0.95


def _above(delay_ms: float) -> float:
    from scipy.stats import norm  # noqa: PLC0415 - one closed form, only here

    return float(norm.sf((np.log(delay_ms) - 1.8) / 0.45))


def test_gate_is_rarely_said_when_a_delay_would_do(stratum: Make) -> None:
    """300 samples of 3,000 with one cold start in two thousand, none of them above the guardrail in truth's terms."""
    generator = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(300):
        cold = generator.random(3000) < 0.0005
        sample = generator.lognormal(1.8, 0.45, 3000) + np.where(cold, 400.0, 0.0)
        wrong += judged(stratum(sample)).verdict == "gate"
    assert wrong <= 3


def test_ladder_rises_to_the_delay_in_steps_of_quantiles(stratum: Make) -> None:
    """The first wait ends at Q95, the second at Q99.5."""
    times = stratum(np.arange(1.0, 10_001.0) / 50).times
    delays = delays_of(times, Settings())
    ladder = ladder_of(times, delays)
    assert np.cumsum(ladder) == pytest.approx([190.0, 199.0, delays.bound_cheapest_ms])


def test_cost_tells_what_is_waited_and_what_is_saved(stratum: Make) -> None:
    """25 ms held for everybody becomes the mean of the event; one in five had the race."""
    row = judged(stratum([10.0] * 80 + [400.0] * 20, gate="hold"))
    assert row.cost["wait_ms_mean_before"] == 25.0
    assert row.cost["wait_ms_mean_after"] == 88.0
    assert row.cost["violations_avoided"] == 20.0
    assert row.violation_rate == 0.2


def test_rows_say_provisional_when_the_range_is_no_complete_week(stratum: Make) -> None:
    """In a field for machines and in a sentence for people."""
    row = judge(stratum(warm(100)), Settings(), provisional=True)
    assert row.provisional
    assert "Provisional" in row.rationale


def test_row_survives_the_way_through_json(stratum: Make) -> None:
    """What a worker prints is what its reader gets."""
    row = judged(stratum(warm(5000)))
    assert Recommendation.from_row(row.to_row()) == row


@pytest.mark.parametrize("wrong", [{"slo": 0.0}, {"confidence": 1.0}, {"lambda_ms": -1.0}, {"slo": float("nan")}])
def test_settings_refuse_what_is_no_objective(wrong: dict[str, float]) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match="expected"):
        Settings(**wrong)


def test_stratum_takes_its_setting_from_the_latest_handshakes() -> None:
    """Two settings of one route: one sample, the later one's mode; text for 64-bit integers is read too."""
    common = {"environment": "production", "service": "chat", "route": "/ws", "delay_applied_ms": 25.0}
    counts = {"handshakes": 2.0, "n_refused": 0, "n_violations": 0, "n_timed_out": 0, "n_messaged": 2, "n_measured": 2}
    sample = {"ready_us": ["1000", 2500], "ready_count": [1, "2"], "waited_us": [], "waited_count": []}
    row = {**common, **counts, **sample, "accept_ms_max": 3.0, "n": 3, "policy_version": "one"}
    early = {**row, "readiness_mode": "event", "gate": "observe", "last_seen": "2026-11-16 00:00:00"}
    late = {**row, "readiness_mode": "event", "gate": "hold", "last_seen": "2026-11-17 00:00:00"}
    (found,) = strata_of([early, late])
    assert found.gate == "hold"
    assert list(found.times.ready_ms) == [1.0, 1.0, 2.5, 2.5, 2.5, 2.5]


def test_certain_exceedances_leave_out_who_left_before() -> None:
    """At 10 ms: one ready later, one waited for longer; the one that left at 5 ms is not counted."""
    times = ReadinessTimes(np.array([1.0, 20.0]), np.array([5.0, 30.0]))
    assert times.exceedances_certain(10.0) == 2
    assert times.share_above(10.0) == 0.75
