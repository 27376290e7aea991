"""The session that runs the documentation notices what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from documented.blocks import Block, blocks_of
from documented.session import NotAsDocumentedError, Session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session without a collector."""
    opened = Session(tmp_path, {4318: 5555}, {})
    yield opened
    opened.close()


def console(text: str) -> Block:
    """A block of commands with their outputs."""
    return Block(1, "console", text, "")


@pytest.mark.parametrize(
    "text",
    ["$ false\n", "$ echo hello\ngoodbye\n", "$ acceptfirst no-such-verb\n", "$ printf 'b\\na\\n'\na\nb\n"],
    ids=["failure", "other output", "no such verb", "other order"],
)
def test_session_refuses_what_is_not_as_printed(session: Session, text: str) -> None:
    """A command that fails, or that prints something else."""
    with pytest.raises(NotAsDocumentedError):
        session.run(console(text))


@pytest.mark.parametrize(
    "text",
    [
        "$ echo took 12.5 ms\ntook 13 ms\n",
        "$ printf 'a\\nb\\nc\\n'\na\n…\nc\n",
        "$ export NAME=kept\n$ echo $NAME\nkept\n",
    ],
    ids=["other numbers", "something left out", "a variable"],
)
def test_session_takes_what_differs_from_run_to_run(session: Session, text: str) -> None:
    """Numbers, what the page leaves out, and what an earlier command has set."""
    session.run(console(text))


def test_session_puts_its_own_port_for_the_pages(session: Session) -> None:
    """Two pages must not meet on one port."""
    assert session.adapted("http://127.0.0.1:4318/") == "http://127.0.0.1:5555/"


def test_snippet_that_fails_is_refused(session: Session) -> None:
    """With what it takes for granted before it."""
    session.python("print(given)", "given = 1")
    with pytest.raises(NotAsDocumentedError, match="NameError"):
        session.python("print(given)", "")


def test_block_knows_its_file_and_why_it_is_not_run(tmp_path: Path) -> None:
    """Both stand in the paragraph before it, where readers see them."""
    page = tmp_path / "page.md"
    page.write_text("See `app.py`:\n\n```python\n1\n```\n\n*Not run here: docker.*\n\n```sh\ndocker ps\n```\n")
    named, marked = blocks_of(page)
    assert (named.file_name, named.reason) == ("app.py", "")
    assert (marked.file_name, marked.reason) == ("", "docker.")
