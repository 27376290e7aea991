"""What a range may hold: whatever it is, there is a right answer, and never a number that the data can't carry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.statistics.bounds import samples_min
from acceptfirst_analysis.tuning.recommend import recommend
from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_analysis.window import Window

SEED = 11
BLIND = {"readiness_mode": "blind", "gate": "hold", "delay_applied_ms": 25.0}


def only(handshakes: Any, catalogue: Catalogue, window: Window) -> Recommendation:
    """The one recommendation of what was added."""
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    return row


def shadowed(ready_ms: float, **own: Any) -> dict[str, Any]:
    """A handshake behind a delay, in which the application said when it was ready."""
    return {"ready_ms": 25.0, **BLIND, "phases": {"ready": ready_ms}, **own}


def test_one_connection_gives_no_number(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """It says how many more, and binds nothing."""
    handshakes.add(ready_ms=5.0)
    row = only(handshakes, catalogue, window)
    assert (row.verdict, row.n, row.delay_ms, row.n_missing) == ("not_enough_evidence", 1, None, 2994)


def test_no_delay_is_bounded_when_all_left_early(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Nobody was ever ready; no number of the same would help, and the sentence says so."""
    for _ in range(3100):
        handshakes.add("CAD", None, dwell_ms=20.0, phases={}, **BLIND)
    handshakes.add(**shadowed(5.0))
    row = only(handshakes, catalogue, window)
    assert (row.verdict, row.delay_ms, row.n_never_ready, row.n_missing) == ("not_enough_evidence", None, 3100, 0)
    assert "Find out why they leave" in row.rationale


def test_gate_is_told_when_all_were_violated(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Every handshake, and readiness is an event: hold."""
    for _ in range(60):
        handshakes.add("CARGSD", 30.0, messages_early=1)
    row = only(handshakes, catalogue, window)
    assert (row.verdict, row.violation_rate, row.violation_rate_upper) == ("gate", 1.0, 1.0)
    assert row.cost["violations_avoided"] == 60.0


def test_handshakes_of_the_future_are_left_to_their_week(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """A clock that is a year ahead adds nothing to this week."""
    for _ in range(20):
        handshakes.add(ready_ms=5.0)
    handshakes.add(ready_ms=9000.0, first_seen=window.until + timedelta(days=365))
    row = only(handshakes, catalogue, window)
    assert (row.n, row.delay_ms_estimate) == (20, 5.0)


def test_weights_move_costs_and_never_quantiles(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """One in ten was drawn of one half, all of the other: n is rows, connections are weights."""
    generator = np.random.default_rng(SEED)
    for number in range(4000):
        handshakes.add(**shadowed(float(generator.uniform(1, 20)), weight=10.0 if number % 2 else 1.0))
    row = only(handshakes, catalogue, window)
    assert (row.n, row.cost["connections"]) == (4000, 2000 * 10 + 2000)
    assert row.delay_ms == pytest.approx(20.0, abs=0.1)


def test_delays_of_one_window_do_not_mix(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Readiness behind 25 ms and behind 50 is one sample, since it is the same; the violations are the latest one's."""
    for number in range(4000):
        is_late = number >= 2000
        policy = {"delay_applied_ms": 50.0 if is_late else 25.0, "policy_version": "two" if is_late else "one"}
        handshakes.add(**shadowed(10.0 + number % 2000 / 100, **policy))
    row = only(handshakes, catalogue, window)
    assert (row.n, row.violation_rate) == (4000, 0.0)
    assert row.from_values["delay_ms"] == 50.0
    assert row.delay_ms == pytest.approx(30.0, abs=0.1)


def test_bound_keeps_its_word_on_known_truth_with_people_leaving(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Known quantile, one in five thousand leaves: the bound is at or above the truth, and counts who left."""
    generator = np.random.default_rng(SEED)
    truth_ms = float(np.exp(1.8 + 0.45 * 3.0902))  # the 99.9 % quantile of the log-normal below
    for number in range(5000):
        if number % 5000 == 17:
            handshakes.add("CAD", None, dwell_ms=4.0, phases={}, **BLIND)
        else:
            handshakes.add(**shadowed(float(generator.lognormal(1.8, 0.45))))
    row = only(handshakes, catalogue, window)
    assert row.n_never_ready == 1
    assert row.delay_ms is not None
    assert row.delay_ms >= truth_ms
    assert row.n >= samples_min(row.slo, row.confidence)
