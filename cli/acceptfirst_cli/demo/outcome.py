"""What the demo came to: the summary it leaves behind, and whether its figures hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from acceptfirst_cli.demo.figures import RunFigures, percentile_ms

SCHEMA_VERSION: Final = 1
PATTERNS_MIN: Final = 8
P95: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Both runs, what was recommended between them, and what it took.

    Attributes:
        before: the run under the baseline policy.
        after: the run under the proposed one.
        recommendations: rows of ``recommend --json``.
        report: path of the report.
        seed: of both runs.
        seconds: the whole demo.
    """

    before: RunFigures
    after: RunFigures
    recommendations: list[dict[str, Any]]
    report: str
    seed: int
    seconds: float

    @property
    def both(self) -> tuple[RunFigures, RunFigures]:
        """The runs in their order."""
        return self.before, self.after

    @property
    def handshake_p95_ms_before(self) -> float:
        """From opening to the first proper answer, further attempts included, as the clients felt it."""
        return percentile_ms(self.before.patient_waits_ms, P95)

    @property
    def handshake_p95_ms_after(self) -> float:
        """The same of the second run."""
        return percentile_ms(self.after.patient_waits_ms, P95)

    @property
    def connections(self) -> int:
        """That reached the application, in both runs."""
        return sum(run.happened.connections for run in self.both)

    @property
    def connections_stored(self) -> int:
        """In the store, of both runs."""
        return sum(run.stored.connections for run in self.both)

    @property
    def transitions_expected(self) -> int:
        """Handed to the exporter, in both runs."""
        return sum(run.happened.transitions for run in self.both)

    @property
    def transitions_stored(self) -> int:
        """In the store, of both runs."""
        return sum(run.stored.transitions for run in self.both)

    @property
    def patterns(self) -> dict[str, int]:
        """Connections by pattern, of both runs."""
        found: Counter[str] = Counter()
        for run in self.both:
            for (_, pattern), count in run.stored.found.items():
                found[pattern] += count
        return dict(found.most_common())

    def failures(self) -> list[str]:
        """Each figure that does not hold, in words; empty when the demo has proved its point."""
        before_ms, after_ms = self.handshake_p95_ms_before, self.handshake_p95_ms_after
        checks = [
            (
                self.transitions_stored == self.transitions_expected,
                f"transitions_stored is {self.transitions_stored}, expected {self.transitions_expected}",
            ),
            (
                self.connections_stored == self.connections,
                f"connections stored are {self.connections_stored}, expected {self.connections}",
            ),
            (
                len(self.patterns) >= PATTERNS_MIN,
                f"patterns found are {len(self.patterns)}, expected at least {PATTERNS_MIN}",
            ),
            (self.before.timing_races > 0, "violations_before is 0: the incident did not happen"),
            (self.after.timing_races == 0, f"violations_after is {self.after.timing_races}, expected 0"),
            (self.after.unanswered == 0, f"{self.after.unanswered} clients never got an answer after the change"),
            (0 < after_ms < before_ms, f"handshake_p95_ms_after is {after_ms:.1f}, expected below {before_ms:.1f}"),
        ]
        wrong = [text for holds, text in checks if not holds]
        wrong += [f"before: {text}" for text in self.before.mismatches]
        return wrong + [f"after: {text}" for text in self.after.mismatches]

    def to_summary(self) -> dict[str, Any]:
        """The document that the demo leaves as ``summary.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "connections": self.connections,
            "transitions_expected": self.transitions_expected,
            "transitions_stored": self.transitions_stored,
            "violations_before": self.before.timing_races,
            "violations_after": self.after.timing_races,
            "patterns": self.patterns,
            "recommendations": self.recommendations,
            "handshake_p95_ms_before": round(self.handshake_p95_ms_before, 3),
            "handshake_p95_ms_after": round(self.handshake_p95_ms_after, 3),
            "report": self.report,
            "code_violations_before": self.before.code_violations,
            "code_violations_after": self.after.code_violations,
            "unanswered_before": self.before.unanswered,
            "unanswered_after": self.after.unanswered,
            "planted_before": self.before.happened.planted,
            "planted_after": self.after.happened.planted,
            "mismatches": [*self.before.mismatches, *self.after.mismatches],
            "failures": self.failures(),
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }
