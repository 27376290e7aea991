"""A real serve, and the stock clients of other languages that export to it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest

PATIENCE_S: Final = 90.0
REQUIRED: Final = "ACCEPTFIRST_TEST_REQUIRE"
NODE: Final = pathlib.Path(__file__).parent / "node"


def _missing(reason: str) -> Any:
    """Skip, or fail where CI requires everything."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def node_export(pytestconfig: pytest.Config) -> Callable[..., list[int]]:
    """Run the exporters of Node.js; their packages are installed once, in pytest's cache.

    Called with the encoding (`json`, `protobuf`), the compression (`none`, `gzip`) and a URL; gives what the SDK made
    of each answer, 0 for success.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        _missing("node and npm are not installed: apt-get install nodejs npm")
    folder = pytestconfig.cache.mkdir("acceptfirst-node")
    wanted, have = (NODE / "package-lock.json").read_text(), folder / "installed-lock.json"
    if not have.is_file() or have.read_text() != wanted:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, folder / name)
        install = [str(npm), "ci", "--no-fund", "--no-audit", "--silent", "--ignore-scripts"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
        if done.returncode == 0:
            have.write_text(wanted)
        else:
            pytest.skip(f"npm could not install the exporters: {done.stderr.strip()[-300:]}")

    def export(encoding: str, compression: str, url: str) -> list[int]:
        command = [str(node), str(NODE / "export.mjs"), encoding, compression, url]
        variables = {**os.environ, "NODE_PACKAGES": str(folder)}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60)
        answers: list[int] = json.loads(done.stdout)
        return answers

    return export


@pytest.fixture(scope="session")
def collector_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running ``acceptfirst serve``; ended by its own process id."""
    data_dir = tmp_path_factory.mktemp("clients") / "data"
    command = [sys.executable, "-m", "acceptfirst_cli", "serve", "--no-jobs", "--port", "0"]
    command += ["--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield _url_of(data_dir / "serve.json", process)
        finally:
            process.send_signal(signal.SIGTERM)


def _url_of(path: pathlib.Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            return str(json.loads(path.read_text())["url"])
        time.sleep(0.05)
    raise AssertionError("serve did not start")


@pytest.fixture
def stored_spans(collector_url: str) -> Callable[[int], None]:
    """Wait until so many spans more than at the test's beginning are stored."""

    def count() -> int:
        body: dict[str, Any] = {"parameters": {}}
        answer = httpx.post(f"{collector_url}/api/v1/statements/store_figures", json=body, timeout=60)
        return int(answer.json()["rows"][0]["rows"])

    before = count()

    def wait(more: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := count() - before) < more and time.monotonic() < deadline:
            time.sleep(0.2)
        assert found == more

    return wait
