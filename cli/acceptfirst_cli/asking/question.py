"""What is asked of the analysis: the same value on the command line, over HTTP and in the worker."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst_analysis.tuning.recommendation import Settings
from acceptfirst_analysis.window import Window, WindowError, iso_week, parse_instant, window_between

FORMATS: Final = ("html", "md", "json", "email")


class QuestionError(ValueError):
    """A question that can't be understood; says what was expected and what came."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which handshakes, and with what objective.

    Attributes:
        environment: one of the four, or empty for all.
        since: ISO 8601 or an age such as ``24h``; empty for the beginning.
        until: the same; empty for now.
        week: an ISO week such as ``2026-W47``, instead of ``since`` and ``until``.
        format: of a report.
        slo: share of handshakes that may meet an application that is not ready.
        confidence: of every bound.
        lambda_ms: what one violation costs in waiting.
    """

    environment: str = ""
    since: str = ""
    until: str = ""
    week: str = ""
    format: str = "html"
    slo: float = Settings().slo
    confidence: float = Settings().confidence
    lambda_ms: float = Settings().lambda_ms

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """A checked question from JSON.

        Raises:
            QuestionError: naming the value that can't be used.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise QuestionError(f"expected only {', '.join(known)}, but got {', '.join(map(repr, unknown))}")
        for name, value in values.items():
            _require_kind(name, value, known[name].default)
        return cls(**values).checked()

    def checked(self) -> Self:
        """The question with its environment's full name.

        Raises:
            QuestionError: naming the value that can't be used.
        """
        if self.week and (self.since or self.until):
            raise QuestionError("expected either a week or since and until, but got both")
        if self.format not in FORMATS:
            raise QuestionError(f"expected the format to be one of {', '.join(FORMATS)}, but got {self.format!r}")
        try:
            _ = self.settings
            environment = normalise_environment(self.environment) if self.environment else ""
        except (ValueError, UnknownEnvironmentError) as error:
            raise QuestionError(str(error)) from error
        return dataclasses.replace(self, environment=environment)

    @property
    def settings(self) -> Settings:
        """The objective."""
        return Settings(slo=self.slo, confidence=self.confidence, lambda_ms=self.lambda_ms)

    def window(self, now: datetime) -> Window:
        """The range, seen from ``now``.

        Raises:
            QuestionError: when it can't be understood or is empty.
        """
        try:
            if self.week:
                return iso_week(self.week, now=now)
            since = parse_instant(self.since, now=now) if self.since else None
            until = parse_instant(self.until, now=now) if self.until else None
            return window_between(since, until, now=now)
        except WindowError as error:
            raise QuestionError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """What ``read`` reads."""
        return dataclasses.asdict(self)


def _described(name: str, default: Any) -> dict[str, Any]:
    if name == "format":
        return {"type": "string", "enum": list(FORMATS), "default": default}
    return {"type": "string" if isinstance(default, str) else "number", "default": default}


QUESTION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {field.name: _described(field.name, field.default) for field in dataclasses.fields(Question)},
}
"""What ``Question.read`` reads, as a JSON schema; a week stands instead of since and until."""


def _require_kind(name: str, value: Any, default: Any) -> None:
    if isinstance(default, str):
        if not isinstance(value, str):
            raise QuestionError(f"expected {name} to be a text, but got {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise QuestionError(f"expected {name} to be a number, but got {value!r}")
