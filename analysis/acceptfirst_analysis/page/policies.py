"""Reads what the live page says of the policies: what holds, what is tried and how it does, who did what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from acceptfirst.policy import Policy, PolicyError, policy_from_document
from acceptfirst_analysis.page.model import Arm, PolicyNow, PolicyStep
from acceptfirst_analysis.units import milliseconds, per_cent
from acceptfirst_store.database import StatementRunner

STEPS_SHOWN_MAX: Final = 5

_LOOP: Final = "tune"

Row = Mapping[str, Any]
Look = tuple[str, datetime]
"""What the loop said of an environment, and when."""


def policies(reader: StatementRunner, environment: str) -> tuple[PolicyNow, ...]:
    """What holds in each environment that has a policy."""
    rows = reader.statement_rows("policies_now", {"environment": environment})
    looks = _looks(reader) if any(row["candidate"] for row in rows) else {}
    return tuple(_policy_now(reader, row, looks.get(str(row["environment"]))) for row in rows)


def _policy_now(reader: StatementRunner, row: Row, look: Look | None) -> PolicyNow:
    environment, share = str(row["environment"]), float(row["share"])
    held = _policy(row["in_force"], environment)
    candidate = _policy(row["candidate"], environment)
    # What the loop said before the last step was about something else.
    outlook, looked_at = look if candidate and look and look[1] >= row["updated_at"] else ("", None)
    return PolicyNow(
        environment=environment,
        version=held.version if held else "default",
        settings=_settings(held) if held else (),
        candidate=candidate.version if candidate else "",
        share=share,
        updated_at=row["updated_at"],
        arms=_arms(reader, environment, candidate.version, share) if candidate and share else (),
        outlook=outlook,
        looked_at=looked_at,
    )


def _arms(reader: StatementRunner, environment: str, version: str, share: float) -> tuple[Arm, ...]:
    rows = reader.statement_rows("canary_arms", {"environment": environment, "version": version, "share": share})
    return tuple(
        Arm(
            is_canary=bool(row["is_canary"]),
            since=row["since"],
            handshakes=float(row["handshakes"]),
            ready=float(row["ready"]),
            bad=float(row["bad"]),
            ready_p95_ms=value if math.isfinite(value := float(row["ready_p95_ms"])) else None,
        )
        for row in rows
    )


def _looks(reader: StatementRunner) -> dict[str, Look]:
    """What the loop last said of each environment; nothing where it never ran, or is of another version."""
    found = next((row for row in reader.statement_rows("job_states", {}) if row["job"] == _LOOP), None)
    try:
        outlooks = json.loads(found["result"] or "{}").get("environments", []) if found else []
        return {str(each["environment"]): (str(each["message"]), found["ended_at"]) for each in outlooks if found}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _policy(text: str, environment: str) -> Policy | None:
    try:
        return policy_from_document(text, environment, "the stored policy") if text else None
    except PolicyError:
        return None  # of a later version; what is in force is told by the API, the page only shows it


def _settings(policy: Policy) -> tuple[tuple[str, str], ...]:
    return (
        ("readiness", policy.readiness_mode or "as the application says"),
        ("gate", policy.gate or "as the application says"),
        ("delays", ", ".join(milliseconds(value) for value in policy.delay_ladder_ms)),
        ("handshake timeout", milliseconds(policy.handshake_timeout_ms)),
        ("sampled", per_cent(policy.sample_rate)),
        *((("routes of their own", str(len(policy.routes))),) if policy.routes else ()),
    )


def policy_steps(reader: StatementRunner, environment: str) -> tuple[PolicyStep, ...]:
    """The last steps, the newest first."""
    rows = reader.statement_rows("policy_history", {"environment": environment, "limit": STEPS_SHOWN_MAX})
    names = [each.name for each in fields(PolicyStep)]
    return tuple(PolicyStep(**{name: row[name] for name in names}) for row in rows)
