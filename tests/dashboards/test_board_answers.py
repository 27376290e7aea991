"""Every query of every board, as the plugin sends it, on a real store: on nothing, and with known answers."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from acceptfirst_analysis.dashboards.board import board_json
from acceptfirst_analysis.dashboards.grafana_sql import board_sql
from acceptfirst_analysis.dashboards.panels import BOARDS
from acceptfirst_store.database import Database
from acceptfirst_store.rollup import refresh_rollup
from acceptfirst_store.statements import statement_names

QUERIES = {panel.query: panel for board in BOARDS for panel in board.panels}
NAMES = [name for name in statement_names() if name.startswith("panel_")]
TRACE = "0af7651916cd43dd8448eb211c80319c"
EARLY = "early_message_before_ready"
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def ask(database: Database, expanded: Callable[..., str]) -> Ask:
    """Asks a panel's statement as Grafana does."""

    def answer(name: str, variables: Mapping[str, Any] | None = None, hours: float = 1) -> list[dict[str, Any]]:
        panel = QUERIES.get(name)
        return database.rows(expanded(board_sql(name, panel.constants if panel else None), variables, hours))

    return answer


def handshake(now: dt.datetime, age_s: float, environment: str = "production", **columns: Any) -> dict[str, Any]:
    """A row of `handshakes` that began some seconds ago, accepted after 100 ms and ready after 200 ms by default."""
    began = now - dt.timedelta(seconds=age_s)
    epoch = dt.datetime.fromtimestamp(0, dt.UTC)
    accept_ms, ready_ms = columns.pop("accept_ms", 100), columns.pop("ready_ms", 200)
    row = {
        "connection_id": int(began.timestamp() * 1000).to_bytes(6, "big") + os.urandom(10),
        "environment": environment,
        "service": "chat",
        "service_version": "7",
        "route": "/ws",
        "weight": 1.0,
        "pending_at": began,
        "connected_at": began + dt.timedelta(milliseconds=accept_ms) if accept_ms else epoch,
        "ready_at": began + dt.timedelta(milliseconds=ready_ms) if ready_ms else epoch,
        "first_message_ns": 0,
        "phases": {},
        "ended_by": "",
        "patterns": [],
        "first_seen": began,
        "last_seen": began + dt.timedelta(seconds=1),
    }
    return {**row, **columns}


def handshakes(now: dt.datetime) -> list[dict[str, Any]]:
    """Ten connections; what each panel makes of them is worked out by hand."""
    return [
        handshake(now, 600, first_message_ns=250_000_000),
        handshake(now, 600, weight=2.0, phases={"auth": 40.0}, first_message_ns=205_000_000),
        handshake(now, 600, patterns=[EARLY], first_message_ns=165_000_000),
        handshake(now, 300, weight=0.0, route="/late", patterns=["double_close", "send_after_close"]),  # not drawn
        handshake(now, 300, accept_ms=0, ready_ms=0, ended_by="exception"),
        handshake(now, 300, accept_ms=2000, ready_ms=0, ended_by="disconnect"),
        handshake(now, 120, accept_ms=0, ready_ms=0),  # stuck
        handshake(now, 120, "staging", route="/slow", accept_ms=300, ready_ms=400, service_version="8"),
        handshake(now, 7200, patterns=["double_accept"]),  # before the range, and too long ago to be stuck
        handshake(now, 120, "testing", patterns=["double_accept"]),  # not chosen
    ]


def violation_span(now: dt.datetime) -> dict[str, Any]:
    """A violation as a span, with the trace that panel 15 shows."""
    return {
        "Timestamp": now - dt.timedelta(seconds=90),
        "TraceId": TRACE,
        "SpanId": "b7ad6b7169203331",
        "SpanName": "websocket.violation",
        "SpanKind": "Internal",
        "ServiceName": "chat",
        "ResourceAttributes": {"service.name": "chat"},
        "ScopeName": "acceptfirst",
        "SpanAttributes": {
            "acceptfirst.connection.id": int(now.timestamp() * 1000 - 95_000).to_bytes(6, "big").hex() + "0" * 20,
            "acceptfirst.environment": "testing",
            "acceptfirst.pattern.type": "double_accept",
            "acceptfirst.pattern.severity": "critical",
            "acceptfirst.pattern.evidence": "accepted at app.py:1 and at app.py:2",
            "acceptfirst.sample.weight": "0",
            "http.route": "/<script>alert(1)</script>",
        },
        "Duration": 4_000_000,
        "StatusCode": "STATUS_CODE_ERROR",
    }


