"""Real servers' faults, through a real collector and its store: the store names what the application did."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server_matrix.servers import Cell
from server_matrix.stored import F1_MIN, classified, labels_of, page, play, scores_by_server
from server_matrix.trial import Sighting

# ``make servers-stored`` plays all of them.
CELLS = (Cell("uvicorn_sansio", "starlette_app"), Cell("hypercorn", "bare"))
pytestmark = pytest.mark.timeout(300)

Played = tuple[list[Sighting], dict[str, set[str]]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Two servers' connections, and what the store says of them."""
    folder: Path = tmp_path_factory.mktemp("stored")
    sightings, requests = asyncio.run(play(CELLS, folder / "cells"))
    return sightings, classified(requests, labels_of(sightings), folder / "data")


def test_store_names_the_faults_of_real_servers(played: Played) -> None:
    """Every pattern on every server, F1 of at least 0.99."""
    scored = scores_by_server(*played)
    assert set(scored) == {"uvicorn_sansio", "hypercorn"}
    low = {(server, name): s for server, own in scored.items() for name, s in own.items() if s.f1 < F1_MIN}
    assert low == {}
    assert all(len(own) >= 10 for own in scored.values())


def test_store_agrees_with_the_process_about_real_servers(played: Played) -> None:
    """What the application's process reported at once is what the store concludes later."""
    sightings, found = played
    reported = {s.connection_id: set(s.patterns) for s in sightings if s.connection_id}
    concluded = {connection: found.get(connection, set()) - {"unclassified"} for connection in reported}
    assert concluded == reported


def test_crash_without_a_name_is_unclassified(played: Played) -> None:
    """An exception of the application's own is written down, not hidden."""
    sightings, found = played
    crashed = [s for s in sightings if s.scenario == "exception_after_accept"]
    assert [found[s.connection_id] for s in crashed] == [{"unclassified"}] * len(CELLS)


def test_page_says_the_lowest_score(played: Played) -> None:
    """And has a column for each server that was played."""
    text = page(scores_by_server(*played))
    assert "The lowest F1 is 1.000" in text
    assert "| uvicorn (websockets-sansio) | hypercorn |" in text
