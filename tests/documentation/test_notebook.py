"""The notebook in docs/ shows what the code prints today."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import notebook as maker
import pytest
from nbclient.exceptions import CellExecutionError

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMITTED = DOCS / "incident.ipynb"


def test_notebook_equals_what_is_committed(tmp_path: Path) -> None:
    """`make notebook` changes nothing; in a process of its own, since a kernel takes signals and event loops."""
    made = tmp_path / "incident.ipynb"
    done = subprocess.run(
        [sys.executable, str(DOCS / "notebook.py"), str(made)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert made.read_text(encoding="utf-8") == COMMITTED.read_text(encoding="utf-8")


def test_notebook_names_no_place_of_this_machine() -> None:
    """No path, no object's address, no time of a run."""
    text = COMMITTED.read_text(encoding="utf-8")
    assert re.findall(r"/(?:tmp|home|root)\b|0x[0-9a-f]{6,}|iopub", text) == []


def test_notebook_has_a_target_for_every_link() -> None:
    """Nobody else checks its links: the site does not have it as a page."""
    texts = [cell.source for cell in nbformat.read(COMMITTED, 4).cells if cell.cell_type == "markdown"]
    targets = {target for text in texts for target in re.findall(r"\]\(([^)#]+)", text)}
    assert targets
    assert {target for target in targets if not (DOCS / target).exists()} == set()


def test_cells_keep_text_and_code_apart() -> None:
    """Text loses its comment signs, code keeps its own, and what stands before the first cell is left out."""
    cells = maker.cells_of("import gone\n# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\n# why\nx = 1\n")
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# Title\n\nText."),
        ("code", "# why\nx = 1"),
    ]


def test_notebook_is_refused_when_a_cell_warns() -> None:
    """Readers would take it for a fault."""
    with pytest.raises(maker.NoisyCellError, match="old ways"):
        maker.executed("# %%\nimport warnings\n\nwarnings.warn('old ways')\n")


def test_notebook_is_refused_when_a_cell_raises() -> None:
    """What is committed has run to its end."""
    with pytest.raises(CellExecutionError, match="no such thing"):
        maker.executed("# %%\nraise LookupError('no such thing')\n")
