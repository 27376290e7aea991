"""``acceptfirst demo``: the incident, its causes, the cure, the proof, with real processes on this machine."""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from acceptfirst_cli.errors import ExitCode

CLIENTS = 400


def run(
    data_dir: Annotated[Path, typer.Option(help="Where the store, the report and the figures go.")] = Path(
        ".acceptfirst/demo"
    ),
    connections: Annotated[
        int,
        typer.Option(min=40, max=5000, help="Clients in each of the two runs; one that is turned away comes again."),
    ] = CLIENTS,
    seed: Annotated[int, typer.Option(help="Decides traffic and cold starts, of both runs alike.")] = 1,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the collector running until Ctrl-C, to look around.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON instead of the story.")] = False,
) -> int:
    """Run the incident, find its causes, tune them away, show the proof."""
    # Imported here: what they need comes with the extra "demo", and --help should not need it.
    sequence = importlib.import_module("acceptfirst_cli.demo.sequence")
    folder = importlib.import_module("acceptfirst_cli.demo.folder").DemoFolder(data_dir.absolute())
    narrator = importlib.import_module("acceptfirst_cli.demo.narrator").Narrator()
    options = sequence.DemoOptions(folder=folder, clients=connections, seed=seed)
    sequence.keep_local()
    with narrator, sequence.running_collector(options, narrator) as (collector, children):
        outcome = sequence.Demo(options, children, narrator).run(collector)
        narrator.stop()
        sequence.write_summary(outcome, folder.summary)
        _tell(outcome, folder, as_json=as_json)
        if keep:
            _wait_for_ctrl_c(collector.url)
    return ExitCode.FAILURE if outcome.failures() else ExitCode.OK


def _tell(outcome: Any, folder: Any, *, as_json: bool) -> None:
    story = importlib.import_module("acceptfirst_cli.demo.story")
    if as_json:
        sys.stdout.write(story.as_json(outcome))
    else:
        story.tell(outcome, folder)
    sys.stdout.flush()


def _wait_for_ctrl_c(url: str) -> None:
    sys.stderr.write(f"the collector stays at {url} until Ctrl-C\n")
    try:
        signal.pause()
    except KeyboardInterrupt:
        return  # that is how the user says "enough"
