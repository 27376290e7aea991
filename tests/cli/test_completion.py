"""Shell completion: it can be had, and it knows the verbs that are only imported when they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_shown_for_each_shell(acceptfirst: Callable[..., Any], shell: str) -> None:
    """To be put wherever somebody keeps such."""
    shown = acceptfirst("--show-completion", shell)
    assert (shown.code, "_ACCEPTFIRST_COMPLETE" in shown.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("acceptfirst re", ["recommend", "report"]),
        ("acceptfirst alerts t", ["test-send"]),
        ("acceptfirst recommend --form", ["--format"]),
        ("acceptfirst recommend --format t", ["table", "toml"]),
    ],
)
def test_word_is_completed(
    acceptfirst: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, words: str, completed: list[str]
) -> None:
    """Verbs, the commands of a group, options, and what they take."""
    monkeypatch.setenv("_ACCEPTFIRST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert acceptfirst().out.split() == completed
