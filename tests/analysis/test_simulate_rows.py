"""Simulated rows against those that the store's own views make of the simulated spans; and that a seed decides all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptfirst.policy import Canary, Policy
from acceptfirst_analysis.simulate import Deploy, Place, Plan, PlanError, labels, place, simulate, write_rows
from acceptfirst_analysis.simulate.spans import requests
from acceptfirst_analysis.simulate.tally import Tally
from acceptfirst_store.database import Database

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
DAY = timedelta(days=1)
HANDSHAKES = """
    SELECT * EXCEPT touched_at,
        toUnixTimestamp64Nano(first_seen) AS first_ns, toUnixTimestamp64Nano(last_seen) AS last_ns,
        toUnixTimestamp64Nano(connected_at) AS connected, toUnixTimestamp64Nano(ready_at) AS ready, signature, outcome
    FROM acceptfirst.handshakes FINAL ORDER BY connection_id"""
TRANSITIONS = """
    SELECT *, toUnixTimestamp64Nano(started_at) AS started_ns FROM acceptfirst.handshake_transitions FINAL
    ORDER BY connection_id, sequence"""

MakePlan = Callable[..., Plan]


@pytest.fixture
def plan() -> MakePlan:
    """Makes plans of one day, small unless told otherwise."""

    def make(connections: int = 400, **own: Any) -> Plan:
        return Plan(**{"connections": connections, "since": MONDAY, "until": MONDAY + DAY, "faults": 0.4, **own})

    return make


CANARY = Policy(environment="production", readiness_mode="event", gate="hold", version="next")
WITH_CANARY = Place(
    policy=Policy(environment="production", readiness_mode="event", gate="observe", canary=Canary(0.3, CANARY))
)
PLACES = {
    "event": place("production"),
    "auto": place("staging", mode="auto"),
    "polled": place("development", mode="polled"),
    "blind": place("testing", mode="blind"),
    "hold": place("production", gate="hold"),
    "sampled": place("production", sample_rate=0.2),
    "canary": WITH_CANARY,
}


def stored(database: Database) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the two tables hold, in one order, and nothing in them afterwards."""
    handshakes, transitions = database.rows(HANDSHAKES), database.rows(TRANSITIONS)
    for row in handshakes:
        row["patterns"] = sorted(row["patterns"])
    for table in ("otel_traces", "handshakes", "handshake_transitions"):
        database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    return handshakes, transitions


@pytest.mark.parametrize("name", PLACES)
def test_rows_are_those_that_the_views_make_of_the_spans(database: Database, plan: MakePlan, name: str) -> None:
    """Every column of both tables, to the nanosecond, whichever way the connections come in."""
    own = plan(places=(PLACES[name],), impatient=0.6, cold_starts=200, leave_ms=300.0, users=50)
    for number, (request, _) in enumerate(requests(own, simulate(own))):
        database.insert_requests(request, f"{name} {number}")
    through_views = stored(database)
    written = write_rows(database, own, simulate(own))
    straight = stored(database)
    delay_before_accept = {"delay_applied_ms": 0.0}  # in a span it is there as soon as it is known, in a row always
    assert [row | delay_before_accept for row in straight[1]] == [row | delay_before_accept for row in through_views[1]]
    assert straight[0] == through_views[0]
    assert written == len(straight[0]) > 50


def all_labels(own: Plan) -> list[dict[str, Any]]:
    """Every label of a plan."""
    return [label for block in simulate(own) for label in labels(own, block)]


def test_plan_gives_the_same_connections_when_it_is_simulated_again(plan: MakePlan) -> None:
    """To the last label, and others with another seed."""
    assert all_labels(plan(seed=5)) == all_labels(plan(seed=5)) != all_labels(plan(seed=6))


def test_plan_of_more_connections_begins_like_one_of_fewer_blocks(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block depends on its number, and not on how many come before it."""
    monkeypatch.setattr("acceptfirst_analysis.simulate.world.BLOCK", 100)
    assert all_labels(plan(400))[: len(all_labels(plan(200)))] == all_labels(plan(200))


def test_cold_start_slows_all_connections_of_its_time(plan: MakePlan) -> None:
    """Correlated: who comes while it is cold takes at least half of what a cold start adds at first."""
    known = all_labels(plan(40_000, faults=0.0, episodes=0, cold_starts=3, cold_ms=2000.0, cold_s=600.0))
    cold = [label for label in known if label["cold"]]
    assert 500 < len(cold) < 6000
    assert min(label["ready_ms"] for label in cold) > 40
    assert sorted(label["ready_ms"] for label in known if not label["cold"])[-100] < 40


def test_deploy_and_drift_change_the_time_to_ready(plan: MakePlan) -> None:
    """Three times as long after the deploy, and twice as long after a week at a drift of one."""
    own = plan(
        20_000,
        faults=0.0,
        episodes=0,
        cold_starts=0,
        until=MONDAY + 7 * DAY,
        drift=1.0,
        deploys=(Deploy(version="2.0.0", at=MONDAY + 6 * DAY, slowdown=3.0),),
    )
    by_version: dict[str, list[float]] = {"1.0.0": [], "2.0.0": []}
    for label in all_labels(own):
        by_version[label["service_version"]].append(label["ready_ms"])
    before, after = (sorted(values)[len(values) // 2] for values in by_version.values())
    assert 3.5 < after / before < 5  # three times, and drifted from the middle of one span of time to that of the other


def test_censored_connections_are_labelled_with_what_nobody_saw(plan: MakePlan) -> None:
    """The client left before; the label knows all the same when it would have been ready."""
    known = all_labels(plan(faults=0.0, episodes=0, cold_starts=300, cold_ms=5000.0, impatient=1.0, leave_ms=100.0))
    censored = [label for label in known if label["censored"]]
    assert len(censored) > 20
    assert all(label["ready_ms"] > 20 and "G" not in label["signature"] for label in censored)


def test_sampled_plan_stores_what_was_drawn_and_what_had_a_violation(plan: MakePlan) -> None:
    """A fifth of the clean ones, all of those with a fault that shows."""
    tally = Tally()
    for block in simulate(plan(5000, places=(PLACES["sampled"],), episodes=0)):
        tally.add(block)
    shown = {name: number for name, number in tally.patterns.items() if name != "unclassified"}
    assert shown == {name: number for name, number in tally.stored_patterns.items() if name != "unclassified"}
    assert 0.15 < tally.drawn / tally.connections < 0.25
    assert tally.drawn < tally.stored < tally.connections


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"connections": -1}, "expected connections to be a whole number from 0"),
        ({"faults": 1.5}, "expected faults to be a share from 0 to 1, but got 1.5"),
        ({"since": MONDAY + 2 * DAY}, "expected since to lie before until"),
        ({"causes": ("gremlins",)}, "expected a cause of .*, but got 'gremlins'"),
        ({"until": MONDAY + timedelta(minutes=10)}, "give a longer range or fewer episodes"),
        ({"cold_ms": -1.0}, "expected cold_ms to be 0 or more, but got -1.0"),
    ],
)
def test_plan_is_refused_when_it_makes_no_sense(plan: MakePlan, own: dict[str, Any], said: str) -> None:
    """What was expected, and what came."""
    with pytest.raises(PlanError, match=said):
        all_labels(plan(**own))
