"""What the documentation tells its readers to run, runs: each page in one session, its blocks in their order."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from documented.blocks import Block, blocks_of
from documented.session import NotAsDocumentedError, Session, commands_of, free_port

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUTSIDE = ("README.md", "CONTRIBUTING.md", "dashboards/README.md", "examples/chat/README.md", "changelog.d/README.md")
#: Pages whose blocks are run by tests of their own, line by line.
ELSEWHERE = {
    "docs/diagnosis.md": "tests/pytest_plugin/test_documented_example.py",
    "docs/patterns": "tests/house/test_docs.py",
    "docs/reference": "tests/documentation/test_reference.py",
}
PAGES = sorted(
    page
    for page in [*DOCS.rglob("*.md"), *(ROOT / name for name in OUTSIDE)]
    if blocks_of(page) and not page.relative_to(ROOT).as_posix().startswith((*ELSEWHERE, "docs/adr", "docs/lifecycle"))
)
SHOWN = {"text", "mermaid", "diff", "promql"}
RUN = {"sh", "console"}
WEEK = "2026-W47"

#: Asks an embedded store with all tables and nothing in them.
ASK: Final = """
from acceptfirst_store.database import open_database
from acceptfirst_store.migrations.runner import migrate

with open_database("chdb:///tmp/asked/db") as database:
    migrate(database)
    database.rows('''{sql}''')
"""
#: What Cloud Run calls its services; Kubernetes itself has no schema of it.
KNATIVE: Final = "serving.knative.dev"

#: What snippets of a page take for granted.
TAKEN: Final = {
    "docs/getting-started.md": "from fastapi import FastAPI\napp = FastAPI()",
    "docs/readiness.md": "import sys, types\nsys.modules.setdefault('asyncpg', types.ModuleType('asyncpg'))",
    "examples/chat/README.md": None,
}


def name_of(page: Path) -> str:
    """Its path below the repository."""
    return page.relative_to(ROOT).as_posix()


# -- every block -------------------------------------------------------------------------------------------------------


EVERY = [(page, block) for page in PAGES for block in blocks_of(page)]
each_block = pytest.mark.parametrize(
    ("page", "block"), EVERY, ids=lambda v: name_of(v) if isinstance(v, Path) else v.line
)


def blocks_in(*languages: str, having: Callable[[Block], Any] = bool) -> pytest.MarkDecorator:
    """The blocks that a check is about, so that none passes where there is nothing to check; some there must be."""
    found = [(page, block) for page, block in EVERY if block.language in languages and having(block)]
    assert found, languages
    return pytest.mark.parametrize(("page", "block"), found, ids=[f"{name_of(p)}:{b.line}" for p, b in found])


@each_block
def test_block_is_of_a_language_that_is_checked(page: Path, block: Block) -> None:
    """One of an unknown language would be passed over."""
    assert block.language in SHOWN | RUN | {"python", "toml", "yaml", "json", "ini", "sql"}


@blocks_in("toml", "yaml", "json", "ini")
def test_block_of_data_can_be_read(page: Path, block: Block) -> None:
    """TOML, YAML, JSON and INI parse, also where nothing here could use them."""
    readers: dict[str, Callable[[str], Any]] = {
        "toml": tomllib.loads,
        "yaml": lambda text: list(yaml.safe_load_all(text)),
        "json": json.loads,
        "ini": configparser.ConfigParser().read_string,
    }
    readers[block.language](block.text)


def manifests(block: Block) -> list[dict[str, Any]]:
    """What a block of YAML would have Kubernetes make."""
    documents = [document for document in yaml.safe_load_all(block.text) if isinstance(document, dict)]
    return [document for document in documents if not document.get("apiVersion", KNATIVE).startswith(KNATIVE)]


@blocks_in("yaml", having=manifests)
def test_manifest_is_one_that_kubernetes_takes(page: Path, block: Block) -> None:
    """By the schema of the newest version that the package knows, strictly."""
    for document in manifests(block):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def pipelines(block: Block) -> list[tuple[dict[str, Any], str, list[str]]]:
    """The configuration, the kind of component and the names that each pipeline of an OpenTelemetry Collector uses."""
    return [
        (document, kind, names)
        for document in yaml.safe_load_all(block.text)
        if isinstance(document, dict)
        for pipeline in (document.get("service") or {}).get("pipelines", {}).values()
        for kind, names in pipeline.items()
    ]


@blocks_in("yaml", having=pipelines)
def test_pipeline_of_a_collector_names_what_is_declared(page: Path, block: Block) -> None:
    """An OpenTelemetry Collector refuses a configuration whose pipelines name a component that it does not have."""
    for document, kind, names in pipelines(block):
        assert set(names) <= set(document[kind])


def test_what_a_reader_sets_up_is_there() -> None:
    """Targets of make exist; packages are pinned."""
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, block in EVERY:
        for command, _ in commands_of(block) if block.language in RUN else ():
            words = re.sub(r"\s+#.*", "", command).replace("'", "").split()
            if words[:1] == ["make"]:
                assert set(words[1:]) <= targets, f"{name_of(page)}: {command}"
            if words[:1] and words[0].startswith(".venv/bin/"):
                assert (ROOT / words[0]).exists() or (Path(sys.executable).parent / Path(words[0]).name).exists()
            if words[:2] == ["pip", "install"]:
                names = {re.split(r"[\[=<>]", word)[0].lower() for word in words[2:] if not word.startswith("-")}
                assert names - pinned - {"acceptfirst"} == set(), f"{name_of(page)}: {command}"


# -- every page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a week of simulated handshakes, and the last two hours of some."""
    folder = tmp_path_factory.mktemp("history")
    store = f"chdb://{folder}/data/db"
    for scope in (("--week", WEEK, "--connections", "3000"), ("--since", "2h", "--connections", "600")):
        command = [sys.executable, "-m", "acceptfirst_cli", "simulate", *scope, "--store", store]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return folder / "data"


