"""The demo's arithmetic: what is compared with what, and which figure is named when one does not hold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst_chat.plants import CHAT_ROUTE, DENIAL, TIMING_RACE
from acceptfirst_cli.demo.figures import Happened, chat_ready_p95_ms, found_of, mismatches, percentile_ms

CONTRACT = {
    "schema_version",
    "connections",
    "transitions_expected",
    "transitions_stored",
    "violations_before",
    "violations_after",
    "patterns",
    "recommendations",
    "handshake_p95_ms_before",
    "handshake_p95_ms_after",
    "report",
}
COUNTS = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), st.integers(1, 5))


@given(counts=COUNTS)
def test_mismatches_are_none_when_all_was_found_as_planted(counts: dict[tuple[str, str], int]) -> None:
    """In whatever order."""
    assert mismatches(counts, dict(reversed(counts.items()))) == []


@given(planted=COUNTS, found=COUNTS)
def test_mismatches_name_each_difference_once(
    planted: dict[tuple[str, str], int], found: dict[tuple[str, str], int]
) -> None:
    """Too many, too few, and where nothing had been planted."""
    different = {key for key in planted.keys() | found.keys() if planted.get(key) != found.get(key)}

    assert len(mismatches(planted, found)) == len(different)


@given(values=st.lists(st.floats(0, 1e6), min_size=1), share=st.floats(0.01, 1.0))
def test_percentile_is_the_smallest_value_that_covers_the_share(values: list[float], share: float) -> None:
    """An order statistic: no interpolation between clients that did not exist."""
    ascending = sorted(values)
    at = percentile_ms(ascending, share)

    assert sum(value <= at for value in ascending) >= share * len(ascending) - 1e-9
    assert sum(value < at for value in ascending) < math.ceil(share * len(ascending))


def test_percentile_of_nothing_is_zero() -> None:
    """Nobody was answered."""
    assert percentile_ms([], 0.95) == 0.0


def test_expected_has_no_pattern_where_nothing_is_wrong() -> None:
    """The negative control is in the ledger and not among what must be found."""
    happened = Happened(connections=2, transitions=8, planted={DENIAL.name: 1, TIMING_RACE.name: 1})

    assert happened.expected() == {(CHAT_ROUTE, TIMING_RACE.pattern): 1}


def test_found_adds_up_rows_of_one_route() -> None:
    """Two environments or services with one route are one place in the code."""
    rows = [
        {"route": "/a", "pattern_type": "p", "connections": 2},
        {"route": "/a", "pattern_type": "p", "connections": 3},
    ]

    assert found_of(rows) == {("/a", "p"): 5}


@pytest.mark.parametrize("value", [None, float("nan")])
def test_chat_p95_is_unknown_where_the_store_has_none(value: float | None) -> None:
    """JSON turns the store's NaN into null."""
    assert chat_ready_p95_ms([{"route": CHAT_ROUTE, "handshake_p95_ms": value}]) is None


def test_outcome_holds_when_every_figure_does(run_figures: Any, outcome_of: Any) -> None:
    """Nothing is named."""
    assert outcome_of(run_figures(races=3, waits_ms=(30.0, 40.0)), run_figures()).failures() == []


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({}, {"transitions": 199}, "transitions_stored is 399, expected 400"),
        ({}, {"connections": 49}, "connections stored are 99, expected 100"),
        ({"races": 0}, {}, "violations_before is 0"),
        ({}, {"races": 1}, "violations_after is 1, expected 0"),
        ({}, {"waits_ms": (10.0, 50.0)}, "handshake_p95_ms_after is 50.0, expected below 40.0"),
        ({}, {"waits_ms": (10.0, 0.0)}, "1 clients never got an answer"),
        ({"found": {("/x", "double_close"): 1}}, {}, "before: double_close on /x: planted 0, found 1"),
        ({}, {"found": {}}, "after: double_close on /ws/bugs/double_close: planted 2, found 0"),
    ],
    ids=lambda value: value.split(" ")[0] if isinstance(value, str) else None,
)
def test_outcome_names_the_figure_that_does_not_hold(
    run_figures: Any, outcome_of: Any, before: dict[str, Any], after: dict[str, Any], named: str
) -> None:
    """With what it is and what it should be."""
    outcome = outcome_of(run_figures(**({"races": 3, "waits_ms": (30.0, 40.0)} | before)), run_figures(**after))

    assert any(named in failure for failure in outcome.failures())


def test_outcome_fails_when_too_few_patterns_were_found(run_figures: Any, outcome_of: Any) -> None:
    """Eight are the least that the demo promises."""
    failures = outcome_of(run_figures(races=3, found={}), run_figures(found={})).failures()

    assert any("patterns found are 0, expected at least 8" in failure for failure in failures)


def test_impatient_guest_counts_as_answered_nowhere_and_as_unanswered_nowhere(run_figures: Any) -> None:
    """It wanted nothing."""
    run = run_figures(waits_ms=(0.0,), kind="impatient")

    assert (run.patient_waits_ms, run.unanswered) == ([], 0)


def test_summary_has_every_key_of_the_contract(run_figures: Any, outcome_of: Any) -> None:
    """And is JSON."""
    summary = outcome_of(run_figures(races=3, waits_ms=(30.0, 40.0)), run_figures()).to_summary()

    assert set(json.loads(json.dumps(summary))) >= CONTRACT


def test_summary_counts_patterns_of_both_runs(run_figures: Any, outcome_of: Any) -> None:
    """As the store has them."""
    summary = outcome_of(run_figures(races=3), run_figures()).to_summary()

    assert summary["patterns"]["double_close"] == 4
    assert summary["patterns"]["early_message_before_ready"] == 3
