"""The matrix, run once for all tests that look at it."""

from __future__ import annotations

import asyncio

import pytest

from server_matrix.expectations import steadied
from server_matrix.run import run_cells
from server_matrix.servers import CELLS, Cell
from server_matrix.trial import Sighting

Sightings = dict[Cell, list[Sighting]]


@pytest.fixture(scope="session")
def sightings(tmp_path_factory: pytest.TempPathFactory) -> Sightings:
    """What every cell showed, by cell, scenarios in the matrix' order."""
    seen = steadied(asyncio.run(run_cells(CELLS, tmp_path_factory.mktemp("matrix"))))
    return {cell: [sighting for sighting in seen if sighting.cell == cell] for cell in CELLS}
