"""Packages import in one direction only, and the library stays light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = {
    "acceptfirst": "instrumentation",
    "acceptfirst_pytest": "instrumentation",
    "acceptfirst_store": "store",
    "acceptfirst_collector": "collector",
    "acceptfirst_analysis": "analysis",
    "acceptfirst_cli": "cli",
    "acceptfirst_chat": "examples/chat",
}

MAY_IMPORT = {
    "acceptfirst": set(),
    "acceptfirst_pytest": {"acceptfirst"},
    "acceptfirst_store": {"acceptfirst"},
    "acceptfirst_collector": {"acceptfirst", "acceptfirst_store"},
    "acceptfirst_analysis": {"acceptfirst", "acceptfirst_store"},
    "acceptfirst_cli": set(PACKAGES) - {"acceptfirst_cli"},
    "acceptfirst_chat": {"acceptfirst"},
}

LIGHT = {"opentelemetry"} | set(sys.stdlib_module_names)

FOR_ONE_FRAMEWORK = {"fastapi.py": {"starlette"}}
"""Modules that only applications of that framework import."""


def modules(package: str) -> list[Path]:
    """Every source file of a package."""
    return sorted((ROOT / PACKAGES[package] / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_in_the_allowed_direction(package: str) -> None:
    """The arrow between packages never turns round."""
    wrong = {str(path): (imported(path) & set(PACKAGES)) - MAY_IMPORT[package] - {package} for path in modules(package)}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_every_package_has_sources() -> None:
    """A package that moved away would make the check above pass for nothing."""
    assert all(modules(package) for package in PACKAGES)


def test_library_imports_nothing_but_opentelemetry() -> None:
    """It lives in other people's processes."""
    wrong = {
        str(path): imported(path) - LIGHT - {"acceptfirst"} - FOR_ONE_FRAMEWORK.get(path.name, set())
        for path in modules("acceptfirst")
    }
    assert {path: names for path, names in wrong.items() if names} == {}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_importing_the_library_loads_no_framework_and_no_database() -> None:
    """Neither FastAPI, Starlette, pandas nor chDB, nor the SDK's exporters."""
    loaded = loaded_by("import acceptfirst")
    assert loaded.isdisjoint({"fastapi", "starlette", "pandas", "numpy", "chdb", "clickhouse_connect", "typer", "rich"})


def test_asking_the_command_line_for_help_loads_no_database() -> None:
    """The overview is quick."""
    loaded = loaded_by("import acceptfirst_cli.application as a\na.build().list_commands(None)")
    assert loaded.isdisjoint({"pandas", "scipy", "chdb", "clickhouse_connect", "fastapi"})
