"""Settings from a file: below the flags and the environment, above the defaults.

The file is TOML with the flags' names, underscores for dashes. Which settings there are is not written down a second
time: they are the options of `serve` and of the verbs that ask it, and the framework that reads those options reads the
file's values as their defaults.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer

from acceptfirst_cli.errors import CommandError, ExitCode

FILE_NAME: Final = "acceptfirst.toml"
ALERTS_TABLE: Final = "alerts"
"""The one table of the file: what is set otherwise about the alert rules. All else are options."""
FILE_VARIABLE: Final = "ACCEPTFIRST_CONFIG"
TOKEN_VARIABLE: Final = "ACCEPTFIRST_TOKEN"  # noqa: S105 - the variable's name, not a token

_ORIGINS: Final = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": "file", "DEFAULT": "default"}
_PASSWORD: Final = re.compile(r"(://[^:/@\s]*):[^@\s]*@")


@dataclasses.dataclass(frozen=True)
class ConfigurationFile:
    """A file and what it says; no path and nothing where there is none."""

    path: Path | None = None
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting as a command would see it now.

    Attributes:
        name: as the file spells it.
        value: in force; a secret is masked.
        origin: flag, environment, file or default.
        place: the flag, the variable or the file that it came from; empty for a default.
    """

    name: str
    value: Any
    origin: str
    place: str


def find_file(given: Path | None) -> Path | None:
    """The file to read: the one given, else the one that ACCEPTFIRST_CONFIG names, else acceptfirst.toml here."""
    if given is not None:
        return given
    if named := os.environ.get(FILE_VARIABLE, ""):
        return Path(named)
    here = Path(FILE_NAME)
    return here if here.is_file() else None


def read_file(path: Path | None) -> ConfigurationFile:
    """Read a file.

    Raises:
        CommandError: a usage error: it can't be read, or is no TOML.
    """
    if path is None:
        return ConfigurationFile()
    try:
        return ConfigurationFile(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the configuration {path} can't be read: {error}", ExitCode.USAGE) from error
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"expected TOML in the configuration {path}, but: {error}", ExitCode.USAGE) from error


def require_valid(file: ConfigurationFile, command: Any) -> None:
    """Refuse a file with a mistake in it.

    Raises:
        CommandError: a usage error with the first problem.
    """
    if problems := problems_of(file, command):
        more = f" (and {len(problems) - 1} more: acceptfirst config validate)" if problems[1:] else ""
        raise CommandError(f"{file.path}: {problems[0]}{more}", ExitCode.USAGE)


def problems_of(file: ConfigurationFile, command: Any) -> list[str]:
    """What is wrong with a file, one line each.

    Args:
        file: read.
        command: the command whose options are the settings.
    """
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        return _problems(file, command, context)


def _problems(file: ConfigurationFile, command: Any, context: Any) -> list[str]:
    options = {option.name: option for option in settings_of(command)}
    found = []
    for name, value in file.values.items():
        if name == ALERTS_TABLE:
            found += _alert_problems(value)
            continue
        if name not in options:
            close = difflib.get_close_matches(name, [*options, ALERTS_TABLE], 1)
            hint = f"; do you mean {close[0]}?" if close else f"; there are {', '.join([*options, ALERTS_TABLE])}"
            found.append(f"{name}: expected a setting{hint}")
            continue
        try:
            options[name].process_value(context, value)
        except typer.BadParameter as error:
            found.append(f"{name}: {error.message}; got {shown(name, value)!r}")
    return found


def _alert_problems(table: Any) -> list[str]:
    try:
        alert_rules(ConfigurationFile(values={ALERTS_TABLE: table}))
    except ValueError as error:
        return [str(problem) for problem in getattr(error, "problems", (error,))]
    return []


def alert_rules(file: ConfigurationFile) -> tuple[Any, ...]:
    """The alert rules with what a file sets otherwise about them.

    Raises:
        ValueError: something in it can't be used; an ``OverrideError``.
    """
    overrides = importlib.import_module("acceptfirst_analysis.alerts.overrides")  # only where rules are asked for
    rules: tuple[Any, ...] = overrides.overridden_rules(file.values.get(ALERTS_TABLE, {}))
    return rules


def file_of(context: Any) -> ConfigurationFile:
    """The file that the command line was started with; an empty one where there is none."""
    found = context.find_root().obj
    return found if isinstance(found, ConfigurationFile) else ConfigurationFile()


def settings_of(command: Any) -> list[Any]:
    """The options of a command that are settings: those that the environment may give too."""
    return [option for option in command.params if getattr(option, "envvar", None)]


def settings_in_force(command: Any, context: Any, file: ConfigurationFile) -> list[Setting]:
    """Every setting of a command as its context, made from arguments, has it."""
    found = [_setting(option, context, file) for option in settings_of(command)]
    token = os.environ.get(TOKEN_VARIABLE, "")
    origin = "environment" if token else "default"
    alerts = [
        Setting(name, value, "file", str(file.path))
        for name, value in _flat(ALERTS_TABLE, file.values.get(ALERTS_TABLE, {}))
    ]
    return [*found, Setting("token", shown("token", token), origin, TOKEN_VARIABLE if token else ""), *alerts]


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    """A table's values, each with its whole name."""
    if not isinstance(value, Mapping):
        return [(name, value)]
    return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]


def reread_settings(context: Any) -> dict[str, Any]:
    """The values of a running command's options, with what its file says now; flags and environment still hold.

    Args:
        context: of the command, as it was started.

    Raises:
        CommandError: a usage error: the file can't be read, or has a mistake.
    """
    file = read_file(file_of(context).path)
    require_valid(file, context.command)
    values = dict(context.params)
    for option in settings_of(context.command):
        if _ORIGINS.get(getattr(context.get_parameter_source(option.name), "name", "")) in {"file", "default"}:
            given = file.values.get(option.name, option.default)
            values[option.name] = option.process_value(context, given) if given is not None else None
    return values


def shown(name: str, value: Any) -> Any:
    """A value as it may be shown: a token not at all, an address without its password, a path as text."""
    if name == "token":
        return "********" if value else ""
    if isinstance(value, Path):
        return str(value)
    return _PASSWORD.sub(r"\1:********@", value) if isinstance(value, str) else value


def _setting(option: Any, context: Any, file: ConfigurationFile) -> Setting:
    source = context.get_parameter_source(option.name)
    origin = _ORIGINS.get(getattr(source, "name", ""), "default")
    variable = option.envvar if isinstance(option.envvar, str) else option.envvar[0]
    places = {"flag": option.opts[0], "environment": variable, "file": str(file.path)}
    return Setting(option.name, shown(option.name, context.params[option.name]), origin, places.get(origin, ""))
