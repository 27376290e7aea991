"""Makes a store of a hundred million transitions: one simulated hour, copied inside the store to each hour of weeks.

Connections are the simulator's, one in a hundred with a fault, in 24 places; once a day comes an hour with a storm, an
eviction, a shutdown and a proxy's cut-offs. A copy has its times and the time in its identity moved, nothing else. The
spans are made of the transitions, with the attributes that the views read; the views of the two narrow tables are
detached meanwhile, since their rows come from the same hour.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from acceptfirst_analysis.simulate import Place, Plan, place, simulate, write_rows
from acceptfirst_store.database import Database
from acceptfirst_store.rollup import recompute_minutes, refresh_rollup
from acceptfirst_store.upkeep import upkeep_sql

HOUR: Final = dt.timedelta(hours=1)
EPOCH_HOUR: Final = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
FAULTS: Final = 0.01
ROUTES: Final = 12
EVENTFUL_HOUR: Final = 12
#: What an eventful hour has room for: an episode takes ten minutes.
EVENTS: Final = (
    "duplicate_connection_eviction",
    "shutdown_with_open_sockets",
    "reconnect_storm",
    "proxy_idle_cutoff",
)
HOURS_AT_ONCE: Final = 12
NARROW_VIEWS: Final = ("handshake_transitions_mv", "handshakes_mv")

#: The identity, so many milliseconds later: its first 48 bits are big-endian milliseconds.
_ID: Final = """toFixedString(concat(substring(reverse(reinterpretAsString(
        reinterpretAsUInt64(reverse(substring(connection_id, 1, 6))) + shift_ms + bitShiftLeft(toUInt64(1), 56))), 3),
        substring(connection_id, 7)), 16)"""
_SHIFTS: Final = """(SELECT toUInt64(arrayJoin({shifts_ms:Array(UInt64)})) AS shift_ms) AS shifts"""
_TIMES: Final = ("pending_at", "connected_at", "ready_at", "first_seen", "last_seen")

_SPANS: Final = f"""
INSERT INTO acceptfirst.otel_traces
    (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, ScopeName, SpanAttributes,
     Duration, StatusCode)
SELECT started_at + toIntervalMillisecond(shift_ms), lower(hex(MD5({_ID} AS moved_id))),
    lower(hex(sipHash64(moved_id, sequence, kind))), kind, 'Internal', service,
    map('service.name', toString(service), 'deployment.environment.name', toString(environment)), 'acceptfirst',
    mapFromArrays(
        ['acceptfirst.connection.id', 'http.route', 'acceptfirst.environment', 'acceptfirst.transition.sequence',
            'acceptfirst.state.from', 'acceptfirst.state.to', 'acceptfirst.transition.trigger',
            'acceptfirst.pattern.type'],
        [lower(hex(moved_id)), toString(route), toString(environment), toString(sequence), toString(from_state),
            toString(to_state), toString(trigger), pattern]),
    duration_ns, 'Unset'
