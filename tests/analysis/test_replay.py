"""Recorded handshakes under another policy, against handshakes that were simulated under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from acceptfirst.policy import Policy
from acceptfirst_analysis.replay import Replay, replay
from acceptfirst_analysis.simulate import Place, Plan, place, simulate, write_rows
from acceptfirst_analysis.simulate.tally import Tally
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
EARLY = "early_message_before_ready"
Replayed = Callable[[Place, Policy], Replay]


def plan_of(where: Place) -> Plan:
    """Impatient clients and many cold starts, without anything scripted."""
    return Plan(
        connections=1500,
        since=MONDAY,
        until=MONDAY + timedelta(days=1),
        places=(where,),
        faults=0.0,
        episodes=0,
        impatient=0.8,
        cold_starts=300,
        leave_ms=60_000.0,  # what they would have done otherwise is beyond any replay
    )


def races(where: Place) -> int:
    """How many of the plan's connections truly met an application at work, under the place's policy."""
    tally = Tally()
    for block in simulate(plan_of(where)):
        tally.add(block)
    return tally.patterns[EARLY]


@pytest.fixture
def replayed(database: Database, window: Window) -> Replayed:
    """Records a plan at a place and replays it under another policy."""

    def run(where: Place, policy: Policy) -> Replay:
        plan = plan_of(where)
        write_rows(database, plan, simulate(plan))
        [one] = replay(database, lambda _: policy, window)
        return one

    return run


EVENT = place("production")


def test_replay_says_what_was_when_the_policy_stays(replayed: Replayed) -> None:
    """The recorded races, and no doubt."""
    one = replayed(EVENT, EVENT.policy)
    assert one.violations_least == one.violations_most == one.recorded_violations == races(EVENT) > 50
    assert (one.unknowable, one.wait_ms_mean) == ((), 0.0)


def test_replay_agrees_with_a_simulation_under_the_held_gate(replayed: Replayed) -> None:
    """Those whose readiness comes after the timeout are left, which opens the gate; and messages wait."""
    held = replace(EVENT, policy=replace(EVENT.policy, gate="hold", handshake_timeout_ms=200.0))
    one = replayed(EVENT, held.policy)
    assert one.violations_least <= races(held) <= one.violations_most
    assert one.violations_most < one.recorded_violations
    assert one.wait_ms_p95 is not None
    assert one.wait_ms_p95 > 0


def test_replay_says_why_it_does_not_know(database: Database, window: Window) -> None:
    """In words, with the number of handshakes and what to do about it."""
    blind = place("production", mode="blind")
    plan = replace(plan_of(blind), shadow=False)
    write_rows(database, plan, simulate(plan))
    [one] = replay(database, lambda _: EVENT.policy, window)
    assert one.violations_least == 0
    assert one.violations_most == one.unknown_readiness == one.n_messaged > 1000
    assert "say acceptfirst.ready() to know" in one.unknowable[0]


def test_replay_finds_nothing_when_the_store_is_empty(database: Database, window: Window) -> None:
    """No rows, no error."""
    assert replay(database, lambda _: EVENT.policy, window) == []
