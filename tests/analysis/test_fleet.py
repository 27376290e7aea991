"""The patterns that only many connections show: found where they are, not where something only looks like them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

TUESDAY = datetime(2026, 11, 17, 12, tzinfo=UTC)
CLEAN = 100_000

Add = Callable[..., str]


@pytest.fixture
def add(handshakes: Any) -> Add:
    """Adds one connection by when it came and how long it lived, in seconds; gives its id, hex."""

    def made(at_s: float, lived_s: float, **own: Any) -> str:
        at = TUESDAY + timedelta(seconds=at_s)
        row = {
            "user_hash": "",
            "close_code": 1000,
            "close_initiator": "client",
            "messages_received": 0,
            "messages_sent": 0,
            "idle_ms": None,
            "dwell_ms": lived_s * 1000,
            "first_seen": at,
            "pending_at": at,
            "connected_at": at,
            "last_seen": at + timedelta(seconds=lived_s),
        }
        return str(handshakes.add(own.pop("signature", "CAGRSDZ"), **{**row, **own}))

    return made


@pytest.fixture
def found(handshakes: Any, catalogue: Catalogue, window: Window) -> Callable[[], dict[str, set[str]]]:
    """Writes what was added, classifies it, and gives the connections of each pattern."""

    def ask() -> dict[str, set[str]]:
        handshakes.write()
        classify(handshakes.database, catalogue, window)
        rows = handshakes.database.rows(
            "SELECT lower(hex(connection_id)) AS id, pattern_type FROM acceptfirst.race_condition_patterns FINAL"
        )
        return {
            name: {row["id"] for row in rows if row["pattern_type"] == name}
            for name in {row["pattern_type"] for row in rows}
        }

    return ask


Found = Callable[[], dict[str, set[str]]]

# -- 20 shutdown_with_open_sockets -------------------------------------------------------------------------------------

STOPPED = {"close_code": 1012, "close_initiator": "server"}


def test_shutdown_is_found_on_every_connection_that_it_cut_off(add: Add, found: Found) -> None:
    """However long each had been open."""
    cut = {add(start, 3600 - start, **STOPPED) for start in (0, 1800, 3599)}
    add(10, 20)
    assert found() == {"shutdown_with_open_sockets": cut}


def test_shutdown_explains_a_handshake_that_it_cut_off(add: Add, found: Found) -> None:
    """Its accept failed because the server was going, not because the client had gone."""
    cut = {add(start, 3600 - start, **STOPPED) for start in (0, 1800, 3599)}
    refused = add(3599.5, 0.4, signature="CaE", close_code=0, close_initiator="none", dwell_ms=None)
    elsewhere = add(50, 0.4, signature="CaE", close_code=0, close_initiator="none", dwell_ms=None)
    assert found() == {"shutdown_with_open_sockets": cut | {refused}, "accept_after_client_gone": {elsewhere}}


def test_shutdown_tells_of_a_handler_that_went_on(add: Add, found: Found, handshakes: Any) -> None:
    """The one thing about the tasks that spans can show."""
    for start in (0, 1, 2):
        add(start, 100 - start, signature="CAGRSDs" if start == 1 else "CAGRSDZ", **STOPPED)
    found()
    rows = handshakes.database.rows(
        "SELECT evidence FROM acceptfirst.race_condition_patterns WHERE pattern_type = 'shutdown_with_open_sockets'"
    )
    went_on = ["went on after its disconnect" in row["evidence"] for row in rows]
    assert sorted(went_on) == [False, False, True]
    assert all("it ended 3 of the service with 1012" in row["evidence"] for row in rows)


@pytest.mark.parametrize(
    "alike",
    [
        pytest.param([(0, 100, STOPPED), (1, 99, STOPPED)], id="two only"),
        pytest.param([(0, 100, STOPPED), (1, 199, STOPPED), (2, 298, STOPPED)], id="minutes apart"),
        pytest.param([(n, 100 - n, {**STOPPED, "close_initiator": "application"}) for n in range(5)], id="by handlers"),
        pytest.param([(n, 100 - n, {**STOPPED, "service": f"s{n}"}) for n in range(5)], id="five services"),
        pytest.param([(n, 100 - n, {"close_code": 1001}) for n in range(50)], id="clients that leave together"),
    ],
)
def test_shutdown_is_not_found_where_it_only_looks_like_one(
    add: Add, found: Found, alike: list[tuple[float, float, dict[str, Any]]]
) -> None:
    """Three of one service, ended by the server, at one time: anything less is something else."""
    for start, lived, own in alike:
        add(start, lived, **own)
    assert found() == {}


# -- 21 reconnect_storm ------------------------------------------------------------------------------------------------

BROKEN = {"close_code": 1006}


def test_storm_of_one_user_is_found_when_the_timer_is_fixed(add: Add, found: Found) -> None:
    """From the sixth connection on: five intervals of 15 s, each after a break."""
    came = [add(15.0 * n + 0.05 * (n % 2), 3, user_hash="u1", **BROKEN) for n in range(8)]
    assert found() == {"reconnect_storm": set(came[5:])}


def test_storm_of_one_user_is_found_when_there_is_no_timer_at_all(add: Add, found: Found) -> None:
    """However uneven the milliseconds are."""
    times = [0.0, 0.1, 0.4, 0.5, 0.9, 1.0]
    came = [add(at, 0.02, user_hash="u1", **BROKEN) for at in times]
    assert found() == {"reconnect_storm": {came[-1]}}


@pytest.mark.parametrize(
    ("times", "own"),
    [
        pytest.param([0, 0.7, 2.9, 5.1, 12.4, 20.2, 49.0], {"user_hash": "u", **BROKEN}, id="backoff with jitter"),
        pytest.param([0, 1, 3, 7, 15, 31, 63], {"user_hash": "u", **BROKEN}, id="backoff without jitter"),
        pytest.param([15 * n for n in range(7)], {"user_hash": "u", "close_code": 1000}, id="by the user's wish"),
        pytest.param([15 * n for n in range(7)], {"user_hash": "", **BROKEN}, id="nobody knows whose"),
        pytest.param([15 * n for n in range(5)], {"user_hash": "u", **BROKEN}, id="only five"),
        pytest.param([90 * n for n in range(7)], {"user_hash": "u", **BROKEN}, id="slow enough"),
    ],
)
def test_storm_of_one_user_is_not_found_where_it_only_looks_like_one(
    add: Add, found: Found, times: list[float], own: dict[str, Any]
) -> None:
    """Spread out, wanted, too few or too slow."""
    for at in times:
        add(at, 0.5, **own)
    assert found() == {}


def test_storm_of_a_service_is_found_when_all_come_back_at_once(add: Add, found: Found) -> None:
    """Forty break off together; thirty of them are back in the same second, five seconds later."""
    for n in range(40):
        add(n, 600 - n, **BROKEN)
    back = {add(605 + n / 100, 500 + n * 7) for n in range(30)}
    assert found() == {"reconnect_storm": back}


@pytest.mark.parametrize("spread_s", [0.0, 1.0])
def test_storm_of_a_service_is_not_found_when_nothing_broke_before(add: Add, found: Found, spread_s: float) -> None:
    """A concert begins: everybody comes, nobody comes back."""
    for n in range(60):
        add(605 + spread_s * n / 60, 500 + n * 7)
    assert found() == {}


def test_storm_of_a_service_is_not_found_when_clients_spread_out(add: Add, found: Found) -> None:
    """Full jitter over thirty seconds."""
    for n in range(40):
        add(n, 600 - n, **BROKEN)
    for n in range(40):
        add(601 + (n * 7919 % 300) / 10, 500 + n * 7)
    assert found() == {}


def test_storm_of_a_service_is_not_found_when_so_many_always_come(add: Add, found: Found) -> None:
    """Twenty-five a second are this service's every day."""
    for second in range(420):
        for n in range(25):
            add(second + n / 25, 0.5 if second < 400 else 900)
    for n in range(30):
        add(100 + n, 280.5 - n, **BROKEN)
    assert found() == {}


