"""The closed loop over a real store and a real ledger: what it does next, and that it goes on from the store alone."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst.policy import Policy, default_policy
from acceptfirst.policy.steps import check_step
from acceptfirst_analysis.loop.look import LoopSettings, Outlook, look
from acceptfirst_analysis.loop.proposal import within_step
from acceptfirst_analysis.tuning.memory import ACTOR
from acceptfirst_analysis.window import WEEK, Window
from acceptfirst_collector.policy.ledger import Account, PolicyLedger
from acceptfirst_collector.policy.state import ChangeConflictError
from acceptfirst_store.database import Database

PERSON = Account(actor="ann", reason="slow bots")
AUTOMATIC = LoopSettings(is_automatic=True)
GATED = dataclasses.replace(default_policy("production"), version="v2", routes={}, readiness_mode="event", gate="hold")
SHADOWED = {"readiness_mode": "blind", "gate": "observe", "delay_applied_ms": 25.0, "messages_sent": 1}


@pytest.fixture
def ledger(database: Database) -> PolicyLedger:
    """The policies of the test's store."""
    return PolicyLedger(database)


def production(
    database: Database, catalogue: Catalogue, now: datetime, settings: LoopSettings | None = None
) -> Outlook:
    """What is to be done next in production."""
    return next(row for row in look(database, catalogue, now=now, settings=settings) if row.environment == "production")


def cold(handshakes: Any, n: int = 400) -> None:
    """A route where one handshake in four is ready far too late for any delay."""
    for i in range(n):
        handshakes.add(ready_ms=25.0, phases={"ready": 400.0 if i % 4 == 0 else 6.0}, **SHADOWED)
    handshakes.write()


def move(database: Database, since: datetime) -> None:
    """Shift every policy event to a moment of the test's own: the ledger stamps them with the time it is."""
    database.run("CREATE TABLE acceptfirst.moved AS acceptfirst.policy_events")
    try:
        database.run(
            "INSERT INTO acceptfirst.moved SELECT * REPLACE(addSeconds({since:DateTime64(3, 'UTC')}, revision)"
            " AS happened_at) FROM acceptfirst.policy_events",
            {"since": since},
        )
        database.run("TRUNCATE TABLE acceptfirst.policy_events")
        database.run("INSERT INTO acceptfirst.policy_events SELECT * FROM acceptfirst.moved")
    finally:
        database.run("DROP TABLE acceptfirst.moved")


def arms(handshakes: Any, window: Window, canary: tuple[int, int], baseline: tuple[int, int]) -> None:
    """Handshakes of both arms in the window: how many, and how many of them were met too early."""
    for (n, early), own in ((canary, {"policy_arm": "canary", "policy_version": "v2"}), (baseline, {})):
        for i in range(n):
            handshakes.add(messages_early=int(i < early), messages_sent=1, gate="hold", **own)
    for row in handshakes.rows:
        row["first_seen"] = row["last_seen"] = window.since + timedelta(hours=1)
    handshakes.write()


def canary_of(ledger: PolicyLedger, share: float = 0.1, account: Account = PERSON) -> None:
    """A candidate that is tried on a share of the connections."""
    ledger.propose(GATED, account)
    ledger.promote("production", share, account)


