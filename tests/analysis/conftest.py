"""A real embedded store with handshakes written straight into its tables, and strata made without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from acceptfirst.catalogue import Catalogue, load_catalogue
from acceptfirst_analysis.tuning.readiness import ReadinessTimes, Stratum
from acceptfirst_analysis.window import Window, iso_week
from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
TABLES = (
    "handshakes",
    "handshake_transitions",
    "race_condition_patterns",
    "tuning_recommendations",
    "policy_events",
    "policies",
)


@pytest.fixture(scope="module")
def module_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One embedded store a module: one process can only have one open."""
    with open_database(f"chdb://{tmp_path_factory.mktemp('store')}/db") as database:
        migrate(database)
        yield database


@pytest.fixture
def database(module_database: Database) -> Database:
    """The module's store, empty."""
    for table in TABLES:
        module_database.run(f"TRUNCATE TABLE acceptfirst.{table}")
    return module_database


@pytest.fixture
def catalogue() -> Catalogue:
    """The shipped patterns."""
    return load_catalogue()


@pytest.fixture
def window() -> Window:
    """A complete ISO week, the one that ``handshakes`` writes into."""
    return iso_week("2026-W47", now=NOW)


@dataclass
class Handshakes:
    """Writes rows of ``handshakes`` as the views would have left them."""

    database: Database
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, signature: str = "CAGRSD", ready_ms: float | None = 5.0, **own: Any) -> str:
        """Add one connection; ``ready_ms`` counts from accept. Gives its id, hex."""
        at = MONDAY + timedelta(milliseconds=100 * len(self.rows))
        connection_id = int(at.timestamp() * 1000).to_bytes(6, "big") + len(self.rows).to_bytes(10, "big")
        accepted = at + timedelta(milliseconds=2) if "A" in signature else NEVER
        is_ready = ready_ms is not None and accepted != NEVER
        row = {
            "connection_id": connection_id,
            "environment": "production",
            "service": "chat",
            "route": "/ws",
            "readiness_mode": "event",
            "gate": "observe",
            "policy_version": "default",
            "weight": 1.0,
            "delay_applied_ms": 0.0,
            "pending_at": at,
            "connected_at": accepted,
            "ready_at": accepted + timedelta(milliseconds=ready_ms or 0) if is_ready else NEVER,
            "ended_by": "disconnect",
            "ranked_signature": chr(min(255, len(signature))) + signature if signature else "",
            "phases": {},
            "dwell_ms": None,
            "idle_ms": None,
            "unread_ms": None,
            "close_code": 1000,
            "close_initiator": "client",
            "messages_early": 0,
            "messages_received": 0,
            "error_type": "",
            "error_kind": "",
            "messages_sent": 0,
            "policy_arm": "baseline",
            "service_version": "",
            "user_hash": "",
            "first_message_ns": 0,
            "first_seen": at,
            "last_seen": at + timedelta(seconds=1),
        }
        self.rows.append({**row, **own})
        return connection_id.hex()

    def write(self) -> None:
        """Insert what was added."""
        self.database.insert_rows("handshakes", self.rows)

    def write_transitions(self, connection: str, steps: list[tuple[str, str, float, str]]) -> None:
        """Insert the transitions of one connection: from, to, milliseconds in the state that was left, trigger."""
        self.database.insert_rows(
            "handshake_transitions",
            [
                {
                    "connection_id": bytes.fromhex(connection),
                    "sequence": sequence,
                    "from_state": step[0],
                    "to_state": step[1],
                    "duration_ns": int(step[2] * 1e6),
                    "trigger": step[3],
                }
                for sequence, step in enumerate(steps)
            ],
        )


@pytest.fixture
def handshakes(database: Database) -> Handshakes:
    """A writer of handshakes into the empty store."""
    return Handshakes(database)


@pytest.fixture
def stratum() -> Callable[..., Stratum]:
    """Makes a stratum from a sample, in blind mode with a delay of 25 ms unless told otherwise."""

    def make(ready_ms: Any, waited_ms: Any = (), **own: Any) -> Stratum:
        times = ReadinessTimes(np.sort(np.asarray(ready_ms, float)), np.sort(np.asarray(waited_ms, float)))
        values: dict[str, Any] = {
            "environment": "production",
            "service": "chat",
            "route": "/ws",
            "readiness_mode": "blind",
            "gate": "observe",
            "delay_applied_ms": 25.0,
            "policy_version": "default",
            "policy_versions": 1,
            "handshakes": float(times.n),
            "n_refused": 0,
            "n_setting": times.n,
            "n_violations": times.exceedances_certain(25.0),
            "n_timed_out": 0,
            "n_messaged": times.n,
            "n_measured": times.n,
            "accept_ms_max": 2.0,
        }
        return Stratum(**{**values, **own}, times=times)

    return make
