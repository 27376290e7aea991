"""Writes simulated connections straight into a store: the rows that the views would have made of their spans.

Millions of connections go in as numpy columns: fixed-width rows into a scratch table, and from there, inside the
store, into ``handshakes`` and ``handshake_transitions``. Spans themselves (``otel_traces``) are not written.
"""

from __future__ import annotations

import importlib.resources
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst.lifecycle import ApplicationConnectionState as State
from acceptfirst_analysis.simulate.group import Bool, Group, Int64
from acceptfirst_analysis.simulate.plan import Place, Plan
from acceptfirst_analysis.simulate.violations import violations
from acceptfirst_analysis.simulate.world import Block

BOUNDARIES: Final = 6
"""Of states: the beginning, and at most five transitions."""

_FIELDS: Final = (
    ("connection_id", "V16", "FixedString(16)"),
    *((f"boundary_{n}", "<i8", "Int64") for n in range(BOUNDARIES)),
    ("pending_ns", "<i8", "Int64"),
    ("connected_ns", "<i8", "Int64"),
    ("ready_ns", "<i8", "Int64"),
    ("last_ns", "<i8", "Int64"),
    ("weight", "<f8", "Float64"),
    ("delay_applied_ms", "<f8", "Float64"),
    ("first_message_ms", "<f8", "Float64"),
    ("dwell_ms", "<f8", "Float64"),
    ("idle_ms", "<f8", "Float64"),
    ("unread_ms", "<f8", "Float64"),
    ("shadow_ready_ms", "<f8", "Float64"),
    ("user", "<i8", "Int64"),
    ("reported", "<u8", "UInt64"),
    ("received", "<u4", "UInt32"),
    ("sent", "<u4", "UInt32"),
    ("early", "<u4", "UInt32"),
    ("place", "<u2", "UInt16"),
    ("version", "<u2", "UInt16"),
    ("course", "<u2", "UInt16"),
    ("error", "<u2", "UInt16"),
    ("close_code", "<u2", "UInt16"),
    ("initiator", "u1", "UInt8"),
)
_ROW: Final = np.dtype([(name, kind) for name, kind, _ in _FIELDS])
_INITIATORS: Final = ("none", "client", "application", "server")


class BulkStore(Protocol):
    """What is needed of a store: to run statements, and to take fixed-width rows."""

    def run(self, sql: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement that returns no rows."""
        ...

    def insert_binary(self, table: str, columns: tuple[str, ...], rows: bytes) -> None:
        """Insert rows in the format ``RowBinary``."""
        ...


def write_rows(store: BulkStore, plan: Plan, blocks: Iterable[Block], catalogue: Catalogue | None = None) -> int:
    """Write a plan's connections into ``handshakes`` and ``handshake_transitions``.

    Args:
        store: a ``acceptfirst_store.database.Database``, migrated.
        plan: what is simulated.
        blocks: its connections.
        catalogue: the one that ``simulate`` was given.

    Returns:
        How many connections were written: those that were drawn, and those that had a violation.

    Raises:
        StoreError: when the store can't be written.
    """
    catalogue = catalogue or load_catalogue()
    written = 0
    scratch = f"acceptfirst.simulated_{uuid.uuid4().hex}"
    columns = ", ".join(f"{name} {kind}" for name, _, kind in _FIELDS)
    store.run(f"CREATE TABLE {scratch} ({columns}) ENGINE = Memory")
    try:
        for block in blocks:
            rows, words = _encode(plan, block, catalogue)
            if not len(rows):
                continue
            store.insert_binary(scratch.partition(".")[2], tuple(name for name, _, _ in _FIELDS), rows.tobytes())
            store.run(_sql("handshakes", scratch), words)
            store.run(_sql("transitions", scratch), words)
            store.run(f"TRUNCATE TABLE {scratch}")
            written += len(rows)
    finally:
        store.run(f"DROP TABLE {scratch} SYNC")
    return written


class _Numbers:
    """Numbers things in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}

    def of(self, thing: Any) -> int:
        return self.known.setdefault(thing, len(self.known))


