"""A real, migrated chDB for the boards' queries, and the generator of the boards."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generator() -> types.ModuleType:
    """The generator, loaded by its path: it is a script and no package."""
    spec = importlib.util.spec_from_file_location("dashboards_generate", ROOT / "dashboards" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a store of the module's own: one process can have only one embedded store open at a time."""
    path: Path = tmp_path_factory.mktemp("boards") / "db"
    with open_database(f"chdb://{path}") as opened:
        migrate(opened)
        yield opened