FROM (
    SELECT connection_id, sequence, environment, service, route, from_state, to_state, trigger, started_at, duration_ns,
        '' AS pattern, 'websocket.transition' AS kind
    FROM acceptfirst.scale_{{hour}}_transitions
    UNION ALL
    SELECT connection_id, 0, environment, service, route, '', '', '', first_seen, 0, arrayJoin(patterns),
        'websocket.violation'
    FROM acceptfirst.scale_{{hour}}_handshakes
) AS spans CROSS JOIN {_SHIFTS}
SETTINGS max_block_size = 65536, min_insert_block_size_rows = 262144, min_insert_block_size_bytes = 134217728"""  # noqa: S608 - constants


@dataclasses.dataclass(frozen=True)
class Hours:
    """The hours to fill: the last one ends where they end.

    Attributes:
        until: a whole minute.
        hours: how many.
        connections: all together.
    """

    until: dt.datetime
    hours: int
    connections: int

    @property
    def since(self) -> dt.datetime:
        """Where they begin."""
        return self.until - self.hours * HOUR

    def shifts_ms(self, first: int, last: int) -> dict[str, list[int]]:
        """What to move the simulated hours by, for hours counted from the end; the last is excluded."""
        shifts: dict[str, list[int]] = {"quiet": [], "eventful": []}
        for number in range(first, last):
            begin = self.until - (number + 1) * HOUR
            kind = "eventful" if number % 24 == EVENTFUL_HOUR else "quiet"
            shifts[kind].append(int((begin - EPOCH_HOUR) / dt.timedelta(milliseconds=1)))
        return shifts


def places() -> tuple[Place, ...]:
    """Two environments with twelve routes each."""
    return tuple(
        dataclasses.replace(place(environment), route=f"/ws/{number}")
        for environment in ("production", "staging")
        for number in range(ROUTES)
    )


def simulate_hours(database: Database, hours: Hours) -> None:
    """Simulate a quiet and an eventful hour into scratch tables; the tables of the product are empty afterwards."""
    for kind, episodes in (("quiet", 0), ("eventful", 1)):
        plan = Plan(
            connections=hours.connections // hours.hours,
            since=EPOCH_HOUR,
            until=EPOCH_HOUR + HOUR,
            seed=episodes + 1,
            places=places(),
            faults=FAULTS,
            impatient=0.02,
            cold_starts=1,
            episodes=episodes,
            fleet_causes=EVENTS,
            users=max(100, hours.connections // 5_000),
        )
        write_rows(database, plan, simulate(plan))
        for table in ("handshakes", "handshake_transitions"):
            scratch = f"acceptfirst.scale_{kind}_{table.removeprefix('handshake_')}"
            database.run(f"CREATE TABLE {scratch} ENGINE = Memory AS SELECT * FROM acceptfirst.{table} FINAL")  # noqa: S608 - constants
            database.run(f"TRUNCATE TABLE acceptfirst.{table}")


def drop_hours(database: Database) -> None:
    """Drop the scratch tables."""
    for kind in ("quiet", "eventful"):
        for table in ("handshakes", "transitions"):
            database.run(f"DROP TABLE IF EXISTS acceptfirst.scale_{kind}_{table} SYNC")


def fill_handshakes(database: Database, shifts: dict[str, list[int]]) -> None:
    """Copy connections to hours."""
    kept = _columns(database, "handshakes", ("connection_id", "touched_at", *_TIMES))
    moved = [
        f"if(toUnixTimestamp64Nano({name}) = 0, {name}, {name} + toIntervalMillisecond(shift_ms))" for name in _TIMES
    ]
    _copy(database, "handshakes", shifts, (*kept, "connection_id", *_TIMES), (*kept, _ID, *moved))


def fill_transitions(database: Database, shifts: dict[str, list[int]]) -> None:
    """Copy their transitions."""
    kept = _columns(database, "handshake_transitions", ("connection_id", "started_at", "trace_id"))
    columns = (*kept, "connection_id", "started_at", "trace_id")
    values = (*kept, _ID, "started_at + toIntervalMillisecond(shift_ms)", f"MD5({_ID})")
    _copy(database, "handshake_transitions", shifts, columns, values)


def fill_spans(database: Database, shifts: dict[str, list[int]]) -> None:
    """Make their spans; the view that knows when a trace was sees them."""
    for view in NARROW_VIEWS:
        database.run(f"DETACH TABLE acceptfirst.{view} SYNC")
    try:
        for kind, all_shifts in shifts.items():
            for some in _parts(all_shifts):
                database.run(_SPANS.replace("{hour}", kind), {"shifts_ms": some})
    finally:
        for view in NARROW_VIEWS:
            database.run(f"ATTACH TABLE acceptfirst.{view}")


def _columns(database: Database, table: str, others: Sequence[str]) -> list[str]:
    described = database.rows(f"DESCRIBE TABLE acceptfirst.{table}")
    return [row["name"] for row in described if row["default_type"] != "ALIAS" and row["name"] not in others]


def _copy(
    database: Database, table: str, shifts: dict[str, list[int]], columns: Sequence[str], values: Sequence[str]
) -> None:
    for kind, all_shifts in shifts.items():
        source = f"acceptfirst.scale_{kind}_{table.removeprefix('handshake_')}"
        for some in _parts(all_shifts):
            database.run(
                f"INSERT INTO acceptfirst.{table} ({', '.join(columns)}) "  # noqa: S608 - columns of the table itself
                f"SELECT {', '.join(values)} FROM {source} AS hour CROSS JOIN {_SHIFTS}",
                {"shifts_ms": some},
            )


def _parts(shifts: list[int]) -> list[list[int]]:
    return [shifts[first : first + HOURS_AT_ONCE] for first in range(0, len(shifts), HOURS_AT_ONCE)]


@dataclasses.dataclass
class Building:
    """Fills a store step by step and keeps what each step took.

    Attributes:
        database: migrated and empty.
        hours: what to fill it with.
        steps: what, rows, seconds.
        rollup: transitions stored, then milliseconds to find what was touched, to compute a minute, to compute an hour.
    """

    database: Database
    hours: Hours
    steps: list[tuple[str, int, float]] = dataclasses.field(default_factory=list)
    rollup: list[tuple[int, float, float, float]] = dataclasses.field(default_factory=list)

    def build(self, span_hours: int) -> None:
        """Fill it, the newest hours first, and measure the rollup where it has grown by a decade.

        Args:
            span_hours: for how many of the newest hours there are spans, too.
        """
        self._step("simulate two hours", lambda: simulate_hours(self.database, self.hours), "scale_quiet_transitions")
        done = 0
        for until in _decades(self.hours):
            for first in range(done, until, 24):
                shifts = self.hours.shifts_ms(first, min(first + 24, until))
                self._step("handshakes", lambda: fill_handshakes(self.database, shifts), "handshakes")  # noqa: B023 - called in the same turn
                self._step("transitions", lambda: fill_transitions(self.database, shifts), "handshake_transitions")  # noqa: B023 - as above
            done = until
            self.rollup.append(self._rollup_cost())
        self._step("the whole rollup", lambda: refresh_rollup(self.database), "handshake_rollup_1m")
        for first in range(0, span_hours, 24):
            shifts = self.hours.shifts_ms(first, min(first + 24, span_hours))
            self._step("spans", lambda: fill_spans(self.database, shifts), "otel_traces")  # noqa: B023 - as above
        drop_hours(self.database)

    def _step(self, what: str, run: Callable[[], object], table: str) -> None:
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        [row] = self.database.rows(f"SELECT count() AS n FROM acceptfirst.{table}")  # noqa: S608 - constants
        self.steps.append((what, int(row["n"]), seconds))
        print(f"{what}: {row['n']:,} rows, {seconds:.1f} s", file=sys.stderr, flush=True)

    def _rollup_cost(self) -> tuple[int, float, float, float]:
        """What it costs that ten connections of the newest hour were written again."""
        [row] = self.database.rows("SELECT count() AS n FROM acceptfirst.handshake_transitions")
        minute_s = int((self.hours.until - HOUR / 2).timestamp()) // 60 * 60
        time.sleep(2)  # what the bulk has written is older by the store's clock, which counts seconds
        now_s = int(time.time())
        self.database.run(
            "INSERT INTO acceptfirst.handshakes SELECT * REPLACE (now('UTC') AS touched_at) "
            "FROM acceptfirst.handshakes WHERE connection_id >= toFixedString(unhex({first:String}), 16) LIMIT 10",
            {"first": f"{minute_s * 1000:012x}{0:020x}"},
        )
        bounds = {"since_s": now_s, "until_s": now_s + 60, "frozen_before_s": 0}
        return (
            int(row["n"]),
            milliseconds(lambda: self.database.rows(upkeep_sql("rollup_touched_minutes"), bounds)),
            milliseconds(lambda: recompute_minutes(self.database, [minute_s])),
            milliseconds(lambda: recompute_minutes(self.database, range(minute_s - 1800, minute_s + 1800, 60))),
        )


def milliseconds(run: Callable[[], object], repeats: int = 3) -> float:
    """The median of a few runs."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def _decades(hours: Hours) -> list[int]:
    """After how many hours there are a hundredth, a tenth and all of the connections."""
    return sorted({max(1, hours.hours // part) for part in (100, 10, 1)})