@pytest.fixture(scope="module")
def filled(database: Database, now: dt.datetime) -> Database:
    """The store with the connections above, what was classified, recommended and changed."""
    rows = handshakes(now)
    database.insert_rows("handshakes", rows)
    database.insert_rows("otel_traces", [violation_span(now)])
    database.insert_rows(
        "race_condition_patterns",
        [
            {
                "connection_id": row["connection_id"],
                "pattern_type": pattern,
                "sequence": 0,
                "environment": row["environment"],
                "service": "chat",
                "route": row["route"],
                "classifier_version": 1,
            }
            for row in rows
            for pattern in row["patterns"]
        ],
    )
    database.insert_rows(
        "tuning_recommendations",
        [
            {
                "recommendation_id": "a",
                "created_at": now - dt.timedelta(minutes=30),
                "updated_at": now - dt.timedelta(minutes=30),
                "environment": "production",
                "service": "chat",
                "route": "/ws",
                "verdict": "delay",
                "delay_ms": 80.0,
                "from_values": '{"delay_ms": 25.0}',
                "status": "proposed",
                "n": 500,
            }
        ],
    )
    database.insert_rows(
        "policy_events",
        [
            {
                "environment": "production",
                "revision": 1,
                "happened_at": now - dt.timedelta(minutes=20),
                "action": "promote",
                "version": "v2",
                "share": 0.1,
                "actor": "ann",
                "reason": "try it",
            }
        ],
    )
    refresh_rollup(database)
    return database


# -- on nothing: these run first, before the store is filled -----------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_query_answers_on_an_empty_store(ask: Ask, name: str) -> None:
    """No error and no NaN where there is nothing yet."""
    values = [value for row in ask(name) for value in row.values()]
    assert not any(isinstance(value, float) and math.isnan(value) for value in values)


@pytest.mark.parametrize("name", NAMES)
def test_query_with_nothing_chosen_is_no_error(ask: Ask, name: str) -> None:
    """Grafana leaves a list empty where its variable has no value yet."""
    nothing: dict[str, list[str]] = {key: [] for key in ("env", "service", "route", "pattern")}
    ask(name, {**nothing, "trace_id": [""]})


def test_every_query_of_a_board_uses_only_macros_that_are_expanded(expanded: Any, targets: Any) -> None:
    """A macro that nobody tried is an error at night."""
    for board in BOARDS:
        assert not any("$" in expanded(target["rawSql"]) for target in targets(board_json(board)))


# -- known answers -----------------------------------------------------------------------------------------------------

KNOWN: dict[str, list[dict[str, Any]]] = {
    "panel_environments": [{"environment": "production"}, {"environment": "staging"}, {"environment": "testing"}],
    "panel_services": [{"service": "chat"}],
    "panel_routes": [{"route": "/ws"}, {"route": "/late"}, {"route": "/slow"}],
    "panel_patterns": [{"pattern": "double_close"}, {"pattern": EARLY}, {"pattern": "send_after_close"}],
    "panel_success": [{"success_percent": pytest.approx(100 * (1 - 2 / 7)), "verdict": "BAD"}],
    "panel_violations": [{"violations": 3, "per_10000_handshakes": 10000 * 3 / 8}],
    "panel_accept_p95": [{"accept_p95_s": pytest.approx(2.0, rel=0.5)}],
    "panel_stuck": [{"stuck": 1.0}],
}


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.usefixtures("filled")
def test_query_gives_the_known_answer(ask: Ask, name: str) -> None:
    """Worked out by hand from the rows above."""
    assert ask(name) == KNOWN[name]


@pytest.mark.usefixtures("filled")
def test_rate_counts_each_minute_by_weight(ask: Ask) -> None:
    """Eight handshakes in three minutes."""
    assert [row["handshakes_per_minute"] for row in ask("panel_handshake_rate")] == [4.0, 2.0, 2.0]