@pytest.fixture(scope="module")
def shared(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One running `serve` over that history, for all pages that start none of their own."""
    ports = {4318: free_port(), 4317: free_port()}
    variables = {"ACCEPTFIRST_PORT": str(ports[4318]), "ACCEPTFIRST_GRPC_PORT": str(ports[4317])}
    session = Session(tmp_path_factory.mktemp("shared"), ports, variables | {"ACCEPTFIRST_DATA_DIR": str(history)})
    session.run(Block(0, "sh", "acceptfirst serve --no-jobs", ""))
    yield session
    session.close()


@pytest.fixture
def open_session(shared: Session, history: Path, tmp_path: Path) -> Iterator[Callable[[Path], Session]]:
    """Opens the session of a page: with a collector of its own where it starts one, else with the shared one."""
    opened = []

    def make(page: Path) -> Session:
        blocks = [block for block in blocks_of(page) if block.language in RUN and not block.reason]
        runs = [command for block in blocks for command, _ in commands_of(block)]
        is_own = any(command.startswith("acceptfirst serve") for command in runs)
        ports = {8000: free_port()} | ({4318: free_port(), 4317: free_port()} if is_own else shared.ports)
        variables = {"UVICORN_PORT": str(ports[8000]), "ACCEPTFIRST_PORT": str(ports[4318])}
        variables["ACCEPTFIRST_GRPC_PORT"] = str(ports[4317])
        if not is_own:
            (tmp_path / ".acceptfirst").symlink_to(history)
        opened.append(Session(tmp_path, ports, variables))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


@pytest.mark.timeout(600)  # a page is as many commands as it has, each with its own patience
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_does_what_it_says(page: Path, open_session: Callable[[Path], Session]) -> None:
    """Commands end well and print what the page prints; Python runs; files are written as they are shown."""
    session = open_session(page)
    for block in blocks_of(page):
        if block.reason or block.language in SHOWN:
            continue
        try:
            if block.language in RUN:
                session.run(block)
            elif block.file_name:
                session.write(block)
            elif block.language == "sql":
                session.python(ASK.format(sql=block.text), "")
            elif block.language == "python" and TAKEN.get(name_of(page), "") is not None:
                session.python(block.text, TAKEN.get(name_of(page)) or "")
        except NotAsDocumentedError as failure:
            pytest.fail(f"{name_of(page)}:{block.line}: {failure}", pytrace=False)
