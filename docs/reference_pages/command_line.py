"""The verbs with their flags, and the settings: flag, variable, key of the file and default of each."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any, Final

from acceptfirst_cli.application import VERBS, build, command_of
from acceptfirst_cli.configuration import settings_of
from reference_pages.markdown import page, table, words

KINDS: Final[dict[Any, str]] = {str: "text", int: "whole number", float: "number", Path: "path"}


def command_line_page() -> str:
    """Every verb: what it does, its arguments and its options."""
    sections = [
        "# Command line",
        (
            "Every verb as `--help` tells it. What is printed where, and the exit codes, are the same for all: "
            "see [commands.md](../commands.md). Options that are settings can stand in a file or a variable too: "
            "see [settings.md](settings.md)."
        ),
    ]
    for verb in VERBS:
        sections += _command(f"acceptfirst {verb}", command_of(verb), 2)
    return page("the command line's own help", *sections)


def _command(path: str, command: Any, level: int) -> list[str]:
    sections = [f"{'#' * level} `{path}`", *_paragraphs(command.help or "")]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    if arguments:
        rows = [(f"`{p.name.upper()}`", words(getattr(p, "help", "") or "")) for p in arguments]
        sections.append(table(("argument", ""), rows))
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    if options:
        sections.append(table(("option", "value", "default", ""), [_option(p) for p in options]))
    for name, inner in getattr(command, "commands", {}).items():
        sections += _command(f"{path} {name}", inner, level + 1)
    return sections


def _paragraphs(text: str) -> list[str]:
    return [words(paragraph) for paragraph in text.split("\n\n") if paragraph.strip()]


def _option(option: Any) -> tuple[str, str, str, str]:
    return _flags(option), _kind(option), _default(option), words(option.help or "")


def _flags(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _kind(option: Any) -> str:
    """What a value looks like: its type or its choices, and its bounds."""
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{choice.value}`" for choice in annotation)
    bounds = [f"{word} {bound:g}" for word, bound in (("from", option.min), ("to", option.max)) if bound is not None]
    return " ".join([KINDS.get(annotation, "text"), *bounds])


def _default(option: Any) -> str:
    value = option.default
    if callable(value) or value in (None, "", (), [], False):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def settings_page() -> str:
    """What `serve` can be told, and the variables that any verb reads."""
    serve = settings_of(command_of("serve"))
    body = [
        (f"`{p.name}`", _flags(p), _variable(p), _kind(p) or "true or false", _default(p), words(p.help or ""))
        for p in serve
    ]
    others = _variables_of_other_verbs({_variable(p) for p in serve})
    return page(
        "the options of `serve` and of the other verbs",
        "# Settings",
        "A setting comes from a flag, else from a variable, else from a file, else it has its default; "
        "`acceptfirst config show` says what is in force and where it came from. The file is TOML with the keys below: "
        "see [commands.md](../commands.md#acceptfirst-config). The library, in your backend, has variables of its own: "
        "see [opentelemetry.md](../opentelemetry.md#without-a-line-of-code) and [policy.md](../policy.md).",
        "## Of `serve`",
        table(("key in the file", "flag", "variable", "value", "default", ""), body),
        "## Of the other verbs",
        "Some of `serve`'s hold for them too, as their [help](command-line.md) says; these are theirs alone.",
        table(("variable", "flag", "of", ""), others),
        "## Variables without a flag",
        table(("variable", ""), VARIABLES),
    )


VARIABLES: Final = (
    (
        "`ACCEPTFIRST_TOKEN`",
        "The token: what `serve` asks for, and what the commands and a backend's policy source show.",
    ),
    ("`ACCEPTFIRST_FORWARD_HEADERS`", "Headers for `--forward-otlp`: `name=value`, with commas between."),
    (
        "`ACCEPTFIRST_CLUSTER`",
        "Name of the ClickHouse cluster over which tables are spread: see [store.md](../store.md).",
    ),
)


def _variable(option: Any) -> str:
    given = option.envvar
    return f"`{given if isinstance(given, str) else given[0]}`"


def _variables_of_other_verbs(known: set[str]) -> list[tuple[str, str, str, str]]:
    found: dict[str, tuple[str, list[str], str]] = {}
    for path, option in _options("acceptfirst", build()):
        if getattr(option, "envvar", None) and _variable(option) not in known:
            flag, verbs, text = found.setdefault(_variable(option), (option.opts[0], [], words(option.help or "")))
            verbs.append(f"`{path}`")
            found[_variable(option)] = (flag, verbs, text)
    return [(name, f"`{flag}`", ", ".join(verbs), text) for name, (flag, verbs, text) in sorted(found.items())]


def _options(path: str, command: Any) -> list[tuple[str, Any]]:
    own = [(path, p) for p in command.params if p.param_type_name == "option"]
    if path == "acceptfirst":
        return own + [entry for verb in VERBS for entry in _options(verb, command_of(verb))]
    inner = getattr(command, "commands", {})
    return own + [entry for name, one in inner.items() for entry in _options(f"{path} {name}", one)]
