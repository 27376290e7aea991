"""The matrix, run once for all tests that look at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server_matrix.expectations import steadied
from server_matrix.run import run_cells
from server_matrix.servers import CELLS, Cell
from server_matrix.trial import Sighting

Sightings = dict[Cell, list[Sighting]]


@pytest.fixture(scope="session")
def run_matrix(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Sightings]:
    """Runs every cell; gives what each showed, scenarios in the matrix' order."""

    def run() -> Sightings:
        seen = steadied(asyncio.run(run_cells(CELLS, tmp_path_factory.mktemp("matrix"))))
        return {cell: [sighting for sighting in seen if sighting.cell == cell] for cell in CELLS}

    return run


@pytest.fixture(scope="session")
def sightings(run_matrix: Callable[[], Sightings]) -> Sightings:
    """What every cell showed in the run that all tests look at."""
    return run_matrix()
