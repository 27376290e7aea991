"""What this process has seen: the patterns of its connections, kept for whoever asks.

The names are those of the incident's own code, so that a backend which already uses them can switch over. What has
changed is what they know: the delays come from the policy, and the patterns from the order of events.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args

from acceptfirst.environment import normalise_environment
from acceptfirst.lifecycle import ApplicationConnectionState
from acceptfirst.policy import Policy, default_policy

PATTERNS_KEPT_MAX: Final = 10_000
RECENT: Final = timedelta(minutes=5)

SeverityName = Literal["warning", "critical", "fatal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceConditionPattern:
    """One occurrence of a race.

    Attributes:
        pattern_type: its name in the catalogue, or a name of the caller's.
        severity: ``warning``, ``critical`` or ``fatal``.
        environment: where it was seen.
        detected_at: when, an aware UTC time.
        details: what else is known.
    """

    pattern_type: str
    severity: str
    environment: str
    detected_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.severity not in get_args(SeverityName):
            raise ValueError(
                f"expected severity to be one of {', '.join(get_args(SeverityName))}, but got {self.severity!r}"
            )
        _require_aware(self.detected_at, "detected_at")

    @property
    def is_critical(self) -> bool:
        """Whether it is critical or worse."""
        return self.severity in ("critical", "fatal")

    @property
    def age_seconds(self) -> float:
        """Seconds since it was detected; 0 where the wall clock has been set back behind that."""
        return max((datetime.now(UTC) - self.detected_at).total_seconds(), 0.0)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {
            "pattern_type": self.pattern_type,
            "severity": self.severity,
            "environment": self.environment,
            "detected_at": self.detected_at.isoformat(),
            "details": dict(self.details),
            "is_critical": self.is_critical,
            "age_seconds": self.age_seconds,
        }


class RaceConditionDetector:
    """Keeps the latest patterns of one environment and answers questions about its timing.

    Args:
        environment: one of the four, or an alias.
        policy: its tuning; the environment's default where none is given.
        reports_to: another detector that is told everything too: a connection's own sees that connection alone, the
            process's sees them all.
    """

    def __init__(
        self, environment: str, policy: Policy | None = None, *, reports_to: RaceConditionDetector | None = None
    ) -> None:
        self.environment = normalise_environment(environment)
        self.policy = policy or default_policy(self.environment)
        self.reports_to = reports_to
        self._patterns: deque[RaceConditionPattern] = deque(maxlen=PATTERNS_KEPT_MAX)

    def calculate_progressive_delay(self, attempt: int) -> float:
        """The delay of an attempt, in seconds.

        Args:
            attempt: 0-based.

        Raises:
            ValueError: when the attempt is negative.
        """
        if attempt < 0:
            raise ValueError(f"expected an attempt of 0 or more, but got {attempt}")
        return self.policy.delay_ms(attempt) / 1000

    def detect_timing_violation(self, start: datetime, end: datetime, expected_max_duration: float) -> bool:
        """Whether something took longer than it should; if so, a ``timing_violation`` is kept.

        Args:
            start: when it began, aware.
            end: when it ended, aware.
            expected_max_duration: in seconds; exactly as long is no violation.

        Raises:
            ValueError: when a time has no time zone.
        """
        duration_s = (_require_aware(end, "end") - _require_aware(start, "start")).total_seconds()
        if duration_s <= expected_max_duration:
            return False
        details = {
            "actual_duration_ms": duration_s * 1000,
            "expected_max_duration_ms": expected_max_duration * 1000,
            "violation_margin_ms": (duration_s - expected_max_duration) * 1000,
        }
        self.add_detected_pattern("timing_violation", "warning", details)
        return True

    def validate_connection_readiness(self, state: ApplicationConnectionState) -> bool:
        """Whether messages may be handled in this state; before accept, asking is itself kept as a critical pattern."""
        state = ApplicationConnectionState(state)
        if state in _BEFORE_ACCEPT:
            details = {"current_state": str(state), "required_state": "READY_FOR_MESSAGES"}
            self.add_detected_pattern("premature_message_handling", "critical", details)
        return state.is_ready_for_messages

    def add_detected_pattern(
        self, pattern_type: str, severity: str, details: Mapping[str, Any] | None = None
    ) -> RaceConditionPattern:
        """Keep an occurrence; the oldest one goes when ``PATTERNS_KEPT_MAX`` are kept.

        Raises:
            ValueError: when the severity is not one of the three.
        """
        pattern = RaceConditionPattern(
            pattern_type=pattern_type, severity=severity, environment=self.environment, details=dict(details or {})
        )
        self.keep(pattern)
        return pattern

    def take_over(self, other: RaceConditionDetector, connection_id: str) -> None:
        """Keep what another detector knows of one connection already.

        Args:
            other: the process's.
            connection_id: 32 hex digits.
        """
        known = other.get_detected_patterns()
        self._patterns.extend(pattern for pattern in known if pattern.details.get("connection") == connection_id)

    def keep(self, pattern: RaceConditionPattern) -> None:
        """Keep an occurrence as it is, and report it."""
        self._patterns.append(pattern)
        if self.reports_to is not None:
            self.reports_to.keep(pattern)

    def get_detected_patterns(
        self, since: datetime | None = None, pattern_type: str | None = None, severity: str | None = None
    ) -> list[RaceConditionPattern]:
        """The kept occurrences, oldest first, that meet every condition given.

        Args:
            since: aware; only those at or after it.
            pattern_type: only those of this name.
            severity: only those of this severity.

        Raises:
            ValueError: when ``since`` has no time zone.
        """
        if since is not None:
            _require_aware(since, "since")
        return [
            pattern
            for pattern in tuple(self._patterns)  # a copy in one step: other threads add to it
            if (since is None or pattern.detected_at >= since)
            and (pattern_type is None or pattern.pattern_type == pattern_type)
            and (severity is None or pattern.severity == severity)
        ]

    def get_pattern_summary(self) -> dict[str, Any]:
        """Counts of what is kept: in all, by name, by severity, and of the last five minutes."""
        recent_from = datetime.now(UTC) - RECENT
        patterns = tuple(self._patterns)
        return {
            "environment": self.environment,
            "total_patterns": len(patterns),
            "by_type": dict(Counter(pattern.pattern_type for pattern in patterns)),
            "by_severity": dict(Counter(pattern.severity for pattern in patterns)),
            "recent_patterns": sum(pattern.detected_at >= recent_from for pattern in patterns),
        }

    def clear_old_patterns(self, max_age_seconds: float) -> int:
        """Forget what is older; says how many that were."""
        kept_from = datetime.now(UTC) - timedelta(seconds=max_age_seconds)
        cleared = 0
        while self._patterns and self._patterns[0].detected_at < kept_from:  # they stand in the order of their times
            self._patterns.popleft()
            cleared += 1
        return cleared

    def reset_patterns(self) -> None:
        """Forget everything."""
        self._patterns.clear()


_BEFORE_ACCEPT: Final = frozenset(
    {ApplicationConnectionState.INITIALIZING, ApplicationConnectionState.HANDSHAKE_PENDING}
)


def _require_aware(moment: datetime, name: str) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"expected {name} to be an aware time (use datetime.now(UTC)), but got {moment.isoformat()}")
    return moment
