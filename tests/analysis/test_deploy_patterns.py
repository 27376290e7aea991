"""Cold starts and bad deploys: found where they are, and not where a deploy changed nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from acceptfirst.catalogue import Catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.classification.regressions import regressions
from acceptfirst_analysis.simulate import Plan, place, simulate, write_rows
from acceptfirst_analysis.simulate.plan import Deploy
from acceptfirst_analysis.window import Window
from acceptfirst_store.database import Database

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NOON = MONDAY + timedelta(hours=12)
SEED = 4

Add = Callable[..., str]


@pytest.fixture
def add(handshakes: Any) -> Add:
    """Adds one connection by when it came, in seconds after noon, and how long it took to become ready."""

    def made(at_s: float, took_ms: float, **own: Any) -> str:
        at = NOON + timedelta(seconds=at_s)
        row = {
            "service_version": "2",
            "first_seen": at,
            "pending_at": at,
            "connected_at": at + timedelta(milliseconds=0.4),
            "ready_at": at + timedelta(milliseconds=took_ms),
            "last_seen": at + timedelta(seconds=1),
            "dwell_ms": 900.0,
        }
        return str(handshakes.add("CAGRSDZ", **{**row, **own}))

    return made


def classified(handshakes: Any, catalogue: Catalogue, window: Window) -> dict[str, dict[str, str]]:
    """Evidence by connection, by pattern, of what was added."""
    handshakes.write()
    classify(handshakes.database, catalogue, window)
    found: dict[str, dict[str, str]] = {}
    for row in handshakes.database.rows(
        "SELECT lower(hex(connection_id)) AS id, pattern_type, evidence FROM acceptfirst.race_condition_patterns FINAL"
    ):
        found.setdefault(row["pattern_type"], {})[row["id"]] = row["evidence"]
    return found


# -- 24 cold_start_stampede --------------------------------------------------------------------------------------------


def usual(add: Add, at_s: float = 400.0, took_ms: float = 6.0, **own: Any) -> None:
    """What the service shows once it is warm: sixty handshakes."""
    for n in range(60):
        add(at_s + 5 * n, took_ms + n % 7, **own)


def thaw(add: Add, took_ms: Callable[[int], float] = lambda n: 900.0 - 20 * n, n: int = 30, **own: Any) -> list[str]:
    """Handshakes in the first fifteen seconds of a version, by default each quicker than the one before."""
    return [add(0.5 * number, took_ms(number), **own) for number in range(n)]


def test_stampede_is_found_when_a_new_version_is_cold(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """On each connection that was slow, and on no other."""
    add(-60, 6.0, service_version="1")
    slow = thaw(add)
    usual(add)
    found = classified(handshakes, catalogue, window)
    assert found.keys() == {"cold_start_stampede"}
    assert set(found["cold_start_stampede"]) == set(slow)


def test_stampede_is_found_when_a_restarted_server_is_cold(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """The 1012 of the shutdown tells the start, where the version stays the same."""
    for n in range(3):
        add(-30 - n, 6.0, close_code=1012, close_initiator="server", dwell_ms=20_000.0 + 1000 * n)
    slow = thaw(add)
    usual(add)
    found = classified(handshakes, catalogue, window)
    assert set(found["cold_start_stampede"]) == set(slow)
    assert all("the server had been stopped" in sentence for sentence in found["cold_start_stampede"].values())


def test_stampede_says_what_was_slow_and_what_is_usual(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """A person can follow it: how long, since when, how many, and what it was like later."""
    add(-60, 6.0, service_version="1")
    first = thaw(add)[0]
    usual(add)
    assert classified(handshakes, catalogue, window)["cold_start_stampede"][first] == (
        "Met a cold start: it took 900 ms from connect to ready, 0 s after version 2 began to serve, like 30 of the 30 "
        "handshakes of the route in the first 300 s (over 50 ms), the later the less (rank correlation -1); five "
        "minutes later the median was 9 ms."
    )


def stampedes(handshakes: Any, window: Window) -> list[dict[str, Any]]:
    """What the pattern's own statement finds among all that was added."""
    handshakes.write()
    asked = {"environment": "", **window.parameters}
    return list(handshakes.database.statement_rows("occurrences_cold_start_stampede", asked))


@pytest.mark.parametrize(
    "took_ms",
    [
        pytest.param(lambda n: 300.0 + 20 * n, id="the later the more: a queue"),
        pytest.param(lambda n: 600.0 + (n * 7919) % 101, id="no order in it"),
        pytest.param(lambda n: 45.0 - n, id="nothing that matters"),
        pytest.param(lambda n: 900.0 - 20 * n if n % 3 == 0 else 6.0, id="a third of them"),
    ],
)
def test_stampede_is_not_found_where_it_only_looks_like_one(
    add: Add, handshakes: Any, window: Window, took_ms: Callable[[int], float]
) -> None:
    """Slow together, the later the less, and half of all: anything less is something else."""
    add(-60, 6.0, service_version="1")
    thaw(add, took_ms, n=30)
    usual(add)
    assert stampedes(handshakes, window) == []


