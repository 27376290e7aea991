"""The lifecycle's table: every pair of states is either in it or refused."""

from __future__ import annotations

import itertools

import pytest

from acceptfirst.lifecycle import ALLOWED_TRANSITIONS, TransitionError, require_transition
from acceptfirst.lifecycle import ApplicationConnectionState as State

CONTRACT = {
    "INITIALIZING": {"HANDSHAKE_PENDING", "ERROR", "CLOSED"},
    "HANDSHAKE_PENDING": {"CONNECTED", "ERROR", "CLOSED"},
    "CONNECTED": {"READY_FOR_MESSAGES", "ERROR", "CLOSED"},
    "READY_FOR_MESSAGES": {"ERROR", "CLOSED"},
    "ERROR": {"CLOSED"},
    "CLOSED": set(),
}
"""The design's table, written out a second time on purpose."""


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_table_allows_exactly_what_the_contract_names(old: State, new: State) -> None:
    """A pair is allowed if and only if the contract has it."""
    if new.value in CONTRACT[old.value]:
        require_transition(old, new)
    else:
        with pytest.raises(TransitionError) as refused:
            require_transition(old, new)
        assert (refused.value.old, refused.value.new) == (old, new)


def test_table_has_a_row_for_every_state() -> None:
    """A state without a row would be a hole that only shows at run time."""
    assert set(State) == set(ALLOWED_TRANSITIONS)


def test_refusal_names_what_was_expected_and_what_came() -> None:
    """The message tells both states and what would have been allowed."""
    with pytest.raises(TransitionError, match=r"expected one of \[CLOSED\] after ERROR, but got CONNECTED"):
        require_transition(State.ERROR, State.CONNECTED)


@pytest.mark.parametrize("state", list(State))
def test_only_closed_is_terminal(state: State) -> None:
    """Nothing follows CLOSED, something follows everything else."""
    assert state.is_terminal is (state is State.CLOSED)


@pytest.mark.parametrize("state", list(State))
def test_only_ready_is_ready_for_messages(state: State) -> None:
    """READY_FOR_MESSAGES alone admits messages."""
    assert state.is_ready_for_messages is (state is State.READY_FOR_MESSAGES)


@pytest.mark.parametrize("state", list(State))
def test_connection_is_operational_between_accept_and_the_end(state: State) -> None:
    """CONNECTED and READY_FOR_MESSAGES are operational, nothing else is."""
    assert state.is_operational is (state in (State.CONNECTED, State.READY_FOR_MESSAGES))
