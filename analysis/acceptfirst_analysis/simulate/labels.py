"""The truth about simulated connections, one JSON object a line, so that what an analysis says can be scored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import IO, Any, Final

from acceptfirst_analysis.simulate.plan import Plan
from acceptfirst_analysis.simulate.world import Block

FIELDS: Final = (
    "connection_id",
    "started_ns",
    "environment",
    "service",
    "service_version",
    "route",
    "readiness_mode",
    "policy_arm",
    "cause",
    "patterns",
    "ready_ms",
    "cold",
    "censored",
    "drawn",
    "stored",
    "signature",
)


def labels(plan: Plan, block: Block) -> Iterator[dict[str, Any]]:
    """The labels of a block's connections, whether they leave spans or not; see ``docs/simulate.md`` for the fields."""
    for index, group in enumerate(block.groups):
        stored, truth, place = block.stored(index), group.truth, group.place
        shared = {
            "environment": place.policy.environment,
            "service": place.service,
            "route": place.route,
            "readiness_mode": place.mode,
            "policy_arm": place.policy.arm,
            "cause": truth.cause,
            "patterns": list(truth.patterns),
            "signature": group.course.signature,
        }
        for row in range(len(group)):
            ready_ms = float(truth.ready_ms[row])
            yield {
                **shared,
                "connection_id": bytes(group.ids[row]).hex(),
                "started_ns": int(group.started_ns[row]),
                "service_version": plan.versions[int(group.version[row])],
                "ready_ms": ready_ms if math.isfinite(ready_ms) else None,
                "cold": bool(truth.cold[row]),
                "censored": bool(truth.censored[row]),
                "drawn": bool(group.drawn[row]),
                "stored": bool(stored[row]),
            }


def write_labels(file: IO[str], plan: Plan, block: Block) -> None:
    """Write a block's labels, one JSON object a line, in the order of ``FIELDS``."""
    for label in labels(plan, block):
        file.write(json.dumps({name: label[name] for name in FIELDS}, ensure_ascii=False) + "\n")
