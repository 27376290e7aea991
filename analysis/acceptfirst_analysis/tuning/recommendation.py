"""What a recommendation is: the row that people, policies and reports read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from acceptfirst.policy import DELAY_MS_MAX

SCHEMA_VERSION: Final = 1

#: Above five attempts gRPC counts five too; a fifth of the requests is the default of Envoy's retry budget.
RETRY: Final[Mapping[str, Any]] = {"attempts_max": 5, "jitter": "full", "budget_share": 0.2}

Verdict = Literal["gate", "poll", "delay", "code_fix", "keep", "cliff", "not_enough_evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a recommendation aims at.

    Attributes:
        slo: share of handshakes that may meet an application that is not ready.
        confidence: of every bound.
        lambda_ms: what one violation costs, in milliseconds of everybody's waiting.
        delay_ms_max: the guardrail: no fixed delay above it is recommended.
        cliff_ratio: where the bound is more than this times the estimate, the evidence puts the answer on a cliff.
        timeout_quantile: share of handshakes that may run into the timeout.
    """

    slo: float = 0.001
    confidence: float = 0.95
    lambda_ms: float = 5000.0
    delay_ms_max: float = DELAY_MS_MAX
    cliff_ratio: float = 2.0
    timeout_quantile: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("slo", "confidence", "timeout_quantile"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"expected {name} to lie between 0 and 1 (0.001 is one in a thousand), got {value!r}")
        for name in ("lambda_ms", "delay_ms_max", "cliff_ratio"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise ValueError(f"expected {name} to be 0 or more, but got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One row: what to do in one environment × service × route, and why.

    Attributes:
        environment: where.
        service: where.
        route: where.
        verdict: what to do.
        readiness_mode_seen: how readiness was told in the latest handshakes.
        delay_ms: what a fixed delay would have to be, a one-sided upper bound; ``None`` where none can be given.
        timeout_ms: for the whole handshake, connect to ready.
        poll_interval_ms: for the verdict ``poll``.
        ladder_ms: lengths of successive waits; their sums are quantiles of the readiness time, the last one the delay.
        slo: the share that ``delay_ms`` keeps.
        confidence: with which it does.
        violation_rate: share of the latest handshakes that had the race, under the setting in force.
        violation_rate_upper: its Clopper-Pearson upper bound.
        delay_ms_estimate: the point estimate that ``delay_ms`` bounds.
        n: handshakes in the sample.
        n_missing: how many more handshakes like these are needed before anything can be said; 0 where enough are
            there, or where no number would do.
        n_never_ready: of ``n``, that never became ready; each counts as above every delay.
        headroom: what ``delay_ms`` was multiplied by, so that it holds for a next week that drifts as the past ones
            did; 1 where fewer than four weeks are known.
        retry: how to try again by the ladder: ``attempts_max``, ``jitter`` (``full``: each wait is drawn from 0 to its
            step), ``budget_share`` (retries a server may have at once, of its handshakes).
        pattern: the race that a ``code_fix`` is for.
        cost: what it costs and what it saves; see ``acceptfirst_analysis.tuning.verdict``.
        rationale: why, in sentences.
        provisional: whether the range was anything but one complete ISO week.
        from_values: the setting in force.
        evidence: connection ids and counts to look at.
    """

    environment: str
    service: str
    route: str
    verdict: Verdict
    readiness_mode_seen: str
    slo: float
    confidence: float
    n: int
    rationale: str
    provisional: bool
    delay_ms: float | None = None
    timeout_ms: float | None = None
    poll_interval_ms: float | None = None
    ladder_ms: tuple[float, ...] = ()
    violation_rate: float | None = None
    violation_rate_upper: float | None = None
    delay_ms_estimate: float | None = None
    n_missing: int = 0
    n_never_ready: int = 0
    headroom: float = 1.0
    retry: Mapping[str, Any] = field(default_factory=lambda: dict(RETRY))
    pattern: str | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    from_values: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """The row as JSON carries it."""
        return {**asdict(self), "ladder_ms": list(self.ladder_ms)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Recommendation:
        """The recommendation that ``to_row`` wrote."""
        return cls(**{**row, "ladder_ms": tuple(row["ladder_ms"])})

    def identity(self, window: Mapping[str, str]) -> str:
        """The same for the same question about the same range, so that asking twice leaves one row behind."""
        kind = "code" if self.verdict == "code_fix" else "timing"
        parts = (self.environment, self.service, self.route, kind, window["since"], window["until"])
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