def test_stampede_is_not_found_when_nothing_started(add: Add, handshakes: Any, window: Window) -> None:
    """A database that hangs for a while is no cold start."""
    for n in range(100):
        add(-6000 + 60 * n, 6.0)
    thaw(add)
    usual(add)
    assert stampedes(handshakes, window) == []


def test_stampede_is_not_found_when_recording_begins(add: Add, handshakes: Any, window: Window) -> None:
    """The first version that a store knows did not start because it was first seen."""
    thaw(add)
    usual(add)
    assert stampedes(handshakes, window) == []


def test_stampede_is_not_found_when_it_stays_slow(add: Add, handshakes: Any, window: Window) -> None:
    """Then it is the version, not its start."""
    add(-60, 6.0, service_version="1")
    thaw(add)
    usual(add, took_ms=400.0)
    assert stampedes(handshakes, window) == []


def test_stampede_is_not_found_before_it_is_known_what_is_usual(add: Add, handshakes: Any, window: Window) -> None:
    """Nor where too few come to ever know."""
    add(-60, 6.0, service_version="1")
    thaw(add)
    for n in range(49):
        add(400.0 + 5 * n, 6.0)
    assert stampedes(handshakes, window) == []


def test_stampede_is_not_found_with_fewer_than_twenty(add: Add, handshakes: Any, window: Window) -> None:
    """A few slow ones are no crowd."""
    add(-60, 6.0, service_version="1")
    thaw(add, n=19)
    usual(add)
    assert stampedes(handshakes, window) == []


# -- 25 regression_after_deploy ----------------------------------------------------------------------------------------


