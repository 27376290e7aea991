"""From a real store to recommendations: nothing dropped, nothing pooled, nothing counted twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.tuning.memory import remember
from acceptfirst_analysis.tuning.recommend import EnvironmentUnseenError, code_fixes, recommend, to_document
from acceptfirst_analysis.tuning.recommendation import Recommendation, Settings
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CONTRACT = {
    "environment", "service", "route", "verdict", "readiness_mode_seen", "delay_ms", "timeout_ms", "poll_interval_ms",
    "ladder_ms", "slo", "violation_rate", "violation_rate_upper", "delay_ms_estimate", "n", "n_missing", "pattern",
    "cost", "rationale",
}  # fmt: skip


def by_route(rows: Sequence[Recommendation]) -> dict[tuple[str, str], Recommendation]:
    """Rows by route and kind."""
    return {(row.route, "code" if row.verdict == "code_fix" else "timing"): row for row in rows}


def test_recommendation_takes_readiness_from_the_event(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Ready minus connected, in milliseconds."""
    for i in range(100):
        handshakes.add(ready_ms=10.0 + i / 100)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.n, row.n_never_ready, row.delay_ms_estimate) == (100, 0, 10.99)


def test_recommendation_takes_readiness_from_the_shadow_when_blind(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """A blind handshake's own READY is the delay and says nothing; its phase does."""
    for _ in range(100):
        handshakes.add(ready_ms=25.0, readiness_mode="blind", delay_applied_ms=25.0, phases={"ready": 40.0})
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.delay_ms_estimate, row.violation_rate) == (40.0, 1.0)


def test_recommendation_abstains_when_blind_without_a_shadow(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """25 ms of READY in every row, and still nothing is known."""
    for _ in range(100):
        handshakes.add(ready_ms=25.0, readiness_mode="blind", delay_applied_ms=25.0)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.n, row.delay_ms_estimate, row.violation_rate) == ("not_enough_evidence", 0, None, None)


def test_handshakes_that_never_became_ready_are_counted(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Left, timed out and failed ones are missing; one that the application closed is its own decision."""
    for _ in range(50):
        handshakes.add(ready_ms=5.0)
    handshakes.add("CAD", None, dwell_ms=12.0)
    handshakes.add("CATG", 200.0, ended_by="timeout")
    handshakes.add("CAE", None, ended_by="exception")
    handshakes.add("CAX", None, ended_by="close")
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.n, row.n_never_ready) == (53, 3)
    assert row.evidence["n_refused"] == 1


def test_rows_without_weight_never_enter_a_sample(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """They are there because they had a violation."""
    for _ in range(50):
        handshakes.add(ready_ms=5.0)
    handshakes.add(ready_ms=5000.0, weight=0.0)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.n, row.delay_ms_estimate) == (50, 5.0)


def test_strata_are_never_pooled(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """A warm route and a cold one side by side: one verdict each."""
    for _ in range(400):
        handshakes.add(ready_ms=5.0, route="/warm")
    for i in range(100):
        handshakes.add(ready_ms=400.0 if i % 4 == 0 else 5.0, route="/cold")
    handshakes.write()
    rows = by_route(recommend(handshakes.database, catalogue, window))
    assert rows["/cold", "timing"].verdict == "gate"
    assert rows["/warm", "timing"].verdict == "not_enough_evidence"


def test_code_fix_names_the_dominant_race_beside_the_timing(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """A stratum may need both; a race that a gate cures is no reason for a code fix."""
    for _ in range(60):
        handshakes.add("CARGSD", 30.0, messages_early=1)
    for _ in range(30):
        handshakes.add("CAGRX!RE", 30.0)
    for _ in range(10):
        handshakes.add("CAGRSD!RE", 30.0)
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    rows = by_route(recommend(handshakes.database, catalogue, window))
    fix = rows["/ws", "code"]
    assert (fix.pattern, fix.n, fix.violation_rate) == ("receive_after_local_close", 100, 0.3)
    assert fix.violation_rate_upper == pytest.approx(0.384, abs=0.003)
    assert "Fix: Leave the receiving loop" in fix.rationale
    assert "receive_after_disconnect (10)" in fix.rationale
    assert len(fix.evidence["examples"]) == 3
    assert (rows["/ws", "timing"].verdict, rows["/ws", "timing"].violation_rate) == ("gate", 0.6)


def test_code_fix_stands_alone_when_the_route_never_accepts(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Nothing is known of its readiness, and nothing is said."""
    for _ in range(20):
        handshakes.add("C!RE", None)
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.pattern, row.delay_ms) == ("code_fix", "receive_before_accept", None)


