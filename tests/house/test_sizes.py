"""Functions and modules stay small enough to be read in one sitting."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("instrumentation", "store", "collector", "analysis", "cli", "examples", "benchmarks", "dashboards", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_MEDIAN_MAX = 10
MODULE_LINES_MAX = 700


def function_lengths(path: Path) -> dict[str, int]:
    """Lines of each function in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {f"{path.name}:{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1 for node in functions}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_and_its_functions_are_short(path: Path) -> None:
    """No module over 700 lines, no function over 70."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX
    assert {name: lines for name, lines in function_lengths(path).items() if lines > FUNCTION_LINES_MAX} == {}


def test_median_function_is_ten_lines_or_fewer() -> None:
    """Half of all functions fit in ten lines."""
    lengths = [lines for path in SOURCES if "tests" not in path.parts for lines in function_lengths(path).values()]
    assert statistics.median(lengths) <= FUNCTION_LINES_MEDIAN_MAX
