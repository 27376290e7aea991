"""Runs all cells, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from server_matrix.servers import Cell
from server_matrix.trial import Sighting, run_cell

AT_ONCE: Final = 8
"""Server processes at a time: most of a cell's life is waiting for what never comes."""


async def run_cells(cells: Iterable[Cell], folder: Path) -> list[Sighting]:
    """Run cells; gives their sightings in the order of the cells.

    Args:
        cells: what to run.
        folder: an empty one for their files.

    Raises:
        MatrixError: see ``run_cell``.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def in_turn(cell: Cell) -> list[Sighting]:
        async with slots:
            return await run_cell(cell, folder / str(cell))

    cells_sightings = await asyncio.gather(*(in_turn(cell) for cell in cells))
    return [sighting for sightings in cells_sightings for sighting in sightings]
