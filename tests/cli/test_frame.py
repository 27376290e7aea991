"""The command line's frame: one line and the right code, however a command ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
import typer.main

import acceptfirst
from acceptfirst_cli import application, entry
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_store.errors import StoreUnreachable


def ending_of(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code when a verb ends by this exception."""

    def run() -> None:
        raise error

    monkeypatch.setattr(application, "_command", lambda name, *_: typer.main.get_command(_alone(run, name)))
    return entry.main(["classify"])


def _alone(run: Callable[[], None], name: str) -> typer.Typer:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(run)
    return alone


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CommandError("not this", ExitCode.FINDINGS), 3, "acceptfirst: not this\n"),
        (StoreUnreachable("no store"), 5, "acceptfirst: no store\n"),
        (KeyboardInterrupt(), 130, "acceptfirst: interrupted\n"),
        (
            ModuleNotFoundError("x", name="pandas"),
            1,
            "acceptfirst: the command line needs pandas: pip install 'acceptfirst[all]'\n",
        ),
    ],
    ids=["command", "store", "interrupt", "extra"],
)
def test_command_ends_with_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    """No traceback, one line on stderr, nothing on stdout."""
    assert ending_of(monkeypatch, error) == code
    assert capsys.readouterr() == ("", line)


def test_version_is_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    """One distribution, one version."""
    assert entry.main(["--version"]) == 0
    assert capsys.readouterr().out == f"acceptfirst {acceptfirst.__version__}\n"


@pytest.mark.parametrize("verb", list(application.VERBS))
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` of each verb says what it does and names its options."""
    assert entry.main([verb, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


def test_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the name that came."""
    assert entry.main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_reader_that_has_had_enough_is_no_failure() -> None:
    """``acceptfirst patterns list | head -1`` ends quietly."""
    command = f"{sys.executable} -m acceptfirst_cli patterns list | head -1"
    ended = subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.stdout.startswith("#")
