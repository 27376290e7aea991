"""``acceptfirst config``: which settings are in force and where each came from; whether a file is right."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from acceptfirst_cli import application
from acceptfirst_cli.asking.source import JsonOption
from acceptfirst_cli.configuration import (
    ConfigurationFile,
    file_of,
    find_file,
    problems_of,
    read_file,
    require_valid,
    settings_in_force,
)
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table, say

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

SCHEMA_VERSION: Final = 1
FORWARDED: Final = {"ignore_unknown_options": True, "allow_extra_args": True}


@app.command("show", context_settings=FORWARDED)
def run_show(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """Show what serve would be told, and where each setting came from: flag, environment, file or default.

    Takes the flags of serve, to see what they would change. Secrets are masked.
    """
    file = _file_of(context)
    command = _serve()
    require_valid(file, command)
    with command.make_context("serve", list(context.args), default_map=dict(file.values)) as asked:
        settings = settings_in_force(command, asked, file)
    if as_json:
        document = {setting.name: dataclasses.asdict(setting) for setting in settings}
        for entry in document.values():
            entry.pop("name")
        print_json(
            {"schema_version": SCHEMA_VERSION, "file": str(file.path) if file.path else None, "settings": document}
        )
        return
    rows = [(each.name, _text(each.value), each.origin, each.place) for each in settings]
    print_table(("setting", "value", "from", ""), rows)


@app.command("validate")
def run_validate(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The file; the one that would be read if left out.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration file: its form, the names in it and their values. Ends with 2 when something is wrong."""
    read = read_file(find_file(file)) if file is not None else _file_of(context)
    if read.path is None:
        raise CommandError(
            "expected a configuration file, but there is none here; name one, or set ACCEPTFIRST_CONFIG", ExitCode.USAGE
        )
    command = _serve()
    problems = problems_of(read, command)
    if as_json:
        print_json(
            {"schema_version": SCHEMA_VERSION, "file": str(read.path), "valid": not problems, "problems": problems}
        )
    else:
        print_table(("problem",), [(problem,) for problem in problems])
        say(f"{read.path}: {len(problems)} problems" if problems else f"{read.path} is valid")
    if problems:
        raise typer.Exit(ExitCode.USAGE)


def _serve() -> Any:
    return application.command_of("serve")


def _file_of(context: typer.Context) -> ConfigurationFile:
    return file_of(context)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
