"""``acceptfirst simulate``: labelled handshakes, into a store or through a collector."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.asking.replaying import replay
from acceptfirst_cli.asking.source import (
    JsonOption,
    SinceOption,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    WeekOption,
    question_of,
    token_in,
)
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.otlp_sender import OtlpSender
from acceptfirst_cli.terminal.progress import progress
from acceptfirst_cli.terminal.tables import print_json, print_table, say

DEFAULT_RANGE: Final = timedelta(hours=24)

EnvironmentsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--environment", help="Where: production, or production=3 for three times another's share; repeat it."
    ),
]
CausesOption = Annotated[
    list[str] | None, typer.Option("--cause", help="Only this cause among the faults; repeat it. All if left out.")
]
EpisodeCausesOption = Annotated[
    list[str] | None, typer.Option("--episode", help="Only this among what many connections show; repeat it.")
]
DeploysOption = Annotated[
    list[str] | None,
    typer.Option(
        "--deploy", help="VERSION@WHEN or VERSION@WHEN*FACTOR, which multiplies the time to ready; repeat it."
    ),
]
ImpatientOption = Annotated[float, typer.Option(help="Share of clients that don't wait to be told that it is ready.")]
CleanOption = Annotated[
    bool, typer.Option("--clean", help="Nothing goes wrong: no faults, episodes, impatience, cold.")
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(help="Make nothing: replay what is recorded under this policy file, and say what can't be known."),
]


def run(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    connections: Annotated[int, typer.Option(help="How many connections; with 0, no episodes either.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed and range, the same connections.")] = 1,
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    environments: EnvironmentsOption = None,
    service: Annotated[str, typer.Option(help="The service's name.")] = "chat",
    route: Annotated[str, typer.Option(help="The route's template.")] = "/ws/{room}",
    readiness: Annotated[str, typer.Option(help="How readiness is told: auto, event, polled or blind.")] = "event",
    gate: Annotated[str, typer.Option(help="observe or hold.")] = "observe",
    sample_rate: Annotated[float, typer.Option(help="Share of connections that are drawn.")] = 1.0,
    faults: Annotated[float, typer.Option(help="Share of connections with a fault, evenly over the causes.")] = 0.05,
    causes: CausesOption = None,
    episodes: Annotated[int, typer.Option(help="How often each thing happens that only many connections show.")] = 1,
    episode_causes: EpisodeCausesOption = None,
    impatient: ImpatientOption = 0.2,
    cold_starts: Annotated[int, typer.Option(help="How many times the service is cold, for all at that time.")] = 2,
    cold_ms: Annotated[float, typer.Option(help="What a cold start adds to the time to ready at first.")] = 400.0,
    drift: Annotated[float, typer.Option(help="Change of the time to ready a week: 0.1 is a tenth more.")] = 0.0,
    deploys: DeploysOption = None,
    users: Annotated[int, typer.Option(help="How many users; 0 where nobody is identified.")] = 0,
    clean: CleanOption = False,
    policy: PolicyOption = None,
    labels: Annotated[Path | None, typer.Option(help="Write the truth about each connection here, as NDJSON.")] = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make labelled handshakes, to try analyses and policies on: into a store, or as OTLP through a collector.

    With --policy it makes nothing, and replays what is recorded under another policy.
    """
    if policy is not None:
        replay(policy, store, url, token_file, _question(since, until, week, environments), as_json=as_json)
        return
    simulator = importlib.import_module("acceptfirst_analysis.simulate")
    start, end = _range(since, until, week)
    usual = partial(simulator.place, mode=readiness, gate=gate, sample_rate=sample_rate)
    troubles = {"faults": faults, "episodes": episodes, "impatient": impatient, "cold_starts": cold_starts}
    try:
        plan = simulator.Plan(
            connections=connections,
            since=start,
            until=end,
            seed=seed,
            places=tuple(_place(simulator, text, usual, service, route) for text in environments or ["production"]),
            causes=tuple(causes or ()),
            fleet_causes=tuple(episode_causes or ()),
            **(dict.fromkeys(troubles, 0) if clean or connections == 0 else troubles),
            cold_ms=cold_ms,
            drift=drift,
            deploys=tuple(_deploy(simulator, text, start, end) for text in deploys or ()),
            users=users,
        )
        document = _write(simulator, plan, _target(store, url, token_file), labels)
    except simulator.PlanError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if as_json:
        print_json(document)
        return
    print_table(("cause", "handshakes"), list(document["causes"].items()))
    say(f"{document['connections']:,} handshakes, {document['stored']:,} of them stored (seed {seed})")


