"""Changelog fragments, decisions and the README keep their form."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import acceptfirst
from acceptfirst.catalogue import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
FRAGMENTS = [path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]


def test_towncrier_can_draft_the_changelog() -> None:
    """Every fragment is taken, and nothing is written."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", acceptfirst.__version__]
    draft = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert [path.name for path in FRAGMENTS if path.read_text().split("\n")[0][:40] not in draft] == []


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_the_four_parts(path: Path) -> None:
    """Problem, Aims, Decision, What it costs, in this order; its number stands in its title."""
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Problem", "Aims", "Decision", "What it costs"]
    assert text.startswith(f"# {path.stem[:4]} ")


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    """A number is never given twice, and the index names each."""
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [path.name for path in DECISIONS if f"({path.name})" not in index] == []


def test_every_dependency_is_named_in_its_decision() -> None:
    """With its licence and its reason; extras of our own are none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [*project["dependency-groups"].values(), *project["project"]["optional-dependencies"].values()]
    groups.append(project["project"]["dependencies"])
    asked = [
        *project["project"]["dependencies"],
        *(line for group in groups for line in group if isinstance(line, str)),
    ]
    names = {re.split(r"[\[><=;]", line)[0] for line in asked} - {"acceptfirst"}
    decision = (ROOT / "docs" / "adr" / "0001-one-distribution.md").read_text()
    short = decision.replace(", -", ", opentelemetry-")  # "opentelemetry-api, -sdk"
    assert {name for name in names if name not in short} == set()


def test_readme_counts_the_patterns_as_the_catalogue_does() -> None:
    """And its claim that a delay cures one of them still holds."""
    catalogue = load_catalogue()
    assert f"the [{len(catalogue)} patterns](docs/patterns/README.md)" in (ROOT / "README.md").read_text()
    assert [pattern.name for pattern in catalogue if pattern.delay_helps == "cures"] == ["reconnect_storm"]