@pytest.mark.usefixtures("filled")
def test_data_age_counts_from_the_latest_span(ask: Ask) -> None:
    """119 s before the minute began, and a little more by now."""
    assert ask("panel_data_age")[0]["age_s"] >= 119


@pytest.mark.usefixtures("filled")
def test_outcomes_put_an_early_handshake_under_violated(ask: Ask) -> None:
    """Each handshake stands in one column, by its weight."""
    rows = ask("panel_outcomes")
    sums = {name: sum(row[name] for row in rows) for name in rows[0] if name != "time"}
    assert sums == {
        "ready": 4.0, "violated": 1.0, "rejected": 0.0, "abandoned": 1.0, "failed": 1.0, "timed_out": 0.0, "open": 1.0
    }  # fmt: skip


@pytest.mark.usefixtures("filled")
def test_burn_of_each_window_is_the_rate_behind_its_point(ask: Ask) -> None:
    """At the last point: nothing in five minutes but what failed at their edge, all of it in an hour."""
    last = ask("panel_burn_rates")[-1]
    assert last["burn_1h"] == pytest.approx(2 / 7 / 0.001)
    assert last["burn_5m"] == pytest.approx(1 / 3 / 0.001)
    assert last["burn_6h"] == pytest.approx(2 / 8 / 0.001)


@pytest.mark.usefixtures("filled")
def test_worst_routes_begin_with_violations_that_were_not_drawn(ask: Ask) -> None:
    """A rate that can't be known stands before those that can; then by rate."""
    rows = ask("panel_worst_routes")
    told = [(row["environment"], row["route"], row["violations"], row["per_10000"]) for row in rows]
    assert told == [("production", "/late", 2, None), ("production", "/ws", 1, 10000 / 7), ("staging", "/slow", 0, 0.0)]
    assert [row["top_pattern"] for row in rows] == ["send_after_close", EARLY, ""]


@pytest.mark.usefixtures("filled")
def test_heatmap_puts_handshakes_into_the_class_of_their_time(ask: Ask) -> None:
    """The minute of the three that took 100 ms has all of its mass up to there."""
    first = ask("panel_accept_heatmap")[0]
    assert first["100"] == pytest.approx(3.0)
    assert sum(value for name, value in first.items() if name not in {"time", "100"}) == 0.0


@pytest.mark.usefixtures("filled")
def test_parts_of_the_handshake_have_their_median(ask: Ask) -> None:
    """To accept, from there to ready, then the phases by name."""
    rows = ask("panel_state_times")
    assert [(row["part"], row["connections"]) for row in rows] == [
        ("to accept", 5),
        ("accept to ready", 4),
        ("phase auth", 1),
    ]
    assert [row["p50_ms"] for row in rows] == [100.0, 100.0, 40.0]


@pytest.mark.usefixtures("filled")
def test_message_before_ready_is_a_negative_gap(ask: Ask) -> None:
    """Ready after 200 ms; messages at 250, 205 and 165."""
    rows = ask("panel_message_gap")
    assert [(row["gap_ms"], row["connections"]) for row in rows if row["connections"]] == [
        ("-50 to -20", 1),
        ("0 to 10", 1),
        ("10 to 100", 1),
    ]
    covered = {row["gap_ms"]: row["covered_percent"] for row in rows}
    assert covered["-50 to -20"] == 100.0
    assert covered["-10 to 0"] == covered["0 to 10"] == pytest.approx(100 * 2 / 3)


@pytest.mark.usefixtures("filled")
def test_accept_by_route_has_a_row_for_each_time_and_route(ask: Ask) -> None:
    """Routes on which nothing was accepted then are not there."""
    rows = ask("panel_accept_by_route")
    assert [(row["route"], row["p50_s"]) for row in rows] == [
        ("/ws", pytest.approx(0.1)),
        ("/ws", pytest.approx(2.0)),
        ("/slow", pytest.approx(0.3)),
    ]


@pytest.mark.usefixtures("filled")
def test_violation_is_listed_with_its_evidence_and_trace(ask: Ask) -> None:
    """As it came: what is to be escaped is Grafana's affair, which takes a table's cells for text."""
    [row] = ask("panel_violation_list", {"env": ["testing"]})
    assert (row["pattern"], row["route"], row["trace_id"]) == ("double_accept", "/<script>alert(1)</script>", TRACE)
    assert row["evidence"] == "accepted at app.py:1 and at app.py:2"
    assert ask("panel_violation_list", {"env": ["testing"], "pattern": ["double_close"]}) == []


