"""``make servers``: runs the matrix and writes the page to the file that is named."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from server_matrix.expectations import steadied
from server_matrix.page import page
from server_matrix.run import run_cells
from server_matrix.servers import CELLS


def main(target: str) -> int:
    """Write the page; gives the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        sightings = steadied(asyncio.run(run_cells(CELLS, Path(folder))))
    Path(target).write_text(page(sightings), encoding="utf-8")
    sys.stderr.write(f"{len(sightings)} sightings in {len(CELLS)} server processes: {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