def test_code_fix_is_not_said_of_a_deploy_that_made_handshakes_worse(catalogue: Catalogue) -> None:
    """It is found once a deploy: as a share of handshakes it would be next to nothing, and hide what is one."""
    key = {"environment": "production", "service": "chat", "route": "/ws"}
    row = {**key, "pattern_type": "regression_after_deploy", "connections": 1, "connections_drawn": 1}
    assert code_fixes([row], {}, catalogue, Settings(), provisional=False) == {}


def test_recommendation_is_empty_when_nothing_is_stored(
    database: Database, catalogue: Catalogue, window: Window
) -> None:
    """No rows, no error: nothing is known of any environment."""
    assert recommend(database, catalogue, window) == []
    assert recommend(database, catalogue, window, environment="production") == []


def test_recommendation_refuses_an_environment_that_nobody_saw(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """It says which ones there are."""
    handshakes.add()
    handshakes.write()
    with pytest.raises(EnvironmentUnseenError, match=r"\(production\), but got 'staging'"):
        recommend(handshakes.database, catalogue, window, environment="staging")


def test_document_keeps_the_contract(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Every promised key in every row, and it is JSON."""
    handshakes.add("C!RE", None, route="/bug")
    handshakes.add()
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    document = to_document(recommend(handshakes.database, catalogue, window), window)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema_version"] == 1
    assert all(row.keys() >= CONTRACT for row in document["recommendations"])


def test_recommendations_are_remembered_once_when_asked_for_twice(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """The same question about the same week replaces its answer."""
    for _ in range(40):
        handshakes.add()
    handshakes.write()
    rows = recommend(handshakes.database, catalogue, window)
    remember(handshakes.database, rows, window, now=NOW)
    remember(handshakes.database, rows, window, now=NOW + timedelta(hours=1))
    (stored,) = handshakes.database.rows("SELECT * FROM acceptfirst.tuning_recommendations FINAL")
    assert (stored["verdict"], stored["n"], stored["status"]) == ("not_enough_evidence", 40, "proposed")
    assert json.loads(stored["from_values"])["gate"] == "observe"


def test_microseconds_are_rounded_up_when_they_are_stored_finer(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Up: a bound rounded down is none."""
    for _ in range(10):
        handshakes.add(ready_ms=None, phases={"ready": 7.0001234}, readiness_mode="blind")
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert row.delay_ms_estimate == 7.001


def test_missing_handshakes_are_counted_when_there_is_not_enough_evidence(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """2,995 bound one in a thousand; 100 are there."""
    for i in range(100):
        handshakes.add(ready_ms=10.0 + i / 100)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.n_missing) == ("not_enough_evidence", 2895)
    assert "2,895 more are needed" in row.rationale


def test_settings_that_differ_are_not_pooled(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """A slow version before the latest one: only the latest speaks; alike, both do."""
    for _ in range(200):
        handshakes.add(ready_ms=200.0, policy_version="one")
    for _ in range(200):
        handshakes.add(ready_ms=5.0, policy_version="two")
    for _ in range(200):
        handshakes.add(ready_ms=5.0, policy_version="three")
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.n, row.evidence["n_set_aside"], row.delay_ms_estimate) == (400, 200, 5.0)
    assert "are not pooled with the latest" in row.rationale


def test_clock_that_was_set_back_gives_no_readiness(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Ready before accept is neither 0 ms nor dropped: it counts as never ready, and is told."""
    for _ in range(50):
        handshakes.add(ready_ms=5.0)
    handshakes.add(ready_ms=-3000.0)
    handshakes.add(ready_ms=None, readiness_mode="event", phases={"ready": -1.0})
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.n, row.n_never_ready, row.evidence["n_skewed"]) == (52, 2, 2)


def test_delay_has_headroom_when_the_weeks_before_drifted(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Five weeks, 3 % more each: next week's 3 % and the spread are in the delay."""
    for week in range(5):
        for i in range(600 if week else 3200):
            at = window.since + timedelta(days=1, milliseconds=i) - timedelta(days=7 * week)
            scale = 0.97**week * (1 + (i % 50) / 500)
            blind = {"readiness_mode": "blind", "delay_applied_ms": 20.0, "phases": {"ready": 20.0 * scale}}
            handshakes.add(ready_ms=None, gate="hold", first_seen=at, **blind)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert row.verdict == "delay"
    assert 1.02 < row.headroom < 1.12
    assert row.delay_ms == pytest.approx(row.headroom * 22.0, rel=0.03)
    assert "of headroom" in row.rationale


def test_blind_exploration_is_the_second_advice(handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """First the event in the shadow; else a step down, on few enough connections."""
    for _ in range(3100):
        handshakes.add(ready_ms=25.0, readiness_mode="blind", gate="hold", delay_applied_ms=25.0)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.evidence["trial"]["delay_ms"]) == ("not_enough_evidence", 20.0)
    assert row.rationale.index("acceptfirst.ready(websocket)") < row.rationale.index("a canary with 20 ms")


def test_auto_counts_no_message_that_had_waited_for_the_first_receive(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Early messages of ``auto`` were read when the application asked for them: no race, and so nothing to gate."""
    for _ in range(3000):
        ready = {"readiness_mode": "auto", "phases": {"ready": 400.0}, "first_message_ns": 450_000_000}
        handshakes.add(ready_ms=400.0, messages_early=1, messages_received=2, **ready)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.violation_rate, row.cost["violations_avoided"]) == ("keep", 0.0, 0.0)


@pytest.mark.parametrize(
    ("mode", "ready_ms", "verdict"),
    [("auto", 400.0, "gate"), ("auto", 20.0, "delay"), ("event", 400.0, "gate"), ("event", 20.0, "delay")],
)
def test_readiness_times_decide_when_spans_keep_to_the_contract(
    handshakes: Any, catalogue: Catalogue, window: Window, *, mode: str, ready_ms: float, verdict: str
) -> None:
    """Another instrumentation sends none of our measurements, so nothing tells whether a message came too early."""
    for _ in range(3000):
        handshakes.add(ready_ms=ready_ms, readiness_mode=mode, messages_received=3)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.n, row.delay_ms) == (verdict, 3000, ready_ms)


def test_auto_counts_messages_that_were_handled_before_the_shadow_said_ready(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """The first receive came at once, the application's own ready() 30 ms later; where a phase may have read it, no."""
    for number in range(400):
        phases = {"ready": 30.0, "auth": 10.0} if number % 2 else {"ready": 30.0}
        handshakes.add(ready_ms=1.0, readiness_mode="auto", phases=phases, first_message_ns=4_000_000)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.violation_rate) == ("gate", 0.5)


def test_blind_counts_messages_that_were_early_though_the_delay_was_long_enough(
    handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Nobody waits for an observed delay: what it would have caught came through all the same."""
    for _ in range(3100):
        blind = {"readiness_mode": "blind", "delay_applied_ms": 25.0, "phases": {"ready": 10.0}}
        handshakes.add(ready_ms=25.0, gate="observe", messages_early=1, **blind)
    handshakes.write()
    (row,) = recommend(handshakes.database, catalogue, window)
    assert (row.verdict, row.delay_ms, row.violation_rate) == ("delay", 10.0, 1.0)
