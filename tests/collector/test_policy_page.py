"""The page about policies says what files, commands and a real collector do: every block of it is run."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from acceptfirst.policy import Policy, load_policy_file
from acceptfirst.policy.feed import Feed
from acceptfirst.policy.source import FileSource

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:4318"


def blocks(language: str, heading: str) -> list[str]:
    """The blocks of one language below a heading of the second level."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


TOML = {
    "policy.toml": blocks("toml", "A file")[0],
    "canary.toml": blocks("toml", "A canary")[0],
    "proposal.toml": blocks("toml", "A collector")[0],
    "too-far.toml": blocks("toml", "Guardrails")[0],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, which is the current one."""
    for name, text in TOML.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_as_printed(block: str, url: str) -> tuple[list[str], list[str]]:
    """What the commands of a block print, and what the page says that they print."""
    printed: list[str] = []
    expected: list[str] = []
    environment = {**os.environ, "ACCEPTFIRST_URL": url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in block.splitlines():
        expected.append(line)
        if line.startswith("$ "):
            command = line.removeprefix("$ ").replace(ADDRESS, url)
            done = subprocess.run(  # our own documentation, run to see that it is true
                ["/bin/bash", "-c", command],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            printed += [line, *done.stdout.replace(url, ADDRESS).splitlines()]
    return printed, expected


def policy_of(name: str, folder: Path) -> Policy:
    """Of production, in a file of the page."""
    return load_policy_file(folder / name, "production")


def test_command_shows_the_pages_file_as_the_page_says(folder: Path) -> None:
    """Its environment and its route."""
    (block,) = blocks("console", "A file")
    printed, expected = run_as_printed(block, "http://127.0.0.1:9")
    assert printed == expected
    assert folder.joinpath("policy.toml").exists()


@pytest.mark.parametrize("heading", ["A file", "A collector"])
def test_python_of_the_page_instruments(folder: Path, heading: str) -> None:
    """Both ways to name a source."""
    namespace: dict[str, Any] = {}
    (code,) = blocks("python", heading)
    exec(compile(textwrap.dedent(code), "policy.md", "exec"), namespace)  # noqa: S102 - as above
    middleware = namespace["app"].user_middleware[0]
    assert "policy" in middleware.kwargs
    assert folder.joinpath("policy.toml").exists()


def test_route_of_the_page_has_a_policy_of_its_own(folder: Path) -> None:
    """What it leaves out is the environment's."""
    route = policy_of("policy.toml", folder).for_route("/chat/{room}")
    assert (route.gate, route.delay_ladder_ms, route.version) == ("hold", (25, 50, 75), "2026-11-25.1")


def test_canary_of_the_page_holds_for_its_share(folder: Path) -> None:
    """With what it leaves out from the environment."""
    canary = policy_of("canary.toml", folder).canary
    assert canary is not None
    assert (canary.share, canary.policy.version, canary.policy.arm) == (0.1, "2026-11-25.2", "canary")
    assert canary.policy.readiness_mode == "blind"


def test_log_says_of_a_broken_file_what_the_page_says(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same two lines, once each."""
    feed = Feed(FileSource("policy.toml", "production"), "production", 30.0)
    feed.read()
    with caplog.at_level(logging.WARNING, "acceptfirst"):
        for text in (TOML["policy.toml"].split("50, 75]")[0], TOML["policy.toml"] + "\n"):
            (folder / "policy.toml").write_text(text)
            for _ in range(3):
                feed.read()

    (block,) = blocks("text", "A file")
    assert [record.getMessage() for record in caplog.records] == block.splitlines()


def test_settings_of_the_page_are_those_of_a_policy() -> None:
    """All of them, with their limits."""
    rows = re.findall(r"^\| `([a-z_]+)` \|([^|]*)\|([^|]*)\|", PAGE, re.MULTILINE)
    limits = {name: (low.strip(), high.strip()) for name, low, high in rows}
    assert limits.keys() == set(Policy.__dataclass_fields__) - {"environment", "routes", "canary", "arm"}
    for name, (low, high) in limits.items():
        for limit, beyond in ((low, -1), (high, 1)):
            if limit:
                value = float(limit) + beyond
                given: Any = (value,) if name == "delay_ladder_ms" else value
                with pytest.raises(ValueError, match=f"{name} to be a number from {float(low):g} to {float(high):g}"):
                    Policy(environment="production", **{name: given})


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands use curl")
def test_change_at_a_real_collector_goes_as_the_page_says(folder: Path, start_serve: Any) -> None:
    """Proposed, tried, promoted, taken back; asked with an ETag; refused where it goes down too far."""
    url = start_serve().url
    for block in [*blocks("console", "A collector"), *blocks("console", "Guardrails")]:
        printed, expected = run_as_printed(block, url)
        assert printed == expected
    assert folder.joinpath("proposal.toml").exists()
