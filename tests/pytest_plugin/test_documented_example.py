"""The page about diagnosis prints what the plugin prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")


def block(after: str, language: str) -> str:
    """The first block of code in this language after a piece of text."""
    found = re.search(rf"{re.escape(after)}.*?```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def settled(text: str, folder: Path) -> list[str]:
    """Lines without what differs from run to run: ids, times, folders, and pytest's own rulers."""
    text = re.sub(r"[0-9a-f]{32}", "<id>", text.replace(f"{folder}/", ""))
    text = re.sub(r"[ +]*\d+\.\d+(?= |$)", " <ms>", text, flags=re.MULTILINE)
    return [re.sub(r"^[_=]+ | [_=]+$", "", line) for line in text.splitlines() if line.strip()]


@pytest.fixture
def printed(pytester: pytest.Pytester) -> list[str]:
    """What a real run of the page's test on the page's application prints."""
    pytester.makepyfile(chat=block("(`chat.py`)", "python"), test_chat=block("(`test_chat.py`)", "python"))
    options = ("-p", "no:ddtrace", "-p", "no:logging", "--acceptfirst-fail-on=warning")
    return settled(pytester.runpytest_subprocess(*options).stdout.str(), pytester.path)


def test_printed_example_is_what_the_plugin_prints(printed: list[str], pytester: pytest.Pytester) -> None:
    """Line by line, in this order."""
    lines = iter(printed)
    expected = settled(block("<!-- output of the plugin -->", "text"), pytester.path)
    assert [line for line in expected if line not in lines] == []


def test_documented_line_of_the_log_is_what_is_written(pytester: pytest.Pytester) -> None:
    """The same test with the log shown."""
    pytester.makepyfile(chat=block("(`chat.py`)", "python"), test_chat=block("(`test_chat.py`)", "python"))
    output = pytester.runpytest_subprocess("-p", "no:ddtrace", "-o", "log_cli=true").stdout.str()

    (expected,) = settled(block("## The log", "text"), pytester.path)
    assert expected in " ".join(settled(output, pytester.path))
