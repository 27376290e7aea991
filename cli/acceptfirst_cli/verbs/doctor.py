"""``acceptfirst doctor``: examine what `serve` needs, and say what to do about what is not well."""

from __future__ import annotations

import pathlib
from typing import Annotated, Final

import typer

from acceptfirst_cli.asking.source import JsonOption, StoreOption
from acceptfirst_cli.doctor.finding import Finding, State
from acceptfirst_cli.doctor.machine import examine_machine
from acceptfirst_cli.doctor.network import examine_network, read_address
from acceptfirst_cli.doctor.place import examine_place
from acceptfirst_cli.doctor.store import examine_store
from acceptfirst_cli.errors import ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_styled
from acceptfirst_cli.verbs.serve import GRPC_PORT, HTTP_PORT
from acceptfirst_store.address import StoreAddress

SCHEMA_VERSION: Final = 1
GLYPHS: Final = {State.OK: "✔", State.WARNING: "!", State.FAILED: "✘", State.SKIPPED: "-"}
STYLES: Final = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}


def run(
    *,
    store: StoreOption = "",
    data_dir: Annotated[
        pathlib.Path, typer.Option(envvar="ACCEPTFIRST_DATA_DIR", help="The data directory of serve.")
    ] = pathlib.Path(".acceptfirst"),
    host: Annotated[str, typer.Option(envvar="ACCEPTFIRST_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="ACCEPTFIRST_PORT", min=0, max=65535, help="Port for OTLP/HTTP and the API.")
    ] = HTTP_PORT,
    grpc_port: Annotated[
        int, typer.Option(envvar="ACCEPTFIRST_GRPC_PORT", min=0, max=65535, help="Port for OTLP/gRPC.")
    ] = GRPC_PORT,
    token_file: Annotated[
        pathlib.Path | None, typer.Option(envvar="ACCEPTFIRST_TOKEN_FILE", help="File with the tokens of serve.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Examine ports, locks, disk, clock, processor, versions and the store's rights; say how to mend what is wrong.

    Ends with 3 when something failed: serve would not start, or would lose something.
    """
    data_dir = data_dir.absolute()
    dsn = store or f"chdb://{data_dir / 'db'}"
    address = StoreAddress.parse(dsn)
    findings = [
        *examine_machine(),
        *examine_place(data_dir, address.path, token_file),
        *examine_network(host, port, grpc_port, read_address(data_dir / "serve.json")),
        *examine_store(address, dsn),
    ]
    failures = sum(finding.state is State.FAILED for finding in findings)
    if as_json:
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "healthy": not failures,
                "checks": [finding.to_json() for finding in findings],
            }
        )
    else:
        _print(findings)
    if failures:
        raise typer.Exit(ExitCode.FINDINGS)


def _print(findings: list[Finding]) -> None:
    rows = [(f"{GLYPHS[each.state]} {each.state}", each.check, each.found, each.mend) for each in findings]
    print_styled(("state", "check", "found", "to mend it"), rows, [STYLES[each.state] for each in findings])