@pytest.mark.usefixtures("filled")
def test_trace_has_its_spans(ask: Ask) -> None:
    """With an error's status, whichever way the exporter spells it."""
    [span] = ask("panel_trace", {"trace_id": [TRACE]})
    assert (span["operationName"], span["duration"], span["statusCode"]) == ("websocket.violation", 4.0, 2)
    assert {"key": "http.route", "value": "/<script>alert(1)</script>"} in span["tags"]


@pytest.mark.parametrize("text", ["", "' OR 1 = 1 --", "0af7", "%"])
@pytest.mark.usefixtures("filled")
def test_trace_of_another_text_is_empty(ask: Ask, text: str) -> None:
    """The box can be written into by hand."""
    assert ask("panel_trace", {"trace_id": [text]}) == []


@pytest.mark.usefixtures("filled")
def test_races_are_counted_by_environment_as_classified(ask: Ask) -> None:
    """In 10,000 handshakes."""
    rows = ask("panel_pattern_counts")
    assert [(row["race"], row["connections"]) for row in rows] == [
        ("double_close, production", 1),
        (f"{EARLY}, production", 1),
        ("send_after_close, production", 1),
    ]
    assert {row["per_10000"] for row in rows} == {10000 / 7}


@pytest.mark.usefixtures("filled")
def test_dominant_race_of_a_route_is_named_for_each_day(ask: Ask) -> None:
    """'none' where there were handshakes without one."""
    found = {(row["route"], row["pattern"]) for row in ask("panel_dominant_patterns")}
    assert found >= {("chat /late", "send_after_close"), ("chat /slow", "none"), ("chat /ws", EARLY)}


@pytest.mark.usefixtures("filled")
def test_recommendation_stands_beside_what_is_in_force(ask: Ask) -> None:
    """With the number of handshakes behind it."""
    [row] = ask("panel_recommendations")
    assert (row["in_force_ms"], row["recommended_ms"], row["n"], row["status"]) == (25.0, 80.0, 500, "proposed")


@pytest.mark.usefixtures("filled")
def test_violation_rate_comes_with_the_mean_of_the_week(ask: Ask) -> None:
    """The week before counts into the mean, not into the points."""
    last = ask("panel_violation_rate")[-1]
    assert (last["per_10000"], last["weekly_mean"]) == (0.0, pytest.approx(10000 * 4 / 9))


@pytest.mark.usefixtures("filled")
def test_delay_in_force_is_drawn_beside_the_recommended_and_the_needed(ask: Ask) -> None:
    """The first two when a recommendation was made, the third where handshakes were."""
    rows = ask("panel_delay_drift")
    assert [(r["in_force_ms"], r["recommended_ms"]) for r in rows if r["recommended_ms"]] == [(25.0, 80.0)]
    needed = [r["needed_p99_ms"] for r in rows if r["place"] == "production /ws" and r["needed_p99_ms"] is not None]
    assert needed == [pytest.approx(100.0)]


@pytest.mark.usefixtures("filled")
def test_deployment_is_marked_where_a_version_is_new(ask: Ask) -> None:
    """Version 7 was there two hours ago: not new within this hour, but within three."""
    assert [row["text"] for row in ask("panel_deployments")] == ["Deployed chat 8 to staging"]
    assert [row["text"] for row in ask("panel_deployments", hours=3)] == [
        "Deployed chat 7 to production",
        "Deployed chat 8 to staging",
    ]


@pytest.mark.usefixtures("filled")
def test_policy_change_is_marked_with_who_and_why(ask: Ask) -> None:
    """And for which share."""
    assert [row["text"] for row in ask("panel_policy_changes")] == [
        "Policy of production: promote v2 for 10 % by ann: try it"
    ]


@pytest.mark.usefixtures("filled")
def test_route_with_a_quote_in_it_is_only_a_route(ask: Ask) -> None:
    """It came from a client."""
    assert ask("panel_violations", {"route": ["/x') OR has(['"]}) == [{"violations": 0, "per_10000_handshakes": None}]
