"""Labelled WebSocket handshakes from a seed: as OTLP requests, as rows of a store, and as the truth to score against.

    plan = Plan(connections=100_000, since=monday, until=sunday, seed=7)
    with open_database(dsn) as store:
        write_rows(store, plan, simulate(plan))

The same plan gives the same connections. See ``docs/simulate.md``.
"""

from acceptfirst_analysis.simulate.labels import labels, write_labels
from acceptfirst_analysis.simulate.plan import Deploy, Place, Plan, PlanError, Readiness, place
from acceptfirst_analysis.simulate.rows import write_rows
from acceptfirst_analysis.simulate.world import Block, simulate

__all__ = [
    "Block",
    "Deploy",
    "Place",
    "Plan",
    "PlanError",
    "Readiness",
    "labels",
    "place",
    "simulate",
    "write_labels",
    "write_rows",
]
