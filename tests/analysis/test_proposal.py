"""Recommendations as a policy file that the middleware reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acceptfirst.policy import DELAY_MS_MAX, default_policy, dump_policy_file, load_policy_file
from acceptfirst_analysis.loop.proposal import propose
from acceptfirst_analysis.tuning.recommendation import Recommendation


def advice(verdict: Any, **own: Any) -> Recommendation:
    """A row on /ws in production."""
    values: dict[str, Any] = {
        "environment": "production",
        "service": "chat",
        "route": "/ws",
        "verdict": verdict,
        "readiness_mode_seen": "blind",
        "slo": 0.001,
        "confidence": 0.95,
        "n": 500,
        "rationale": "because",
        "provisional": False,
        "timeout_ms": 1800.0,
    }
    return Recommendation(**{**values, **own})


def test_gate_becomes_event_and_hold_on_its_route_alone(tmp_path: Path) -> None:
    """Written, read back, and its neighbours are as they were."""
    file = tmp_path / "policy.toml"
    file.write_text(dump_policy_file(propose([advice("gate")], {}, version="2")))
    policy = load_policy_file(file, "production")
    route = policy.for_route("/ws")
    assert (route.readiness_mode, route.gate, route.handshake_timeout_ms) == ("event", "hold", 1800.0)
    assert (policy.for_route("/other").gate, policy.version) == (None, "2")


def test_delay_becomes_one_wait_of_a_blind_gate(tmp_path: Path) -> None:
    """The whole bound at once: nobody can tell a blind handshake that it is late."""
    file = tmp_path / "policy.toml"
    row = advice("delay", delay_ms=31.5, ladder_ms=(10.0, 21.5))
    file.write_text(dump_policy_file(propose([row], {}, version="2")))
    route = load_policy_file(file, "production").for_route("/ws")
    assert (route.delay_ladder_ms, route.readiness_mode, route.gate) == ((31.5,), "blind", "hold")
    assert route.delay_ladder_ms[0] <= DELAY_MS_MAX


@pytest.mark.parametrize("verdict", ["keep", "code_fix", "not_enough_evidence", "cliff"])
def test_policy_stays_as_it_was_when_the_verdict_is_not_for_it(verdict: str) -> None:
    """Nothing that a policy could carry out."""
    assert propose([advice(verdict)], {}, version="2") == {"production": default_policy("production")}


def test_route_that_two_services_share_gets_the_more_patient_setting() -> None:
    """Hold if either must, and the longer timeout."""
    rows = [advice("gate", service="a"), advice("delay", service="b", delay_ms=30.0, timeout_ms=2500.0)]
    route = propose(rows, {}, version="2")["production"].for_route("/ws")
    assert (route.gate, route.handshake_timeout_ms) == ("hold", 2500.0)


def test_environment_is_left_out_when_the_middleware_does_not_know_it() -> None:
    """A stranger's name can't stand in a policy file."""
    assert propose([advice("gate", environment="qa-7")], {}, version="2") == {}


def test_environment_itself_is_changed_when_the_spans_name_no_route() -> None:
    """The middleware could not tell the route either."""
    policy = propose([advice("gate", route="")], {}, version="2")["production"]
    assert (policy.gate, policy.routes) == ("hold", {})


def test_earlier_routes_of_the_policy_are_kept() -> None:
    """A proposal adds to the policy in force."""
    first = propose([advice("gate", route="/a")], {}, version="1")
    second = propose([advice("gate", route="/b")], first, version="2")["production"]
    assert set(second.routes) == {"/a", "/b"}
    assert {route.version for route in second.routes.values()} == {"2"}