def test_loop_proposes_what_a_whole_week_asks_for(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """A gate on the route, as a document that the ledger takes; with the recommendation as its evidence."""
    cold(handshakes)
    step = production(handshakes.database, catalogue, window.until + timedelta(hours=2)).step
    assert step is not None
    assert (step.action, step.version, step.evidence["week"]) == ("propose", "2026-W47.1", "2026-W47")
    assert step.policy is not None
    assert step.policy["routes"]["/ws"]["gate"] == "hold"
    assert step.evidence["recommendations"][0]["verdict"] == "gate"
    assert json.loads(json.dumps(dataclasses.asdict(step), allow_nan=False))


def test_loop_waits_when_the_week_is_not_over(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Its last handshakes may still come in."""
    cold(handshakes)
    outlook = production(handshakes.database, catalogue, window.until + timedelta(minutes=30))
    assert (outlook.step, outlook.message) == (None, "no handshakes in week 2026-W46")


def test_loop_does_not_propose_the_same_week_twice(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Once it was proposed and taken back, it is not proposed again."""
    cold(handshakes)
    now = window.until + timedelta(hours=2)
    step = production(handshakes.database, catalogue, now).step
    assert step is not None
    ledger.propose(GATED, Account(actor=ACTOR, reason=step.reason, evidence=step.evidence))
    move(handshakes.database, window.since - timedelta(hours=1))
    ledger.rollback("production", PERSON)
    move(handshakes.database, window.since - timedelta(hours=1))
    outlook = production(handshakes.database, catalogue, now)
    assert (outlook.step, outlook.message) == (None, "week 2026-W47 was proposed already")


def test_loop_does_not_propose_again_what_was_rolled_back(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """The same settings under another version are the same settings."""
    cold(handshakes)
    now = window.until + timedelta(hours=2)
    step = production(handshakes.database, catalogue, now).step
    assert step is not None
    earlier = {**step.evidence, "week": "2026-W46"}
    ledger.propose(GATED, Account(actor=ACTOR, reason="", evidence=earlier))
    ledger.rollback("production", PERSON)
    move(handshakes.database, window.since - timedelta(hours=1))
    outlook = production(handshakes.database, catalogue, now)
    assert (outlook.step, "was rolled back before" in outlook.message) == (None, True)


def test_week_in_which_the_policy_changed_proposes_nothing(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Half of it speaks of another policy."""
    cold(handshakes)
    ledger.propose(GATED, PERSON)
    ledger.promote("production", None, PERSON)
    move(handshakes.database, window.since + timedelta(days=2))
    outlook = production(handshakes.database, catalogue, window.until + timedelta(hours=2))
    assert (outlook.step, "the policy changed in or after week 2026-W47" in outlook.message) == (None, True)


def test_proposal_waits_for_a_person_unless_the_loop_is_automatic(
    database: Database, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Switched on, it begins with a tenth of the connections."""
    ledger.propose(GATED, Account(actor=ACTOR, reason="week"))
    waiting = production(database, catalogue, window.until)
    begun = production(database, catalogue, window.until, AUTOMATIC).step
    assert (waiting.step, "waits for `acceptfirst policy promote`" in waiting.message) == (None, True)
    assert begun is not None
    assert (begun.action, begun.share, begun.version) == ("promote", 0.1, "v2")


def test_proposal_of_a_person_is_left_to_that_person(
    database: Database, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Automatic or not."""
    ledger.propose(GATED, PERSON)
    assert production(database, catalogue, window.until, AUTOMATIC).step is None


@pytest.mark.parametrize("settings", [LoopSettings(), AUTOMATIC])
def test_canary_that_harms_is_rolled_back_in_either_case(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger, settings: LoopSettings
) -> None:
    """Twelve of 100, against none of 900; nobody is asked."""
    canary_of(ledger)
    move(handshakes.database, window.since)
    arms(handshakes, window, canary=(100, 12), baseline=(900, 0))
    step = production(handshakes.database, catalogue, window.since + timedelta(hours=2), settings).step
    assert step is not None
    assert (step.action, step.version) == ("rollback", "v2")
    assert step.reason.startswith("it harms: 12 of 12 connections with a race")
    assert (step.evidence["canary"]["n"], step.evidence["baseline"]["n"]) == (100, 900)


def test_good_canary_is_promoted_when_the_loop_is_automatic(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Else a person is told, once."""
    canary_of(ledger)
    move(handshakes.database, window.since)
    arms(handshakes, window, canary=(200, 0), baseline=(1800, 400))
    now = window.since + timedelta(hours=2)
    promoted = production(handshakes.database, catalogue, now, AUTOMATIC).step
    advised = production(handshakes.database, catalogue, now).step
    assert promoted is not None
    assert advised is not None
    assert (promoted.action, promoted.share, advised.action) == ("promote", None, "advise")
    ledger.note("production", "advise", "v2", Account(actor=ACTOR, reason=advised.reason, evidence=advised.evidence))
    move(handshakes.database, window.since)
    assert production(handshakes.database, catalogue, now).step is None


def test_canary_goes_on_where_it_was_when_the_loop_was_away(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Nothing is kept but what is in the store: another process, weeks later, sees the same counts."""
    canary_of(ledger)
    move(handshakes.database, window.since)
    arms(handshakes, window, canary=(50, 0), baseline=(450, 1))
    first, second = (
        production(handshakes.database, catalogue, window.since + timedelta(days=days)).message for days in (1, 20)
    )
    assert (
        first
        == second
        == "0 of 50 handshakes were late; 3,538 more without another would show that it keeps the objective"
    )


def test_handshakes_of_other_times_and_routes_do_not_count(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """Before the canary began, and on a route whose setting it does not change."""
    own = dataclasses.replace(default_policy("production"), version="v2", routes={"/chat": GATED})
    ledger.propose(own, PERSON)
    ledger.promote("production", 0.1, PERSON)
    move(handshakes.database, window.since)
    arms(handshakes, window, canary=(100, 50), baseline=(900, 0))  # on /ws
    outlook = production(handshakes.database, catalogue, window.since + timedelta(hours=2))
    assert (outlook.step, outlook.message) == (None, "no handshake of the canary has come in yet")


def test_promotion_is_verified_after_a_whole_week(
    handshakes: Any, catalogue: Catalogue, window: Window, ledger: PolicyLedger
) -> None:
    """The week before it was proposed against the first one that is wholly under it; once."""
    cold(handshakes, 200)
    handshakes.rows.clear()
    ledger.propose(GATED, PERSON)
    ledger.promote("production", None, PERSON)
    move(handshakes.database, window.until + timedelta(days=1))
    monday = window.until + WEEK
    for _ in range(200):
        handshakes.add(gate="hold", policy_version="v2", messages_sent=1, first_seen=monday, last_seen=monday)
    for number, row in enumerate(handshakes.rows):
        row["connection_id"] = int(monday.timestamp() * 1000).to_bytes(6, "big") + number.to_bytes(10, "big")
    handshakes.write()
    early = production(handshakes.database, catalogue, monday + timedelta(days=6))
    step = production(handshakes.database, catalogue, monday + WEEK + timedelta(hours=2)).step
    assert (early.step, step is not None) == (None, True)
    assert step is not None
    assert (step.action, step.evidence["changes"][0]["effect"]) == ("verify", "worked")
    ledger.note("production", "verify", "v2", Account(actor=ACTOR, reason=step.reason, evidence=step.evidence))
    move(handshakes.database, window.until + timedelta(days=1))
    again = production(handshakes.database, catalogue, monday + WEEK + timedelta(hours=3))
    assert again.step is None or again.step.action != "verify"


def test_decision_on_a_state_that_has_changed_is_a_conflict(database: Database, ledger: PolicyLedger) -> None:
    """A person was faster; what was decided before does not hold any more."""
    ledger.propose(GATED, PERSON)
    ledger.rollback("production", PERSON)
    with pytest.raises(ChangeConflictError, match="at revision 1, but it is at 2"):
        ledger.promote("production", 0.1, Account(actor=ACTOR, reason="", revision=1))


def test_note_changes_nothing_but_the_history(database: Database, ledger: PolicyLedger) -> None:
    """What backends are given stays, and so does what a rollback restores."""
    ledger.propose(GATED, PERSON)
    ledger.promote("production", None, PERSON)
    before = ledger.served("production")
    ledger.note("production", "verify", "v2", Account(actor=ACTOR, reason="it worked", evidence={"n": 1}))
    assert ledger.served("production") == before
    assert database.statement_rows("policy_decisions", {"environment": ""})[0]["action"] == "verify"
    assert ledger.rollback("production", PERSON).baseline == default_policy("production")


def test_proposal_goes_down_no_further_than_a_step() -> None:
    """A timeout of 100 ms after one of a second becomes 800; up is free."""
    old = default_policy("production")
    low = dataclasses.replace(old, version="v2", handshake_timeout_ms=100.0, delay_ladder_ms=(5.0,))
    gentle = within_step(old, low)
    check_step(old, gentle)
    assert (gentle.handshake_timeout_ms, gentle.delay_ladder_ms[0]) == (800.0, 20.0)
    high = dataclasses.replace(old, version="v2", handshake_timeout_ms=5000.0)
    assert within_step(old, high).handshake_timeout_ms == 5000.0


def test_proposal_reaches_zero_in_steps() -> None:
    """A step of a millisecond is always allowed, so that no number of weeks is too small."""
    policy: Policy = dataclasses.replace(default_policy("testing"), handshake_timeout_ms=100.0)
    goal = dataclasses.replace(policy, delay_ladder_ms=(0.0,))
    for _ in range(6):
        stepped = within_step(policy, goal)
        check_step(policy, stepped)
        policy = stepped
    assert policy.delay_ladder_ms == (0.0,)