# -- 22 proxy_idle_cutoff ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period_s", [60, 100])
def test_cutoff_is_found_where_idle_times_cluster(add: Add, found: Found, period_s: int) -> None:
    """Six at the proxy's period, one beside it."""
    cut = {
        add(n * 50, period_s + n * 10, idle_ms=period_s * 1000.0 + 150 * n, close_code=(1005, 1006)[n % 2])
        for n in range(6)
    }
    add(7, 300, idle_ms=period_s * 1000.0 - 6000, close_code=1006)
    assert found() == {"proxy_idle_cutoff": cut}


@pytest.mark.parametrize(
    ("idle_s", "own"),
    [
        pytest.param([60 + 0.1 * n for n in range(4)], {"close_code": 1006}, id="four only"),
        pytest.param([50.5 + n for n in range(20)], {"close_code": 1006}, id="evenly spread"),
        pytest.param([75 + 0.1 * n for n in range(9)], {"close_code": 1006}, id="another period"),
        pytest.param([60 + 0.1 * n for n in range(9)], {"close_code": 1001}, id="with a close frame"),
    ],
)
def test_cutoff_is_not_found_where_it_only_looks_like_one(
    add: Add, found: Found, idle_s: list[float], own: dict[str, Any]
) -> None:
    """Too few, no cluster, another time, or somebody who said goodbye."""
    for n, idle in enumerate(idle_s):
        add(n, 600, idle_ms=idle * 1000, **own)
    assert found() == {}


