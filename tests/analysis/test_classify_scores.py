"""What the classifier says of simulated handshakes, against the truth about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.classification.unclassified import UNCLASSIFIED
from acceptfirst_analysis.simulate import Plan, place, simulate, write_rows
from acceptfirst_analysis.simulate.episodes import EPISODES
from acceptfirst_analysis.simulate.score import Score, scores, truth_of
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
FOUND = "SELECT lower(hex(connection_id)) AS id, pattern_type, severity FROM acceptfirst.race_condition_patterns FINAL"


def classified(database: Database, catalogue: Catalogue, window: Window, plan: Plan) -> dict[str, set[str]]:
    """Patterns by connection, of a plan that is written into the store."""
    write_rows(database, plan, simulate(plan))
    classify(database, catalogue, window)
    found: dict[str, set[str]] = {}
    for row in database.rows(FOUND):
        found.setdefault(row["id"], set()).add(row["pattern_type"])
    return found


@pytest.mark.parametrize("mode", ["event", "auto", "blind"])
def test_classifier_names_each_pattern_of_simulated_handshakes(
    database: Database, catalogue: Catalogue, window: Window, mode: str
) -> None:
    """F1 of at least 0.99 for every one of them, those that only many connections show included."""
    plan = Plan(
        connections=6000,
        since=MONDAY,
        until=MONDAY + timedelta(days=2),
        seed=11,
        places=(place("production", mode=mode), place("staging", mode=mode, sample_rate=0.5)),
        faults=0.6,
        users=500,
        episodes=2,
    )
    found = classified(database, catalogue, window, plan)
    by_pattern = scores(truth_of(simulate(plan)), found)
    never = {"early_message_before_ready"} if mode == "auto" else set()
    assert set(by_pattern) == ({pattern.name for pattern in catalogue} | {UNCLASSIFIED}) - never
    assert {name: score for name, score in by_pattern.items() if score.f1 < 0.99} == {}
    assert set(EPISODES) == {pattern.name for pattern in catalogue.of_scope("fleet")}


def test_classifier_finds_nothing_on_clean_connections(
    database: Database, catalogue: Catalogue, window: Window
) -> None:
    """No false critical, and nothing else either: not on people who talk, break off, or have several tabs."""
    plan = Plan(
        connections=20_000,
        since=MONDAY,
        until=MONDAY + timedelta(days=1),
        places=(place("production"), place("testing", mode="auto")),
        faults=0.0,
        episodes=0,
        impatient=0.0,
        cold_starts=0,
        users=200,
    )
    assert classified(database, catalogue, window, plan) == {}


def test_score_counts_what_was_said_and_what_was_missed() -> None:
    """By connection and pattern."""
    truth = {"a": {"x"}, "b": {"x", "y"}, "c": set[str]()}
    assert scores(truth, {"a": {"x"}, "b": {"y"}, "c": {"x"}}) == {"x": Score(1, 1, 1), "y": Score(1, 0, 0)}
    assert (Score(1, 1, 1).f1, Score(0, 0, 3).f1, Score(0, 0, 0).f1) == (0.5, 0.0, 1.0)