class Recorded:
    """A store that answers the two statements of the comparison with what was made up."""

    def __init__(self, before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> None:
        warm = [{**after[0], "phase": "warm", "slot": 99, "first_id": "ab" * 16}]
        rows = [("before", row) for row in before] + [("warm", row) for row in warm] + [("after", row) for row in after]
        self.outcomes = [
            {"deploy": 1, "route": "/ws", "slot": 100 + n, "first_id": "cd" * 16, **row, "phase": phase}
            for n, (phase, row) in enumerate(rows)
        ]
        self.outcomes[len(before)].update(slot=99, first_id="ab" * 16)

    def rows(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The deploy, then how it went."""
        if "{started:Array(Int64)}" in sql:
            assert parameters == {
                "environments": ["production"],
                "services": ["chat"],
                "befores": ["1"],
                "afters": ["2"],
                "started": [1_000_000],
            }
            return self.outcomes
        deploy = {"environment": "production", "service": "chat", "before": "1", "after": "2", "started_ms": 1_000_000}
        return [deploy]


ASKED = {"environment": "", "since": "2026-11-16", "until": "2026-11-23"}


def span(median_ms: float, n: int = 100, *, races: int = 0, cold: int = 0, seed: int = SEED) -> dict[str, Any]:
    """Ten minutes in which handshakes took so long."""
    rng = np.random.default_rng(seed)
    took_us = np.append(median_ms * 1000 * np.exp(0.4 * rng.standard_normal(n - cold)), np.full(cold, 400_000.0))
    bins, counts = np.unique(np.floor(100 * np.log10(took_us)).astype(int), return_counts=True)
    return {"n": n, "n_race": races, "n_never": 0, "bins": bins.tolist(), "counts": counts.tolist()}


def spans(median_ms: float, **own: Any) -> list[dict[str, Any]]:
    """An hour and forty minutes of them."""
    return [span(median_ms, seed=SEED + number, **own) for number in range(10)]


@pytest.mark.parametrize(
    ("after", "measures"),
    [
        pytest.param(spans(12.0), {"median"}, id="twice the time"),
        pytest.param(spans(6.0, races=8), {"race_share"}, id="many more races"),
        pytest.param(spans(6.0, cold=6), {"cold_share"}, id="many more cold ones"),
        pytest.param(spans(12.0, races=8), {"median", "race_share"}, id="both"),
    ],
)
def test_regression_is_found_by_what_got_worse(after: list[dict[str, Any]], measures: set[str]) -> None:
    """And is told with the first connection of the new version, warm or not."""
    (found,) = regressions(Recorded(spans(6.0, races=2), after), ASKED)
    assert {change.measure for change, _ in found.changes} == measures
    assert (found.connection_id, found.before, found.after) == ("ab" * 16, "1", "2")


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(spans(6.0, races=2), id="nothing changed"),
        pytest.param(spans(3.0), id="it got better"),
        pytest.param(spans(8.0, races=2), id="a third slower"),
        pytest.param(spans(6.0, races=3), id="half as many races more"),
        pytest.param(spans(12.0, n=15), id="too few"),
        pytest.param(spans(12.0)[:7], id="too young"),
        pytest.param(
            [*spans(6.0, races=2)[:8], span(6.0, races=80), span(6.0, races=70)], id="races in two bad moments"
        ),
        pytest.param([*spans(6.0)[:8], span(6.0, cold=60), span(6.0, cold=50)], id="cold in two bad moments"),
    ],
)
def test_regression_is_not_found_where_it_only_looks_like_one(after: list[dict[str, Any]]) -> None:
    """Shown, large enough to matter, and lasting."""
    assert regressions(Recorded(spans(6.0, races=2), after), ASKED) == []


def test_regression_is_written_with_the_first_connection_of_the_new_version(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """One row for the deploy, however many handshakes are slower, dated to the moment at which it began."""
    rng = np.random.default_rng(SEED)
    for at_s in rng.uniform(-7000, -1, 220):
        add(at_s, 6.0 * rng.lognormal(0, 0.3), service_version="1")
    first = add(0, 15.0)
    for at_s in rng.uniform(1, 7000, 300):
        add(at_s, 15.0 * rng.lognormal(0, 0.3))
    found = classified(handshakes, catalogue, window)
    assert found.keys() == {"regression_after_deploy"}
    ((connection, sentence),) = found["regression_after_deploy"].items()
    assert connection == first
    assert "Since version 2 serves in place of 1: the median from connect to ready went from" in sentence
    ((detected_at,),) = [
        row.values() for row in handshakes.database.rows("SELECT detected_at FROM acceptfirst.race_condition_patterns")
    ]
    assert detected_at == NOON


def test_classifier_forgets_a_regression_that_is_none_any_more(
    add: Add, handshakes: Any, catalogue: Catalogue, window: Window
) -> None:
    """Late spans show that the version before was as slow."""
    rng = np.random.default_rng(SEED)
    for at_s in rng.uniform(-7000, -1, 220):
        add(at_s, 6.0 * rng.lognormal(0, 0.3), service_version="1")
    for at_s in rng.uniform(1, 7000, 300):
        add(at_s, 15.0 * rng.lognormal(0, 0.3))
    assert classified(handshakes, catalogue, window).keys() == {"regression_after_deploy"}
    handshakes.rows.clear()
    for at_s in rng.uniform(-8000, -7000, 900):
        connection_id = int(NOON.timestamp() * 1000).to_bytes(6, "big") + rng.bytes(10)
        add(at_s, 15.0 * rng.lognormal(0, 0.3), service_version="1", connection_id=connection_id)
    assert classified(handshakes, catalogue, window) == {}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_when_deploys_changed_nothing(
    database: Database, catalogue: Catalogue, window: Window, seed: int
) -> None:
    """Four deploys of the same application, with cold starts; ``make bench-clean`` asks many more seeds."""
    deploys = tuple(Deploy(version=f"1.{n}", at=MONDAY + timedelta(hours=10 * n)) for n in range(1, 5))
    plan = Plan(
        connections=12_000,
        since=MONDAY,
        until=MONDAY + timedelta(days=2),
        seed=seed,
        places=(place("production"), place("staging", mode="auto")),
        faults=0.02,
        episodes=0,
        deploys=deploys,
    )
    write_rows(database, plan, simulate(plan))
    patterns = classify(database, catalogue, window).patterns
    assert "regression_after_deploy" not in patterns
    assert "cold_start_stampede" not in patterns


def test_regression_is_found_by_deploy_and_route(database: Database, catalogue: Catalogue, window: Window) -> None:
    """Of four deploys one made it slower, at both places."""
    deploys = tuple(
        Deploy(version=f"1.{n}", at=MONDAY + timedelta(hours=10 * n), slowdown=2.5 if n == 3 else 1.0)
        for n in range(1, 4)
    )
    plan = Plan(
        connections=12_000,
        since=MONDAY,
        until=MONDAY + timedelta(days=2),
        seed=SEED,
        places=(place("production"), place("staging")),
        faults=0.02,
        episodes=0,
        deploys=deploys,
    )
    write_rows(database, plan, simulate(plan))
    classify(database, catalogue, window)
    rows = database.rows(
        "SELECT environment, evidence FROM acceptfirst.race_condition_patterns FINAL "
        "WHERE pattern_type = 'regression_after_deploy' ORDER BY environment"
    )
    assert [row["environment"] for row in rows] == ["production", "staging"]
    assert all("Since version 1.3 serves in place of 1.2:" in row["evidence"] for row in rows)
