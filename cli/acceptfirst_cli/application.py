"""The verbs, as one table; a verb's module is imported when it is called, so ``--help`` pays for none of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import typer.core
import typer.main

import acceptfirst
from acceptfirst_cli.configuration import (
    ALERTS_TABLE,
    FILE_VARIABLE,
    ConfigurationFile,
    find_file,
    read_file,
    require_valid,
)
from acceptfirst_cli.errors import CommandError, ExitCode

VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("acceptfirst_cli.verbs.demo:run", "Run the incident, find its causes, tune them away, show the proof."),
    "serve": ("acceptfirst_cli.verbs.serve:run", "Collect spans over OTLP, store them, answer questions about them."),
    "doctor": ("acceptfirst_cli.verbs.doctor:run", "Examine what serve needs; say how to mend what is wrong."),
    "status": ("acceptfirst_cli.verbs.status:run", "Show how a running serve is."),
    "tail": ("acceptfirst_cli.verbs.tail:run", "Show handshakes as they happen."),
    "worker": ("acceptfirst_cli.verbs.worker:run", "Run the jobs beside a ClickHouse server."),
    "classify": ("acceptfirst_cli.verbs.classify:run", "Name the races in what is stored."),
    "recommend": ("acceptfirst_cli.verbs.recommend:run", "Say per environment, service and route what to change."),
    "verify": ("acceptfirst_cli.verbs.verify:run", "Say whether the last change worked."),
    "report": ("acceptfirst_cli.verbs.report:run", "Write the tuning report."),
    "patterns": ("acceptfirst_cli.verbs.patterns:app", "Look up the races that AcceptFirst knows."),
    "alerts": ("acceptfirst_cli.verbs.alerts:app", "List alerts, check a range in a pipeline, try the receivers."),
    "dashboards": ("acceptfirst_cli.verbs.dashboards:app", "Write Grafana's boards and alert rules, and check them."),
    "db": ("acceptfirst_cli.verbs.db:app", "Migrate the store, see what it takes, erase from it."),
    "simulate": ("acceptfirst_cli.verbs.simulate:run", "Make labelled handshakes, to try analyses and policies on."),
    "config": ("acceptfirst_cli.verbs.config:app", "Show settings and where each came from; check a file."),
    "policy": ("acceptfirst_cli.verbs.policy:app", "Show policies, propose, promote and roll back."),
}
"""Verb: where it lives (a function, or a group of them), and its line in the overview."""


class LazyVerbs(typer.core.TyperGroup):
    """A group whose commands are named in ``VERBS`` and imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The verbs in the order of the table, which is the order in which a newcomer meets them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any | None:
        """The command of a verb, imported now."""
        del ctx
        return command_of(cmd_name) if cmd_name in VERBS else None

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; an interruption keeps its own exit code, which the framework would make a plain failure."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise CommandError("interrupted", ExitCode.INTERRUPTED) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The overview, from the table alone."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


def command_of(verb: str) -> Any:
    """The command of a verb in ``VERBS``, imported now."""
    location, summary = VERBS[verb]
    module_name, attribute = location.split(":")
    return _command(verb, getattr(importlib.import_module(module_name), attribute), summary)


def _command(name: str, target: Any, summary: str) -> Any:
    if isinstance(target, typer.Typer):
        group = typer.main.get_command(target)
        group.name = name
        group.help = group.help or summary
        return group
    application = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    application.command(name, help=target.__doc__ or summary)(target)
    command = typer.main.get_command(application)
    command.name = name
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"acceptfirst {acceptfirst.__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="A file with settings; acceptfirst.toml here if left out.", envvar=FILE_VARIABLE)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Shows which WebSocket handshakes race, why, and tunes the race away, with proof."""
    del version
    if not context.resilient_parsing:
        context.obj = read_file(find_file(config))
        context.default_map = _defaults(context.invoked_subcommand or "", context.obj)


def _defaults(verb: str, file: ConfigurationFile) -> dict[str, Any]:
    """What a file says, where the framework looks for it: under the verb, and under the commands of a group."""
    if not file.values or verb not in VERBS:
        return {}
    if verb != "config":  # which shows what is wrong, so it must not stumble over it
        require_valid(file, command_of("serve"))
    values = {name: value for name, value in file.values.items() if name != ALERTS_TABLE}
    return {verb: {**values, **dict.fromkeys(getattr(command_of(verb), "commands", {}), values)}}


def build() -> Any:
    """The whole command line: call it with a list of arguments."""
    application = typer.Typer(
        name="acceptfirst",
        cls=LazyVerbs,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    application.callback()(_root)
    return typer.main.get_command(application)
