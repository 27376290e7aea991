"""The demo's folder is its own, and what it tells can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acceptfirst_cli.demo import story
from acceptfirst_cli.demo.folder import DemoFolder
from acceptfirst_cli.errors import CommandError, ExitCode

LOG = """INFO: something
Traceback (most recent call last):
  File "app.py", line 1, in chat
RuntimeError: Need to call "accept" first.
AcceptFirst: receive_after_local_close (warning): Received after
  what happened:  closed at app.py:7
  connection:     01a2
INFO: something else
"""


def test_folder_refuses_what_no_demo_made(tmp_path: Path) -> None:
    """Somebody's own files are not deleted for a demo."""
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(CommandError) as caught:
        DemoFolder(tmp_path).begin()

    assert caught.value.exit_code is ExitCode.USAGE
    assert (tmp_path / "thesis.txt").exists()


def test_folder_begins_afresh_after_an_earlier_demo(tmp_path: Path) -> None:
    """Old figures can't be taken for new ones."""
    folder = DemoFolder(tmp_path / "demo")
    folder.begin()
    folder.summary.write_text("{}")
    (folder.chat / "before.log").write_text("old")
    folder.begin()

    assert not folder.summary.exists()
    assert list(folder.chat.iterdir()) == []


def test_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")

    with pytest.raises(CommandError, match="can't write"):
        DemoFolder(tmp_path / "file" / "demo").begin()


def test_note_is_taken_with_the_exception_above_it() -> None:
    """Up to the line that only a machine needs."""
    assert story.note_in(LOG, "receive_after_local_close").splitlines() == LOG.splitlines()[3:6]


@pytest.mark.parametrize("log", ["", "INFO: nothing", LOG.replace("receive_after_local_close", "double_close")])
def test_note_is_empty_where_there_is_none(log: str) -> None:
    """Other patterns' notes are not it."""
    assert story.note_in(log, "receive_after_local_close") == ""


@pytest.fixture
def told(run_figures: Any, outcome_of: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Tells the story of an outcome; gives what was printed."""

    def tell(**after: Any) -> str:
        folder = DemoFolder(tmp_path / "demo")
        folder.begin()
        (folder.chat / "before.log").write_text(LOG)
        (folder.chat / "after.policy.toml").write_text("schema_version = 1\n")
        story.tell(outcome_of(run_figures(races=3, waits_ms=(30.0, 40.0)), run_figures(**after)), folder)
        return capsys.readouterr().out

    return tell


def test_story_ends_with_where_to_look(told: Any) -> None:
    """The report, the figures, and the next command."""
    end = told().split("patterns, 30 s.")[1]

    assert all(word in end for word in ("report.html", "summary.json", "acceptfirst verify --store chdb://"))


def test_story_shows_the_note(told: Any) -> None:
    """The product's first impression."""
    assert "what happened:  closed at app.py:7" in told()


def test_story_says_what_does_not_hold(told: Any) -> None:
    """By the name of the figure."""
    assert "does not hold: transitions_stored is 399, expected 400" in told(transitions=199)
