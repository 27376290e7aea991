"""Writes ``docs/incident.ipynb``: the cells of ``docs/incident.py`` and what they print, run here and now.

    python docs/notebook.py [FILE]

The source is Python in the percent format, which editors show as cells and a diff shows as lines. What differs from run
to run without a change of the code (times, the kernel's version) is left out of the notebook.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

DOCS: Final = Path(__file__).resolve().parent
SOURCE: Final = DOCS / "incident.py"
TARGET: Final = DOCS / "incident.ipynb"
CELL: Final = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
TIMEOUT_S: Final = 300
"""For one cell; the slowest takes two seconds."""

METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KERNEL: Final = Config({"KernelManager": {"transport_encryption": "auto"}})
"""Else the kernel warns that its neighbours on this machine can listen."""


class NoisyCellError(RuntimeError):
    """A cell wrote to standard error, which readers would take for a fault."""


def cells_of(source: str) -> list[NotebookNode]:
    """The cells of a script in the percent format, without outputs; what stands before the first one is left out."""
    _, *parts = CELL.split(source)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [_cell(f"cell-{number:02}", text.strip(), markdown) for number, (markdown, text) in enumerate(pairs, 1)]


def _cell(name: str, text: str, markdown: str | None) -> NotebookNode:
    uncommented = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    cell: NotebookNode = new_markdown_cell(uncommented) if markdown else new_code_cell(text)
    cell.id = name  # else a random one
    return cell


def executed(source: str) -> NotebookNode:
    """The notebook of a script with its outputs, and nothing in it that only this run knows.

    Args:
        source: the script.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell raises.
        NoisyCellError: when one writes to standard error, warnings included.
    """
    notebook: NotebookNode = new_notebook(cells=cells_of(source), metadata=METADATA)
    with TemporaryDirectory() as folder:  # nobody's IPython profile, and no file beside the notebook
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, config=KERNEL, resources=resources, timeout=TIMEOUT_S, record_timing=False)
        client.execute(env={**os.environ, "IPYTHONDIR": folder})
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise NoisyCellError(f"expected nothing on standard error, but {cell.id} wrote: {output.text}")
    nbformat.validate(notebook)
    return notebook


def main(target: Path) -> None:
    """Run the notebook and write it."""
    target.write_text(nbformat.writes(executed(SOURCE.read_text(encoding="utf-8"))) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