def test_cutoff_is_told_by_route(add: Add, found: Found) -> None:
    """Nine connections on nine routes are no cluster."""
    for n in range(9):
        add(n, 600, idle_ms=60_100.0, close_code=1006, route=f"/ws/{n}")
    assert found() == {}


# -- 19 duplicate_connection_eviction ----------------------------------------------------------------------------------

NEWER = {"user_hash": "u1", "messages_sent": 50, "idle_ms": 300_000.0}
"""Accepted at 100 s, fifty messages in 100 s, then silent from 200 s to 500 s."""


def test_eviction_is_found_on_the_newer_connection(add: Add, found: Found, handshakes: Any) -> None:
    """Its messages stopped when the older one ended."""
    older = add(0, 200.2, user_hash="u1")
    newer = add(100, 400, **NEWER)
    add(150, 300, user_hash="u2", messages_sent=150, idle_ms=1000.0)
    assert found() == {"duplicate_connection_eviction": {newer}}
    (row,) = handshakes.database.rows("SELECT evidence FROM acceptfirst.race_condition_patterns")
    assert f"the older connection {older} of the same user was ended by the client (200 ms after" in row["evidence"]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        pytest.param((0, 200.2, {"user_hash": "u2"}), NEWER, id="another user"),
        pytest.param((0, 200.2, {"user_hash": ""}), {**NEWER, "user_hash": ""}, id="users unknown"),
        pytest.param((0, 200.2, {"user_hash": "u1"}), {**NEWER, "idle_ms": 2000.0}, id="messages went on"),
        pytest.param(
            (0, 440.2, {"user_hash": "u1"}), {**NEWER, "messages_sent": 12, "idle_ms": 60_000.0}, id="always so slow"
        ),
        pytest.param((0, 240, {"user_hash": "u1"}), NEWER, id="silent long before"),
        pytest.param((0, 150, {"user_hash": "u1"}), NEWER, id="messages went on for a while"),
        pytest.param((101, 99.2, {"user_hash": "u1"}), NEWER, id="the later one ended"),
        pytest.param((0, 99, {"user_hash": "u1"}), NEWER, id="one after the other"),
        pytest.param((0, 200.2, {"user_hash": "u1", "service": "other"}), NEWER, id="another service"),
    ],
)
def test_eviction_is_not_found_where_it_only_looks_like_one(
    add: Add, found: Found, older: tuple[float, float, dict[str, Any]], newer: dict[str, Any]
) -> None:
    """Two tabs of one user are no race."""
    start, lived, own = older
    add(start, lived, **own)
    add(100, 400, **newer)
    assert found() == {}


# -- all of them -------------------------------------------------------------------------------------------------------