def _encode(plan: Plan, block: Block, catalogue: Catalogue) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    courses, errors = _Numbers(), _Numbers()
    places: dict[int, tuple[int, Place]] = {}
    names = [pattern.name for pattern in catalogue.of_scope("connection")]
    parts = []
    for index, group in enumerate(block.groups):
        stored = block.stored(index)
        rows = np.zeros(len(group), _ROW)
        rows["course"] = courses.of((group.course.signature, group.course.steps))
        rows["error"] = errors.of((group.error_type, group.error_kind))
        rows["place"], _ = places.setdefault(id(group.place), (len(places), group.place))
        _fill(rows, group, block.reported[index], catalogue, names)
        parts.append(rows[stored])
    everything = np.concatenate(parts) if parts else np.zeros(0, _ROW)
    paths = [[">".join(map(str, step[:3])) for step in steps] for _, steps in courses.known]
    return everything, {
        "patterns": names,
        "signatures": [signature for signature, _ in courses.known],
        "paths": [",".join(path) for path in paths],
        "errors": [name for name, _ in errors.known],
        "error_kinds": [kind for _, kind in errors.known],
        "initiators": list(_INITIATORS),
        "versions": list(plan.versions),
        "environments": [place.policy.environment for _, place in places.values()],
        "services": [place.service for _, place in places.values()],
        "routes": [place.route for _, place in places.values()],
        "modes": [place.mode for _, place in places.values()],
        "gates": [place.gate for _, place in places.values()],
        "policies": [place.policy.version for _, place in places.values()],
        "arms": [place.policy.arm for _, place in places.values()],
    }


def _sql(name: str, scratch: str) -> str:
    """A statement of this package's, on a scratch table."""
    text = importlib.resources.files("acceptfirst_analysis.simulate").joinpath(f"insert_{name}.sql").read_text()
    return text.replace("simulated_rows", scratch.partition(".")[2])


def _fill(
    rows: npt.NDArray[Any], group: Group, reported: Mapping[str, Bool], catalogue: Catalogue, names: list[str]
) -> None:
    rows["connection_id"] = group.ids.copy().view("V16").reshape(-1)
    boundaries = group.boundaries_ns + group.started_ns[:, None]
    for number in range(BOUNDARIES):
        rows[f"boundary_{number}"] = boundaries[:, min(number, boundaries.shape[1] - 1)]
    for state, name in _ENTERED.items():
        entered = [n for n, step in enumerate(group.course.steps) if step.new is state]
        rows[name] = boundaries[:, entered[0] + 1] if entered else 0
    rows["last_ns"] = _last_ns(group, dict(reported), catalogue, boundaries[:, -1])
    for name in ("weight", "first_message_ms", "dwell_ms", "idle_ms", "unread_ms", "shadow_ready_ms", "user"):
        rows[name] = getattr(group, name)
    for name in ("delay_applied_ms", "received", "sent", "early", "version", "close_code"):
        rows[name] = getattr(group, name)
    initiator = group.close_initiator
    rows["initiator"] = np.select([initiator == name for name in _INITIATORS], range(len(_INITIATORS)))
    for name, mask in reported.items():
        rows["reported"] |= mask.astype(np.uint64) << np.uint64(names.index(name))


_ENTERED: Final = {
    State.HANDSHAKE_PENDING: "pending_ns",
    State.CONNECTED: "connected_ns",
    State.READY_FOR_MESSAGES: "ready_ns",
}


def _last_ns(group: Group, reported: dict[str, Bool], catalogue: Catalogue, closed_ns: Int64) -> Int64:
    """The end of the last span: the one into CLOSED, or a violation's."""
    last = closed_ns
    for found in violations(group, reported, catalogue):
        last = np.where(found.of, np.maximum(last, group.started_ns + found.at_ns), last)
    return last
