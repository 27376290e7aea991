"""Erasing leaves nothing of a connection in any table, and nothing else is touched."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from typing import Any

import pytest

from acceptfirst_store.care import prune_document
from acceptfirst_store.database import Database
from acceptfirst_store.errors import RequestInvalid
from acceptfirst_store.prune import erase, prune_before
from acceptfirst_store.rollup import refresh_rollup

Spans = list[dict[str, Any]]
Handshake = Callable[..., Spans]

#: Everything that is known of a route, by table.
KNOWN = """
SELECT 'otel_traces' AS name, count() AS n FROM acceptfirst.otel_traces
WHERE SpanAttributes['http.route'] = {route:String}
UNION ALL SELECT 'traces', count() FROM acceptfirst.otel_traces_trace_id_ts WHERE TraceId IN {traces:Array(String)}
UNION ALL SELECT 'transitions', count() FROM acceptfirst.handshake_transitions WHERE route = {route:String}
UNION ALL SELECT 'handshakes', count() FROM acceptfirst.handshakes FINAL WHERE route = {route:String}
UNION ALL SELECT 'patterns', count() FROM acceptfirst.race_condition_patterns FINAL WHERE route = {route:String}
UNION ALL SELECT 'rolled up', sum(connections) FROM acceptfirst.handshake_rollup_1m FINAL WHERE route = {route:String}
"""


@pytest.fixture
def stored(database: Database, route: str) -> Callable[..., str]:
    """Store a connection, classified and rolled up; returns its id."""

    def store(spans: Spans) -> str:
        database.insert_rows("otel_traces", spans)
        refresh_rollup(database)
        given = spans[0]["SpanAttributes"]["acceptfirst.connection.id"]
        row = {"connection_id": bytes.fromhex(given), "pattern_type": "double_close", "route": route}
        database.insert_rows("race_condition_patterns", [row])
        refresh_rollup(database)
        return str(given)

    return store


def _known(database: Database, route: str, spans: Spans) -> dict[str, int]:
    traces = [span["TraceId"] for span in spans]
    rows = database.rows(KNOWN, {"route": route, "traces": traces})
    return {row["name"]: row["n"] for row in rows}


def test_erasure_leaves_nothing_of_a_connection_and_all_of_the_others(
    database: Database, handshake: Handshake, stored: Callable[..., str], route: str
) -> None:
    """Each table loses the one and keeps the other; the rollup counts what is left."""
    gone, kept = handshake(), handshake()
    connection_id = stored(gone)
    stored(kept)
    assert _known(database, route, gone)["rolled up"] == 2
    pruned = erase(database, connection_id=connection_id)
    assert (pruned.connections, pruned.rows["otel_traces"], pruned.rows["handshakes"]) == (1, 4, 1)
    assert _known(database, route, gone) == {
        "otel_traces": 4, "traces": 0, "transitions": 4, "handshakes": 1, "patterns": 1, "rolled up": 1,
    }  # fmt: skip
    assert _known(database, route, kept)["traces"] == 4


def test_erasure_takes_every_connection_of_a_user(
    database: Database, handshake: Handshake, stored: Callable[..., str], route: str
) -> None:
    """Also spans that came before the user was known, and connections of other days."""
    user = os.urandom(8).hex()
    today, yesterday, other = handshake(user__hash=user), handshake(at_ms=-86_400_000, user__hash=user), handshake()
    for span in today[:2]:
        del span["SpanAttributes"]["acceptfirst.user.hash"]
    for spans in (today, yesterday, other):
        stored(spans)
    assert erase(database, user_hash=user).connections == 2
    known = _known(database, route, [*today, *yesterday])
    assert (known["otel_traces"], known["traces"], known["handshakes"], known["rolled up"]) == (4, 0, 1, 1)


def test_erasure_finds_the_spans_of_an_id_that_was_hashed(
    database: Database, make_span: Callable[..., dict[str, Any]], route: str
) -> None:
    """The spans carry what a stranger called it, the tables a hash."""
    span = make_span("websocket.transition", {"acceptfirst.connection.id": f"mine-{route}", "http.route": route})
    database.insert_rows("otel_traces", [span])
    [row] = database.rows(
        "SELECT lower(hex(connection_id)) AS id FROM acceptfirst.handshakes WHERE route = {route:String}",
        {"route": route},
    )
    erase(database, connection_id=row["id"])
    assert _known(database, route, [span])["otel_traces"] == 0


def test_erasure_keeps_a_trace_that_holds_spans_of_others(
    database: Database, handshake: Handshake, stored: Callable[..., str], make_span: Callable[..., dict[str, Any]]
) -> None:
    """Only what nothing is left of is forgotten."""
    spans = handshake()
    database.insert_rows("otel_traces", [make_span("GET /", {}, ScopeName="asgi", TraceId=spans[0]["TraceId"])])
    erase(database, connection_id=stored(spans))
    lookup = "SELECT count() AS n FROM acceptfirst.otel_traces_trace_id_ts FINAL WHERE TraceId = {id:String}"
    assert database.rows(lookup, {"id": spans[0]["TraceId"]}) == [{"n": 1}]


def test_dry_run_counts_and_changes_nothing(
    database: Database, handshake: Handshake, stored: Callable[..., str], route: str
) -> None:
    """What it says is what a real run would delete."""
    spans = handshake()
    connection_id = stored(spans)
    before = _known(database, route, spans)
    planned = erase(database, connection_id=connection_id, dry_run=True)
    assert _known(database, route, spans) == before
    planned_rows = {key: n for key, n in planned.rows.items() if key != "otel_traces_trace_id_ts"}
    done = erase(database, connection_id=connection_id).rows
    assert {key: done[key] for key in planned_rows} == planned_rows


def test_erasure_of_what_is_not_there_deletes_nothing(database: Database) -> None:
    """An id that nobody knows is no error: it may have been erased already."""
    assert erase(database, connection_id="0" * 32).rows == {}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"connection": "a" * 32, "user": "b"},
        {"connection": "not an id"},
        {"older_than": "soon"},
        {"older_than": "0d"},
        {"user": "x", "older_than": "3d"},
    ],
)
def test_prune_refuses_what_it_can_not_understand(database: Database, asked: dict[str, Any]) -> None:
    """Nothing is deleted on a guess."""
    with pytest.raises(RequestInvalid, match="expected"):
        prune_document(database, **asked)


def test_prune_by_age_drops_whole_days_and_keeps_the_rollup(
    database: Database, handshake: Handshake, stored: Callable[..., str], route: str
) -> None:
    """The day itself stays; the days before it go, and their minutes are never computed again."""
    day_ms = 86_400_000
    old, young = handshake(at_ms=-40 * day_ms), handshake(at_ms=-30 * day_ms)
    stored(old)
    stored(young)
    first_kept = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=30)
    assert prune_before(database, first_kept, dry_run=True).rows["handshakes"] >= 1
    assert _known(database, route, old)["handshakes"] == 2
    prune_before(database, first_kept)
    known = _known(database, route, young)
    assert (known["otel_traces"], known["transitions"], known["handshakes"], known["patterns"]) == (4, 4, 1, 1)
    late = {**old[0], "TraceId": os.urandom(16).hex()}
    database.insert_rows("otel_traces", [late])
    refresh_rollup(database)
    assert _known(database, route, young)["rolled up"] == 2