def seed_clean(database: Database, seconds: int) -> None:
    """A hundred thousand connections of 2,000 users with several tabs each, in so many seconds; nothing races."""
    database.run(
        """
        INSERT INTO acceptfirst.handshakes (connection_id, environment, service, route, readiness_mode, weight,
            pending_at, connected_at, ready_at, first_seen, last_seen, ended_by, ranked_signature, close_code,
            close_initiator, messages_received, messages_sent, dwell_ms, idle_ms, user_hash)
        WITH
            sipHash64(number, 1) / 18446744073709551616. AS u1, sipHash64(number, 2) / 18446744073709551616. AS u2,
            sipHash64(number, 3) / 18446744073709551616. AS u3, sipHash64(number, 4) / 18446744073709551616. AS u4,
            toDateTime64('2026-11-17 12:00:00', 9, 'UTC')
                + toIntervalMillisecond(toInt64(u1 * {seconds:UInt32} * 1000)) AS at,
            5 + 595 * u2 AS lived_s,
            5 + toUInt64(195 * u3) AS messages,
            least(lived_s, -log(1 - u4) * lived_s / messages) AS idle_s
        SELECT
            concat(substring(reverse(reinterpretAsString(toUnixTimestamp64Milli(at))), 1, 6),
                reverse(reinterpretAsString(toUInt64(number))), unhex('0000')) AS connection_id,
            'production', 'chat', '/ws', 'event', 1, at, at, at, at,
            at + toIntervalMillisecond(toInt64(lived_s * 1000)), 'disconnect', concat(char(7), 'CAGRSDZ'),
            [1000, 1001, 1001, 1001, 1006][1 + number % 5], 'client',
            intDiv(messages, 2), messages - intDiv(messages, 2),
            lived_s * 1000, idle_s * 1000, toString(sipHash64(number, 5) % 2000)
        FROM numbers({clean:UInt32})
        """,
        {"seconds": seconds, "clean": CLEAN},
    )


@pytest.mark.parametrize("seconds", [7200, 86_000], ids=["in two hours", "in a day"])
def test_fleet_patterns_are_not_found_among_clean_connections(
    database: Database, catalogue: Catalogue, window: Window, seconds: int
) -> None:
    """Random arrivals, lives and silences, a fifth of them broken off, users with several tabs: chance alone."""
    seed_clean(database, seconds)
    result = classify(database, catalogue, window)
    fleet = {pattern.name for pattern in catalogue.of_scope("fleet")}
    assert result.connections == CLEAN
    assert {name: n for name, n in result.patterns.items() if name in fleet} == {}


def test_classifier_writes_fleet_patterns_once(add: Add, handshakes: Any, catalogue: Catalogue, window: Window) -> None:
    """Run twice, the same rows."""
    for start in (0, 1800, 3599):
        add(start, 3600 - start, **STOPPED)
    add(3599.5, 0.4, signature="CaE", close_code=0, close_initiator="none", dwell_ms=None)
    handshakes.write()
    query = "SELECT * FROM acceptfirst.race_condition_patterns ORDER BY connection_id, pattern_type"
    first = classify(handshakes.database, catalogue, window)
    rows = handshakes.database.rows(query)
    assert classify(handshakes.database, catalogue, window) == first
    assert handshakes.database.rows(query) == rows
    assert len(rows) == first.occurrences == 4


def test_a_day_of_the_week_says_what_the_week_says(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """A connection's finding does not depend on the range that it was asked in."""
    for start in (0, 1800, 3599):
        add(start, 3600 - start, **STOPPED)
    handshakes.write()
    week = classify(handshakes.database, catalogue, window)
    narrow = Window(TUESDAY + timedelta(seconds=1000), TUESDAY + timedelta(seconds=2000), provisional=True)
    assert week.patterns == {"shutdown_with_open_sockets": 3}
    assert classify(handshakes.database, catalogue, narrow).patterns == {"shutdown_with_open_sockets": 1}


def test_every_fleet_pattern_has_its_statement(catalogue: Catalogue, database: Database) -> None:
    """It runs on an empty store too, and finds nothing there."""
    judged: dict[str, list[str]] = {
        name: [] for name in ("ids", "environments", "services", "routes", "sentences", "started")
    }
    parameters = {"environment": "", "since": "2026-11-16", "until": "2026-11-23", **judged}
    for pattern in catalogue.of_scope("fleet"):
        assert database.statement_rows(f"occurrences_{pattern.name}", parameters) == []
