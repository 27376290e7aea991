"""How far one change may go down, and how long a delay may be."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.policy import Canary, Policy, PolicyError, StepError, check_step, default_policy, delay_ms_max
from acceptfirst.policy.limits import DELAY_MS_MAX_VARIABLE

OLD = Policy(environment="testing", readiness_mode="blind", delay_ladder_ms=(100.0, 50.0), handshake_timeout_ms=1000.0)
GATED = replace(OLD, readiness_mode="event", gate="hold", delay_ladder_ms=(0.0,))


@pytest.mark.parametrize(
    "new",
    [
        replace(OLD, delay_ladder_ms=(80.0, 40.0), handshake_timeout_ms=800.0),
        replace(OLD, delay_ladder_ms=(250.0,), handshake_timeout_ms=60_000.0),
        GATED,
        replace(OLD, routes={"/chat": GATED}),
        replace(OLD, canary=Canary(0.1, GATED)),
    ],
    ids=["a fifth down", "up", "an event instead of a delay", "on a route", "in the canary"],
)
def test_step_is_taken_when_it_goes_down_by_a_fifth_at_most(new: Policy) -> None:
    """Up is free; a delay that an event replaces is not shortened."""
    check_step(OLD, new)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (replace(OLD, delay_ladder_ms=(79.0, 50.0)), r"delay_ladder_ms\[0\] 79 after 100 \(at least 80\)"),
        (replace(OLD, delay_ladder_ms=(100.0, 39.0)), r"delay_ladder_ms\[1\] 39 after 50 \(at least 40\)"),
        (replace(OLD, delay_ladder_ms=(100.0, 50.0, 10.0)), r"delay_ladder_ms\[2\] 10 after 50"),
        (replace(OLD, readiness_mode=None, delay_ladder_ms=(10.0,)), r"delay_ladder_ms\[0\] 10 after 100"),
        (replace(OLD, handshake_timeout_ms=799.0), r"handshake_timeout_ms 799 after 1000 \(at least 800\)"),
        (replace(OLD, routes={"/c": replace(OLD, delay_ladder_ms=(1.0,))}), r"\[0\] of route /c 1 after 100"),
        (replace(OLD, canary=Canary(1, replace(OLD, delay_ladder_ms=(1.0,)))), r"canary delay_ladder_ms\[0\] 1"),
        (replace(GATED, handshake_timeout_ms=10.0), r"handshake_timeout_ms 10 after 1000"),
    ],
)
def test_step_is_refused_when_it_goes_down_too_far(new: Policy, message: str) -> None:
    """With the value, what it was and how far it may go."""
    with pytest.raises(StepError, match=message):
        check_step(OLD, new)


def test_step_is_compared_with_the_routes_own_policy() -> None:
    """Not with its environment's; and a route that loses its table falls back to that."""
    patient = replace(OLD, routes={"/c": replace(OLD, handshake_timeout_ms=5000.0)})

    check_step(patient, replace(OLD, routes={"/c": replace(OLD, handshake_timeout_ms=4000.0)}))
    with pytest.raises(StepError, match="of route /c 1000 after 5000"):
        check_step(patient, OLD)


@given(st.floats(0, 250), st.floats(0, 250))
def test_every_policy_can_be_reached_in_steps(start_ms: float, goal_ms: float) -> None:
    """However low it is, zero included: a rule that ends nowhere would be worked around."""
    held, goal = (replace(OLD, delay_ladder_ms=(ms,)) for ms in (start_ms, goal_ms))
    for _ in range(40):
        lowest_ms = max(goal_ms, held.delay_ms(0) - max(held.delay_ms(0) * 0.2, 1.0))
        stepped = goal if goal_ms >= held.delay_ms(0) else replace(OLD, delay_ladder_ms=(lowest_ms,))
        check_step(held, stepped)
        held = stepped
    assert held == goal


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_policy_may_stay_as_it_is(environment: str) -> None:
    """No change is no step."""
    check_step(default_policy(environment), default_policy(environment))


def test_delay_may_be_longer_when_the_user_raises_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the variable; with it the same policy is fine."""
    with pytest.raises(PolicyError, match=f"0 to 250, but got 400; {DELAY_MS_MAX_VARIABLE} raises the limit"):
        replace(OLD, delay_ladder_ms=(400,))
    monkeypatch.setenv(DELAY_MS_MAX_VARIABLE, "400")

    assert replace(OLD, delay_ladder_ms=(400,)).delay_ms(0) == 400


@pytest.mark.parametrize("text", ["", "lots", "nan", "100", "-1", "1e9"])
def test_limit_stays_when_the_variable_is_wrong(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Neither no limit, nor one that the default policies would break."""
    monkeypatch.setenv(DELAY_MS_MAX_VARIABLE, text)

    assert delay_ms_max() == 250


def test_wrong_limit_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Every policy asks; nobody wants to read it each time."""
    monkeypatch.setenv(DELAY_MS_MAX_VARIABLE, "plenty")
    with caplog.at_level(logging.ERROR, "acceptfirst"):
        for _ in range(3):
            default_policy("production")

    assert [record.getMessage().count("'plenty'") for record in caplog.records] == [1]
