"""``acceptfirst dashboards``: Grafana's files, as this version makes them, and whether what is there still fits."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from acceptfirst_analysis.dashboards.files import differing_files, grafana_files, write_files
from acceptfirst_analysis.dashboards.panels import BOARDS, Panel
from acceptfirst_cli.asking.source import JsonOption, StoreOption, TokenOption, UrlOption, source_of
from acceptfirst_cli.configuration import alert_rules, file_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table
from acceptfirst_store.database import StatementRunner
from acceptfirst_store.errors import StoreError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

SCHEMA_VERSION: Final = 1

RunbookOption = Annotated[str, typer.Option(help="Where people find the runbooks; stands in every alert rule.")]


@app.command("export")
def run_export(
    context: typer.Context,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("dashboards"),
    runbook_base: RunbookOption = "docs/runbooks",
    as_json: JsonOption = False,
) -> None:
    """Write the boards, the alert rules and the provisioning files that Grafana reads."""
    try:
        names = write_files(output, runbook_base, _rules(context))
    except OSError as error:
        raise CommandError(f"{output} can't be written: {error.strerror}") from error
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "files": names})
    else:
        print_table(("file",), [(str(output / name),) for name in names])


@app.command("check")
def run_check(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="Where the files were written to.")] = None,
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    runbook_base: RunbookOption = "docs/runbooks",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which files in a folder are not those of this version, and whether a store answers every panel.

    Give a folder, a store, or both. Ends with 3 when something is wrong.
    """
    if folder is None and not store and not url:
        raise CommandError("expected a folder with Grafana's files, --store or --url, but got none", ExitCode.USAGE)
    if folder is not None and not folder.is_dir():
        raise CommandError(
            f"expected a folder with Grafana's files, but {folder} is none; "
            f"make it with acceptfirst dashboards export --output {shlex.quote(str(folder))}",
            ExitCode.USAGE,
        )
    differing = [] if folder is None else differing_files(folder, runbook_base, _rules(context))
    answers: list[dict[str, Any]] = []
    if store or url:
        with source_of(store, url, token_file).reader() as reader:
            answers = panel_answers(reader, datetime.now(UTC))
    failed = [answer for answer in answers if answer["error"]]
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "differing_files": differing, "panels": answers})
    else:
        _print(differing, answers, len(grafana_files()) if folder else 0)
    if differing or failed:
        raise CommandError(f"{len(differing)} files differ, {len(failed)} panels fail", ExitCode.FINDINGS)


def _rules(context: typer.Context) -> tuple[Any, ...]:
    """The alert rules as acceptfirst.toml has them, which was checked when the command line was read."""
    return alert_rules(file_of(context))


def panel_answers(reader: StatementRunner, now: datetime) -> list[dict[str, Any]]:
    """What each panel's statement makes of the latest day: rows, milliseconds, and an error where there is one."""
    anything = {name: [""] for name in ("environments", "services", "routes", "patterns")}
    parameters: dict[str, Any] = {
        **anything,
        "since": _text(now - timedelta(days=1)),
        "until": _text(now),
        "step_s": 300,
        "older_than_s": 30,
        "trace_id": "",
    }
    return [_answer(reader, panel, parameters) for board in BOARDS for panel in board.panels]


def _answer(reader: StatementRunner, panel: Panel, parameters: Mapping[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    rows, error = 0, None
    try:
        rows = len(reader.statement_rows(panel.query, {**parameters, **panel.constants}))
    except StoreError as failure:
        error = str(failure)
    took_ms = round((time.perf_counter() - began) * 1000, 1)
    return {"panel": panel.number, "title": panel.title, "rows": rows, "ms": took_ms, "error": error}


def _print(differing: Sequence[str], answers: Sequence[Mapping[str, Any]], files: int) -> None:
    if files:
        print_table(("file", "state"), [(name, "differs") for name in differing] or [(f"all {files}", "as made")])
    if answers:
        columns = ("panel", "title", "rows", "ms", "error")
        print_table(columns, [tuple(answer[name] for name in columns) for answer in answers])


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S.%f}"