def _question(since: str, until: str, week: str, environments: list[str] | None) -> Question:
    if environments and len(environments) > 1:
        raise CommandError("expected one --environment with --policy, or none for all", ExitCode.USAGE)
    return question_of(since=since, until=until, week=week, environment=(environments or [""])[0])


def _range(since: str, until: str, week: str) -> tuple[datetime, datetime]:
    try:
        now = datetime.now(UTC)
        if not since and not week:
            until_at = Question(until=until).checked().window(now).until
            return until_at - DEFAULT_RANGE, until_at
        window = Question(since=since, until=until, week=week).checked().window(now)
    except QuestionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    return window.since, window.until


def _place(simulator: Any, text: str, usual: Callable[[str], Any], service: str, route: str) -> Any:
    name, _, share = text.partition("=")
    try:
        own = usual(normalise_environment(name))
        return simulator.Place(
            policy=own.policy, service=service, route=route, readiness=own.readiness, share=float(share or 1)
        )
    except (UnknownEnvironmentError, ValueError) as error:
        raise CommandError(f"--environment {text}: {error}", ExitCode.USAGE) from error


def _deploy(simulator: Any, text: str, since: datetime, until: datetime) -> Any:
    version, _, rest = text.partition("@")
    when, _, factor = rest.partition("*")
    windows = importlib.import_module("acceptfirst_analysis.window")
    try:
        at = windows.parse_instant(when, now=until)
        slowdown = float(factor or 1)
    except ValueError as error:
        raise CommandError(f"--deploy {text}: expected VERSION@WHEN*FACTOR: {error}", ExitCode.USAGE) from error
    if not version or not since <= at < until:
        raise CommandError(f"--deploy {text}: expected a version, and a time within the range", ExitCode.USAGE)
    return simulator.Deploy(version=version, at=at, slowdown=slowdown)


def _into_store(database: Any, plan: Any, block: Any) -> None:
    importlib.import_module("acceptfirst_analysis.simulate").write_rows(database, plan, [block])


def _through_collector(sender: OtlpSender, plan: Any, block: Any) -> None:
    for request, _ in importlib.import_module("acceptfirst_analysis.simulate.spans").requests(plan, [block]):
        sender.send(request)


@contextmanager
def _target(store: str, url: str, token_file: Path | None) -> Iterator[Callable[[Any, Any], None] | None]:
    """What takes a plan and a block, ``None`` where nothing was named."""
    if store and url:
        raise CommandError("expected either --store or --url, but got both", ExitCode.USAGE)
    if url:
        with OtlpSender(url, token_in(token_file)) as sender:
            yield partial(_through_collector, sender)
    elif store:
        with importlib.import_module("acceptfirst_store.database").open_database(store) as database:
            importlib.import_module("acceptfirst_store.migrations").migrate(database)
            yield partial(_into_store, database)
    else:
        yield None


def _write(simulator: Any, plan: Any, target: Any, labels: Path | None) -> dict[str, Any]:
    tally = importlib.import_module("acceptfirst_analysis.simulate.tally").Tally()
    with ExitStack() as stack:
        take = stack.enter_context(target)
        if take is None and labels is None:
            raise CommandError("expected --store, --url or --labels: where the handshakes go", ExitCode.USAGE)
        file = stack.enter_context(_label_file(labels)) if labels else None
        advance = stack.enter_context(progress("simulating", plan.connections))
        for block in simulator.simulate(plan):
            if take is not None:
                take(plan, block)
            if file is not None:
                simulator.write_labels(file, plan, block)
            tally.add(block)
            advance(len(block))
    document: dict[str, Any] = tally.to_json(plan)
    return document


def _label_file(path: Path) -> Any:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"the labels can't be written: {error}", ExitCode.USAGE) from error
