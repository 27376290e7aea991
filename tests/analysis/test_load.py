"""Typed frames for a notebook: the same columns and types however much there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

import acceptfirst_analysis
from acceptfirst.catalogue import load_catalogue
from acceptfirst_analysis.classification.classify import classify
from acceptfirst_analysis.frames import HANDSHAKES, PATTERNS, RECOMMENDATIONS, Frames, TooManyRowsError
from acceptfirst_analysis.simulate import Plan, labels, place, simulate, write_rows
from acceptfirst_analysis.window import WindowError, window_between
from acceptfirst_store.database import open_database
from acceptfirst_store.errors import StoreUnreachable
from acceptfirst_store.migrations import migrate

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
PLAN = Plan(
    connections=300,
    since=MONDAY,
    until=MONDAY + timedelta(days=1),
    faults=0.3,
    places=(place("production"), place("staging", mode="blind")),
)
SINCE, UNTIL = "2026-11-16", "2026-11-18"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two stores that nobody holds: one with a classified plan, one empty."""
    dsns = {name: f"chdb://{tmp_path_factory.mktemp(name)}/db" for name in ("full", "empty")}
    for name, dsn in dsns.items():
        with open_database(dsn) as database:
            migrate(database)
            if name == "full":
                write_rows(database, PLAN, simulate(PLAN))
                window = window_between(MONDAY, MONDAY + timedelta(days=2), now=MONDAY + timedelta(days=3))
                classify(database, load_catalogue(), window)
    return dsns


@pytest.fixture(scope="module")
def frames(stores: dict[str, str]) -> Frames:
    """What is loaded of the full one."""
    return acceptfirst_analysis.load(stores["full"], since=SINCE, until=UNTIL)


def test_load_gives_every_handshake_with_its_truth(frames: Frames) -> None:
    """Readiness from accept, in milliseconds: NaN where nobody could see it."""
    known = {label["connection_id"]: label for block in simulate(PLAN) for label in labels(PLAN, block)}
    loaded = frames.handshakes.set_index("connection_id")
    assert set(loaded.index) == set(known)
    seen = {id_: ms for id_, ms in loaded["ready_ms"].items() if pd.notna(ms) and known[str(id_)]["cause"] == "clean"}
    assert len(seen) > 100
    assert all(abs(ms - known[str(id_)]["ready_ms"]) < 0.001 for id_, ms in seen.items())


def test_load_gives_what_the_classifier_wrote(frames: Frames) -> None:
    """One row an occurrence, each of a handshake that is there."""
    assert set(frames.patterns["connection_id"]) <= set(frames.handshakes["connection_id"])
    assert (frames.patterns["pattern_type"] == "double_accept").sum() > 0


@pytest.mark.parametrize("name", ["full", "empty"])
def test_load_gives_the_same_types_when_there_is_nothing(stores: dict[str, str], name: str) -> None:
    """A notebook that works on much works on nothing."""
    loaded = acceptfirst_analysis.load(stores[name], since=SINCE, until=UNTIL)
    for frame, kinds in (
        (loaded.handshakes, HANDSHAKES),
        (loaded.patterns, PATTERNS),
        (loaded.recommendations, RECOMMENDATIONS),
    ):
        assert {column: str(kind) for column, kind in frame.dtypes.items()} == dict(kinds)


def test_load_keeps_to_one_environment(stores: dict[str, str]) -> None:
    """By any of its names."""
    loaded = acceptfirst_analysis.load(stores["full"], environment="stage", since=SINCE, until=UNTIL)
    assert set(loaded.handshakes["environment"]) == {"staging"} == set(loaded.patterns["environment"])


def test_load_refuses_to_give_a_part(stores: dict[str, str]) -> None:
    """A part of the rows would look like all of them."""
    with pytest.raises(TooManyRowsError, match="expected at most 10 handshakes"):
        acceptfirst_analysis.load(stores["full"], rows_max=10, since=SINCE, until=UNTIL)


def test_load_says_what_is_wrong_with_a_source_or_a_range(tmp_path: Path) -> None:
    """And makes no store in its place."""
    with pytest.raises(StoreUnreachable, match="but there is none"):
        acceptfirst_analysis.load(f"chdb://{tmp_path}/none")
    with pytest.raises(WindowError, match="ISO 8601"):
        acceptfirst_analysis.load(f"chdb://{tmp_path}/none", since="yesterday")
    assert not (tmp_path / "none").exists()


def test_times_on_the_whole_second_are_read_beside_others() -> None:
    """Over HTTP a time is text, and one without a fraction has no dot."""
    typed = acceptfirst_analysis.frames._typed(
        pd.DataFrame({"at": ["2026-11-16T16:48:55.25+00:00", "2026-11-16T16:48:55+00:00"]}),
        {"at": acceptfirst_analysis.frames._TIME},
    )
    assert typed["at"].dt.microsecond.tolist() == [250000, 0]
