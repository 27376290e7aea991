"""The verbs, as one table; a verb's module is imported when it is called, so ``--help`` pays for none of them."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, Final

import typer
import typer.core
import typer.main

import acceptfirst
from acceptfirst_cli.errors import CommandError, ExitCode

VERBS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("acceptfirst_cli.verbs.demo:run", "Run the incident, find its causes, tune them away, show the proof."),
    "serve": ("acceptfirst_cli.verbs.serve:run", "Collect spans over OTLP, store them, answer questions about them."),
    "classify": ("acceptfirst_cli.verbs.classify:run", "Name the races in what is stored."),
    "recommend": ("acceptfirst_cli.verbs.recommend:run", "Say per environment, service and route what to change."),
    "verify": ("acceptfirst_cli.verbs.verify:run", "Say whether the last change worked."),
    "report": ("acceptfirst_cli.verbs.report:run", "Write the tuning report."),
    "patterns": ("acceptfirst_cli.verbs.patterns:app", "Look up the races that AcceptFirst knows."),
    "alerts": ("acceptfirst_cli.verbs.alerts:app", "List alerts, check a range in a pipeline, try the receivers."),
    "dashboards": ("acceptfirst_cli.verbs.dashboards:app", "Write Grafana's boards and alert rules, and check them."),
    "db": ("acceptfirst_cli.verbs.db:app", "Migrate the store, see what it takes, erase from it."),
    "simulate": ("acceptfirst_cli.verbs.simulate:run", "Make labelled handshakes, to try analyses and policies on."),
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
        if cmd_name not in VERBS:
            return None
        location, summary = VERBS[cmd_name]
        module_name, attribute = location.split(":")
        return _command(cmd_name, getattr(importlib.import_module(module_name), attribute), summary)

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
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Shows which WebSocket handshakes race, why, and tunes the race away, with proof."""
    del version


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
