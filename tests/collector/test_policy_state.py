"""How a policy changes: whatever is done in whatever order, one change at a time, and every promotion can be undone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from acceptfirst.policy import Policy, default_policy
from acceptfirst_collector.policy.state import (
    ChangeConflictError,
    ChangeInvalidError,
    PolicyState,
    promote,
    propose,
    rollback,
)

DEFAULT = default_policy("testing")
START = PolicyState(environment="testing")
CANDIDATE = replace(DEFAULT, version="v1", handshake_timeout_ms=150.0)


def test_proposal_changes_nothing_for_the_backends() -> None:
    """It waits."""
    proposed = propose(START, CANDIDATE)

    assert (proposed.stage, proposed.served, proposed.baseline) == ("proposed", DEFAULT, DEFAULT)


def test_promotion_to_a_share_gives_the_backends_a_canary() -> None:
    """On top of what was in force: where that is nothing, the default that backends have anyway."""
    served = promote(propose(START, CANDIDATE), 0.1).served

    assert served is not None
    assert served.canary is not None
    assert (replace(served, canary=None), served.canary.share) == (DEFAULT, 0.1)
    assert served.canary.policy.version == "v1"


def test_promotion_to_all_ends_the_change() -> None:
    """The candidate is in force, as the baseline."""
    promoted = promote(promote(propose(START, CANDIDATE), 0.1))

    assert (promoted.stage, promoted.served) == ("none", CANDIDATE)


def test_rollback_of_a_canary_leaves_what_was_in_force() -> None:
    """The candidate is gone, and another may be proposed."""
    first = promote(propose(START, CANDIDATE))
    canary = promote(propose(first, replace(CANDIDATE, version="v2")), 0.5)
    taken_back = rollback(canary, None)

    assert (taken_back.stage, taken_back.served) == ("none", CANDIDATE)
    propose(taken_back, replace(CANDIDATE, version="v3"))


def test_rollback_of_the_first_promotion_says_the_default_aloud() -> None:
    """Backends that are told nothing keep what they have."""
    taken_back = rollback(promote(propose(START, CANDIDATE)), None)

    assert taken_back.served == DEFAULT
    with pytest.raises(ChangeConflictError, match="promoted policy of testing to roll back"):
        rollback(taken_back, None)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (replace(CANDIDATE, version="default"), "'default', which is in force"),
        (replace(CANDIDATE, handshake_timeout_ms=10.0), "no step down of more than 20%"),
        (promote(propose(START, CANDIDATE), 0.1).served, "expected a policy without a canary"),
    ],
)
def test_proposal_is_refused_when_it_is_wrong(candidate: Any, message: str) -> None:
    """With what was expected."""
    with pytest.raises(ChangeInvalidError, match=message):
        propose(START, replace(candidate, version=candidate.version))


@pytest.mark.parametrize(("share", "stage"), [(None, "proposed"), (0.1, "tried on a canary")])
def test_second_change_is_refused_while_one_is_under_way(share: float | None, stage: str) -> None:
    """And told which one it is."""
    state = propose(START, CANDIDATE)
    state = state if share is None else promote(state, share)
    with pytest.raises(ChangeConflictError, match=f"version 'v1' is {stage}"):
        propose(state, replace(CANDIDATE, version="v2"))


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.1, float("nan")])
def test_promotion_is_refused_when_the_share_is_none(share: float) -> None:
    """All is said by saying no share."""
    with pytest.raises(ChangeInvalidError, match="above 0 and below 1"):
        promote(propose(START, CANDIDATE), share)


def test_promotion_is_refused_when_nothing_was_proposed() -> None:
    """Nothing to promote."""
    with pytest.raises(ChangeConflictError, match="propose one"):
        promote(START)


class Changes(RuleBasedStateMachine):
    """Any changes in any order, against a list of what was promoted."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[PolicyState] = []
        self.promoted: list[Policy] = []
        self.candidate: Policy | None = None
        self.count = 0

    @property
    def state(self) -> PolicyState:
        """The latest row."""
        return self.rows[-1] if self.rows else START

    @rule(timeout_ms=st.floats(50, 500))
    def propose_one(self, timeout_ms: float) -> None:
        """Refused while another is under way, or where it goes down too far."""
        self.count += 1
        candidate = replace(DEFAULT, version=f"v{self.count}", handshake_timeout_ms=timeout_ms)
        try:
            self.rows.append(propose(self.state, candidate))
        except ChangeConflictError:
            assert self.candidate is not None
        except ChangeInvalidError:
            assert timeout_ms < self.state.baseline.handshake_timeout_ms * 0.8
        else:
            assert self.candidate is None
            self.candidate = candidate

    @rule(share=st.one_of(st.none(), st.floats(0.01, 0.99)))
    def promote_it(self, share: float | None) -> None:
        """Refused without a candidate."""
        try:
            self.rows.append(promote(self.state, share))
        except ChangeConflictError:
            assert self.candidate is None
            return
        if share is None and self.candidate is not None:
            self.promoted.append(self.candidate)
            self.candidate = None

    @rule()
    def roll_back(self) -> None:
        """Takes the candidate back, else the last promotion."""
        undo = self.state.undo_revision
        try:
            self.rows.append(rollback(self.state, self.rows[undo - 1] if undo > 0 else None))
        except ChangeConflictError:
            assert self.candidate is None
            assert not self.promoted
            return
        if self.candidate is None:
            self.promoted.pop()
        self.candidate = None

    @invariant()
    def state_is_what_the_list_says(self) -> None:
        """What holds, what is under way, and a revision for each row."""
        assert self.state.baseline == (self.promoted[-1] if self.promoted else DEFAULT)
        assert self.state.candidate == self.candidate
        assert [row.revision for row in self.rows] == list(range(1, len(self.rows) + 1))


Changes.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestChanges = Changes.TestCase
