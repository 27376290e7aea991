"""Every server with every framework: the same fault is found, and nothing of the application or the wire changes."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptfirst.catalogue import load_catalogue
from acceptfirst.lifecycle import ALLOWED_TRANSITIONS
from acceptfirst.lifecycle import ApplicationConnectionState as State
from server_matrix.expectations import DEVIATIONS, VARIES, expected_patterns
from server_matrix.page import page
from server_matrix.scenarios import SCENARIOS, scenarios_of
from server_matrix.servers import CELLS, ON_UVLOOP, Cell
from server_matrix.trial import Sighting

Sightings = dict[Cell, list[Sighting]]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "servers.md"
# The first test that asks runs the whole matrix, about two minutes on two cores.
pytestmark = pytest.mark.timeout(900)
each_cell = pytest.mark.parametrize("cell", CELLS, ids=str)


@each_cell
def test_fault_shows_the_same_pattern_whatever_the_server(cell: Cell, sightings: Sightings) -> None:
    """Or the one that the list of deviations gives a reason for."""
    found = {sighting.scenario: list(sighting.patterns) for sighting in sightings[cell]}
    assert found == {name: expected_patterns(cell, name) for name in scenarios_of(cell.framework)}


@each_cell
def test_client_and_application_see_the_same_without_the_middleware(cell: Cell, sightings: Sightings) -> None:
    """Messages, codes, exceptions and how the application leaves are those of the bare application."""
    observed = {sighting.scenario: sighting.observed for sighting in sightings[cell]}
    assert observed == {sighting.scenario: sighting.plain for sighting in sightings[cell]}


@each_cell
def test_exported_transitions_are_a_walk_through_the_lifecycle(cell: Cell, sightings: Sightings) -> None:
    """Numbered from 0, each from where the last one went, and each allowed."""
    for sighting in sightings[cell]:
        steps = [(step.sequence, State(step.old), State(step.new)) for step in sighting.steps]
        assert [number for number, _, _ in steps] == list(range(len(steps))), sighting
        assert [old for _, old, _ in steps] == [State.INITIALIZING, *(new for _, _, new in steps)][: len(steps)]
        assert all(new in ALLOWED_TRANSITIONS[old] for _, old, new in steps), sighting


@each_cell
def test_connection_whose_application_left_was_told_to_its_end(cell: Cell, sightings: Sightings) -> None:
    """Its last transition is into CLOSED and carries the signature."""
    left = [sighting for sighting in sightings[cell] if sighting.observed.left not in ("never left", VARIES)]
    assert [s for s in left if not s.signature or s.steps[-1].new != State.CLOSED] == []


@each_cell
def test_library_fails_nowhere(cell: Cell, sightings: Sightings) -> None:
    """No hook of ours had to be saved from itself."""
    assert {sighting.scenario: sighting.failures for sighting in sightings[cell] if sighting.failures} == {}


@pytest.mark.parametrize("cell", ON_UVLOOP, ids=str)
def test_uvloop_shows_what_asyncio_shows(cell: Cell, sightings: Sightings) -> None:
    """Views, signatures and patterns do not depend on the event loop."""
    on_asyncio = sightings[cell._replace(loop="asyncio")]
    assert [_seen(sighting) for sighting in sightings[cell]] == [_seen(sighting) for sighting in on_asyncio]


def _seen(sighting: Sighting) -> tuple[object, ...]:
    return sighting.scenario, sighting.observed, sighting.signature, sighting.patterns


def test_committed_page_is_what_the_servers_show(sightings: Sightings, run_matrix: Callable[[], Sightings]) -> None:
    """`make servers` would change nothing; what differs is looked at twice, since a slow machine differs too."""
    changed = _changed(sightings)
    lasting = changed and set(changed) & set(_changed(run_matrix()))
    assert sorted(lasting) == [], f"run `make servers` and look at what changed in docs/servers.md: {sorted(lasting)}"


def _changed(sightings: Sightings) -> list[str]:
    seen = page(sighting for cell in CELLS for sighting in sightings[cell])
    compared = difflib.ndiff(PAGE.read_text(encoding="utf-8").splitlines(), seen.splitlines())
    return [line for line in compared if line.startswith(("+", "-"))]


def test_every_pattern_that_is_expected_is_in_the_catalogue() -> None:
    """A name that was mistyped would only show as a difference."""
    expected = {name for scenario in SCENARIOS.values() for name in scenario.patterns}
    expected |= {name for deviation in DEVIATIONS for name in deviation.patterns}
    assert expected <= {pattern.name for pattern in load_catalogue()}


def test_every_deviation_speaks_of_cells_that_are_run() -> None:
    """A deviation that no cell needs any more is taken out."""
    run = {(cell.server, cell.framework, name) for cell in CELLS for name in scenarios_of(cell.framework)}
    idle = [
        deviation
        for deviation in DEVIATIONS
        if not any((s, f, deviation.scenario) in run for s in deviation.servers for f in deviation.frameworks)
    ]
    assert idle == []
