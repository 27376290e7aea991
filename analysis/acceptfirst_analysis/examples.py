"""Code that has a race beside code that has it no more; a test runs both, see ``pattern_examples.toml``."""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class CodeFix:
    """Two pieces of Python, and what else to know."""

    wrong: str
    right: str
    remarks: tuple[str, ...]


@cache
def code_fixes() -> dict[str, CodeFix]:
    """By the name of the pattern; a pattern that only many connections show has no code."""
    text = importlib.resources.files("acceptfirst_analysis").joinpath("pattern_examples.toml").read_text("utf-8")
    return {
        name: CodeFix(example["wrong"].strip("\n"), example["right"].strip("\n"), tuple(example.get("remarks", ())))
        for name, example in tomllib.loads(text).items()
        if isinstance(example, dict) and "wrong" in example
    }
