"""The detector keeps patterns, answers questions about them, and knows the incident's delays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from acceptfirst import ApplicationConnectionState as State
from acceptfirst import RaceConditionDetector, RaceConditionPattern
from acceptfirst.detector import PATTERNS_KEPT_MAX

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("environment", "delays"),
    [
        ("testing", [0.005, 0.005, 0.005]),
        ("development", [0.010, 0.010, 0.010]),
        ("staging", [0.025, 0.050, 0.075]),
        ("production", [0.025, 0.050, 0.075]),
    ],
)
def test_progressive_delay_is_the_incidents(environment: str, delays: list[float]) -> None:
    """Constant in testing and development, growing in staging and production."""
    detector = RaceConditionDetector(environment)
    assert [detector.calculate_progressive_delay(attempt) for attempt in range(3)] == pytest.approx(delays)


def test_progressive_delay_never_exceeds_the_guardrail() -> None:
    """However many attempts, 250 ms is the end of it."""
    assert RaceConditionDetector("production").calculate_progressive_delay(1000) == 0.25


@pytest.mark.parametrize(("took_ms", "violates"), [(99, False), (100, False), (101, True)])
def test_timing_violation_is_what_takes_longer_than_expected(took_ms: int, violates: bool) -> None:
    """Exactly as long as expected is no violation."""
    detector = RaceConditionDetector("testing")

    assert detector.detect_timing_violation(NOW, NOW + timedelta(milliseconds=took_ms), 0.1) is violates
    assert len(detector.get_detected_patterns(pattern_type="timing_violation")) == int(violates)


def test_naive_times_are_refused_with_the_remedy() -> None:
    """A time without a zone is a bug in the caller."""
    with pytest.raises(ValueError, match="aware time"):
        RaceConditionDetector("testing").detect_timing_violation(NOW.replace(tzinfo=None), NOW, 1.0)


@pytest.mark.parametrize("state", list(State))
def test_only_ready_connections_are_valid(state: State) -> None:
    """Validation agrees with the lifecycle."""
    assert RaceConditionDetector("testing").validate_connection_readiness(state) is state.is_ready_for_messages


def test_asking_before_accept_is_itself_a_critical_pattern() -> None:
    """Handling a message before the handshake is what the incident did."""
    detector = RaceConditionDetector("testing")
    detector.validate_connection_readiness(State.HANDSHAKE_PENDING)

    (pattern,) = detector.get_detected_patterns(severity="critical")
    assert pattern.is_critical
    assert pattern.pattern_type == "premature_message_handling"


def test_filters_narrow_each_other() -> None:
    """Name, severity and time all have to hold."""
    detector = RaceConditionDetector("testing")
    detector.add_detected_pattern("a", "warning")
    kept = detector.add_detected_pattern("a", "fatal", {"n": 1})
    detector.add_detected_pattern("b", "fatal")

    found = detector.get_detected_patterns(since=kept.detected_at, pattern_type="a", severity="fatal")
    assert found == [kept]


def test_summary_counts_by_name_and_severity() -> None:
    """Three patterns, two names, two severities."""
    detector = RaceConditionDetector("prod")
    for name, severity in [("a", "warning"), ("a", "fatal"), ("b", "fatal")]:
        detector.add_detected_pattern(name, severity)
    summary = detector.get_pattern_summary()

    assert summary["by_type"] == {"a": 2, "b": 1}
    assert summary["by_severity"] == {"warning": 1, "fatal": 2}
    assert (summary["total_patterns"], summary["recent_patterns"]) == (3, 3)
    assert summary["environment"] == "production"


def test_old_patterns_are_cleared_by_age() -> None:
    """What is older than the limit goes, the rest stays."""
    detector = RaceConditionDetector("testing")
    detector.add_detected_pattern("a", "warning")

    assert detector.clear_old_patterns(3600) == 0
    assert detector.clear_old_patterns(-1) == 1
    assert detector.get_detected_patterns() == []


def test_detector_holds_a_bounded_number_of_patterns() -> None:
    """A storm can't fill the memory: the oldest goes."""
    detector = RaceConditionDetector("testing")
    for number in range(PATTERNS_KEPT_MAX + 5):
        detector.add_detected_pattern(str(number), "warning")

    kept = detector.get_detected_patterns()
    assert len(kept) == PATTERNS_KEPT_MAX
    assert kept[0].pattern_type == "5"


def test_unknown_severity_is_refused() -> None:
    """Three severities, no fourth."""
    with pytest.raises(ValueError, match="but got 'severe'"):
        RaceConditionDetector("testing").add_detected_pattern("a", "severe")


def test_pattern_as_dictionary_is_plain() -> None:
    """Everything in it can go into JSON."""
    pattern = RaceConditionPattern(pattern_type="a", severity="fatal", environment="testing", detected_at=NOW)
    as_dict = pattern.to_dict()

    assert as_dict["detected_at"] == "2026-11-24T00:00:00+00:00"
    assert as_dict["is_critical"] is True
    assert as_dict["age_seconds"] == pytest.approx(pattern.age_seconds, abs=5)


def test_reset_forgets_everything() -> None:
    """Nothing is left."""
    detector = RaceConditionDetector("testing")
    detector.add_detected_pattern("a", "warning")
    detector.reset_patterns()

    assert detector.get_pattern_summary()["total_patterns"] == 0
