"""``acceptfirst db``: migrate the store, see what it takes, erase from it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from acceptfirst_cli.asking.source import JsonOption, Source, StoreOption, TokenOption, UrlOption, source_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table, say
from acceptfirst_store.errors import RequestInvalid

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command("migrate")
def run_migrate(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    dry_run: DryRunOption = False,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Take up spans that were in otel_traces before our views were.")
    ] = False,
    retention: Annotated[
        str,
        typer.Option(
            envvar="ACCEPTFIRST_RETENTION",
            help="How long to keep data: 30d, or spans=14d,handshakes=90d,rollup=400d, or forever.",
        ),
    ] = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the tables up to date; an interrupted run is finished by the next one."""
    asked = {"dry_run": dry_run, "with_backfill": backfill, "retention": retention}
    document = _asked(source_of(store, url, token_file), "migrate", asked)
    if as_json:
        print_json(document)
        return
    steps = document["pending" if dry_run else "applied"]
    print_table(("migration", "why"), [(step["id"], step["why"]) for step in steps])
    if document["backfill"]:
        taken = "would be taken up" if dry_run else "were taken up"
        typer.echo(f"{document['backfill']['spans']} spans of {document['backfill']['days']} days {taken}", err=True)
    say("nothing to be applied" if not steps else f"{len(steps)} {'to be applied' if dry_run else 'applied'}")


@app.command("stats")
def run_stats(
    *, store: StoreOption = "", url: UrlOption = "", token_file: TokenOption = None, as_json: JsonOption = False
) -> None:
    """Show what each table takes on the disk, from when to when its data are, and when they are dropped."""
    document = _asked(source_of(store, url, token_file), "stats")
    if as_json:
        print_json(document)
        return
    columns = ("table", "rows", "bytes", "bytes a row", "parts", "oldest", "newest", "dropped")
    print_table(columns, [_stats_row(table) for table in document["tables"]])


@app.command("prune")
def run_prune(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    connection: Annotated[str, typer.Option(help="Erase this connection: its id, 32 hex digits.")] = "",
    user: Annotated[str, typer.Option(help="Erase every connection of this user: the hash, as it is stored.")] = "",
    older_than: Annotated[str, typer.Option(help="Drop whole days older than this, such as 90d.")] = "",
    dry_run: DryRunOption = False,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a connection or a user from every table, or drop what is old; the rollup is computed anew, or kept."""
    if sum(map(bool, (connection, user, older_than))) != 1:
        raise CommandError("expected one of --connection, --user and --older-than", ExitCode.USAGE)
    asked = {"connection": connection, "user": user, "older_than": older_than, "dry_run": dry_run}
    document = _asked(source_of(store, url, token_file), "prune", asked)
    if as_json:
        print_json(document)
        return
    print_table(("table", "rows found" if dry_run else "rows deleted"), list(document["rows"].items()))


def _asked(source: Source, what: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document, made by the collector that holds the store, or here."""
    if source.url:
        return source.care(what, asked)
    care = importlib.import_module("acceptfirst_store.care")
    # What is to be migrated must not be migrated by the opening; the others need the tables.
    with source.open_store(migrated=what != "migrate", made=what == "migrate") as database:
        try:
            document: dict[str, Any] = getattr(care, f"{what}_document")(database, **(asked or {}))
        except RequestInvalid as error:
            raise CommandError(str(error), ExitCode.USAGE) from error
    return document


def _stats_row(table: Mapping[str, Any]) -> tuple[Any, ...]:
    each = table["bytes_per_row"]
    days = [table[key][:10] if table[key] else "" for key in ("oldest", "newest")]
    return (
        table["name"],
        table["rows"],
        table["bytes_on_disk"],
        "" if each is None else f"{each:.1f}",
        table["parts"],
        *days,
        table["ttl"] or "never",
    )
