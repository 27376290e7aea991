"""Whether a change worked, from a real store: the right sides, the right counts, and no claim that they can't carry."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from acceptfirst_analysis.loop.arms import ArmCounts
from acceptfirst_analysis.loop.verification import Verification, to_document, verify
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.window import Window, iso_week, window_between
from acceptfirst_store.database import Database

BLIND = {"readiness_mode": "blind", "gate": "observe", "delay_applied_ms": 25.0, "policy_version": "old"}
GATED = {"readiness_mode": "event", "gate": "hold", "policy_version": "new", "messages_sent": 1}


def before(handshakes: Any, n: int, late: int, **own: Any) -> None:
    """Blind handshakes with a shadow, of which some were ready only after the delay."""
    for i in range(n):
        handshakes.add(ready_ms=25.0, phases={"ready": 90.0 if i < late else 5.0}, messages_sent=1, **{**BLIND, **own})


def after(handshakes: Any, n: int, early: int = 0, **own: Any) -> None:
    """Handshakes behind a gate, of which some met a message too early all the same."""
    for i in range(n):
        handshakes.add(ready_ms=40.0, messages_early=int(i < early), **{**GATED, **own})


def verified(handshakes: Any, window: Window) -> list[Verification]:
    """What the store says of them."""
    handshakes.write()
    return verify(handshakes.database, window)


def test_change_worked_when_fewer_handshakes_are_late(handshakes: Any, window: Window) -> None:
    """60 of 200 behind a delay, none of 200 behind a gate; both settings are named."""
    before(handshakes, 200, 60)
    after(handshakes, 200)
    (row,) = verified(handshakes, window)
    assert (row.effect, row.before.policy_version, row.after.policy_version) == ("worked", "old", "new")
    assert row.before.setting == "blind, observe, delay 25 ms"
    assert (row.rate_before and row.rate_before.events, row.rate_after and row.rate_after.events) == (60, 0)
    assert row.rationale.startswith("60 of 200 (30 %) were not ready in time under old")


def test_change_is_worse_when_more_handshakes_are_late(handshakes: Any, window: Window) -> None:
    """The other way round."""
    before(handshakes, 300, 0)
    after(handshakes, 300, early=30)
    (row,) = verified(handshakes, window)
    assert (row.effect, row.objective_met) == ("worse", False)


@pytest.mark.parametrize(
    ("own", "words"), [({"error_type": "KeyError"}, "exception"), ({"messages_sent": 0}, "answer")]
)
def test_change_is_worse_when_something_else_breaks(
    handshakes: Any, window: Window, own: dict[str, Any], words: str
) -> None:
    """No race any more, but exceptions, or nobody is answered."""
    before(handshakes, 200, 20)
    after(handshakes, 200, **own)
    (row,) = verified(handshakes, window)
    assert row.effect == "worse"
    assert f"More connections than before {'had an' if words == 'exception' else 'ended without an'} {words}" in (
        row.rationale
    )


def test_nothing_is_claimed_when_there_are_few_handshakes(handshakes: Any, window: Window) -> None:
    """Two of ten against none of ten is nothing; it says how many more are needed."""
    before(handshakes, 10, 2)
    after(handshakes, 10)
    (row,) = verified(handshakes, window)
    assert (row.effect, row.objective_met) == ("no_evidence", None)
    assert "2,985 more handshakes" in row.rationale


def test_objective_is_kept_when_nothing_was_wrong_before(handshakes: Any, window: Window) -> None:
    """No improvement to show, and none needed: 3,000 handshakes without a race."""
    before(handshakes, 3000, 0)
    after(handshakes, 3000)
    (row,) = verified(handshakes, window)
    assert (row.effect, row.objective_met, row.p_value) == ("kept", True, 1.0)


def test_silence_before_is_not_compared_with_speech_after(handshakes: Any, window: Window) -> None:
    """Blind without a shadow: nobody knows what it was like."""
    for _ in range(200):
        handshakes.add(ready_ms=25.0, messages_sent=1, **BLIND)
    after(handshakes, 200, early=40)
    (row,) = verified(handshakes, window)
    assert (row.rate_before, row.p_value, row.effect) == (None, None, "no_evidence")
    assert "not known" in row.rationale


def test_stratum_that_never_changed_is_left_out(handshakes: Any, window: Window) -> None:
    """One setting, one version: nothing to verify."""
    after(handshakes, 50)
    assert verified(handshakes, window) == []


def test_canary_is_no_change_yet(handshakes: Any, window: Window) -> None:
    """It runs beside what is in force."""
    before(handshakes, 50, 10)
    after(handshakes, 50, policy_arm="canary")
    assert verified(handshakes, window) == []


def test_versions_are_compared_when_the_setting_is_the_same(handshakes: Any, window: Window) -> None:
    """A timeout that was changed shows in neither mode nor gate."""
    after(handshakes, 100, early=40, policy_version="short")
    after(handshakes, 100, policy_version="long")
    (row,) = verified(handshakes, window)
    assert (row.before.policy_version, row.after.policy_version, row.effect) == ("short", "long", "worked")


def test_range_before_is_the_other_side_when_the_change_lies_between(handshakes: Any, database: Database) -> None:
    """A week under the old setting, the next under the new one."""
    before(handshakes, 100, 40)
    after(handshakes, 100)
    for row in handshakes.rows[100:]:
        for key in ("pending_at", "connected_at", "ready_at", "first_seen", "last_seen"):
            row[key] += timedelta(days=7)
    handshakes.write()
    monday = iso_week("2026-W48", now=iso_week("2026-W50", now=handshakes.rows[0]["first_seen"]).since)
    (row,) = verify(database, monday)
    assert (row.effect, row.before.counts.n, row.after.counts.n) == ("worked", 100, 100)


def test_many_routes_are_not_a_lottery(handshakes: Any, window: Window) -> None:
    """A difference that is one in 25 by chance is none of 12 routes', since it is the smallest of many."""
    for route in range(12):
        before(handshakes, 60, 5 if route == 0 else 0, route=f"/{route}")
        after(handshakes, 60, route=f"/{route}")
    alone = next(row for row in verified(handshakes, window) if row.route == "/0")
    assert alone.effect == "no_evidence"
    assert alone.p_value is not None
    assert alone.p_value > 0.05


def test_undrawn_violations_are_no_handshakes(handshakes: Any, window: Window) -> None:
    """A weight of 0 is there because it had a violation: it counts as a race, not in a rate."""
    after(handshakes, 50)
    after(handshakes, 5, early=5, weight=0.0)
    handshakes.write()
    rows = handshakes.database.statement_rows("arm_outcomes", {"environment": "", **window.parameters})
    counts = ArmCounts.of(rows)
    assert (counts.n, counts.n_races, counts.races) == (50, 0, 5)


def test_document_is_json(handshakes: Any, window: Window) -> None:
    """Every row of it."""
    before(handshakes, 20, 10)
    after(handshakes, 20)
    document = to_document(verified(handshakes, window), window, Settings())
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["window"]["week"] == "2026-W47"


def test_nothing_is_verified_when_nothing_is_stored(database: Database, window: Window) -> None:
    """Nor when the range is all of time."""
    assert verify(database, window) == []
    assert verify(database, window_between(None, None, now=window.until)) == []
