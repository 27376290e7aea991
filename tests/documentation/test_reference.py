"""The pages of the reference say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in (DOCS / "reference").glob("*.md"))
SOURCES = ("instrumentation", "store", "collector", "analysis", "cli")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` writes now, into another folder, in a process of its own: it opens an embedded store."""
    folder = tmp_path_factory.mktemp("made")
    command = [sys.executable, str(DOCS / "generate.py"), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "reference"


@pytest.mark.parametrize("name", PAGES)
def test_reference_page_equals_what_is_committed(made: Path, name: str) -> None:
    """`make docs` changes nothing."""
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == (made / name).read_text(encoding="utf-8")


def test_no_reference_page_is_forgotten(made: Path) -> None:
    """Those that are made are those that are there."""
    assert sorted(path.name for path in made.iterdir()) == PAGES


def test_every_variable_of_the_code_is_documented() -> None:
    """One that is read and that no page names is one that nobody finds."""
    sources = "".join(path.read_text(encoding="utf-8") for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md"))
    read = set(re.findall(r'"(ACCEPTFIRST_[A-Z_]+[A-Z])"', sources))
    assert {name for name in read if name not in pages} == set()


def test_operations_page_explains_every_metric_of_the_collector() -> None:
    """Its table and the generated one name the same."""
    explained = (DOCS / "operations.md").read_text(encoding="utf-8")
    table = re.search(r"^## Metrics\n(.*?)^## ", explained, re.MULTILINE | re.DOTALL)
    assert table
    told = set(re.findall(r"`([a-z_]+)(?:\{[a-z, ]+\})?`", table[1]))
    exposed = set(
        re.findall(r"`acceptfirst_collector_([a-z_]+)`", (DOCS / "reference" / "collector-metrics.md").read_text())
    )
    assert exposed - told == set()
