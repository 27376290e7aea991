"""``acceptfirst policy``: show a policy, propose one, and change what a collector gives to its backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from acceptfirst.environment import ENVIRONMENTS, UnknownEnvironmentError, normalise_environment
from acceptfirst.policy import (
    Policy,
    PolicyError,
    default_policy,
    dump_policy_file,
    load_policy_file,
    policy_to_document,
)
from acceptfirst.policy.document import SETTINGS
from acceptfirst_analysis.loop.proposal import propose
from acceptfirst_analysis.tuning.recommendation import Recommendation
from acceptfirst_cli.asking.policy_client import PolicyClient
from acceptfirst_cli.asking.source import (
    EnvironmentOption,
    JsonOption,
    SinceOption,
    Source,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    WeekOption,
    question_of,
    source_of,
)
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table
from acceptfirst_cli.verbs.report import write_text

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

EnvironmentArgument = Annotated[str, typer.Argument(help="Whose policy: testing, development, staging or production.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it is kept with the change.")]


@app.command("propose")
def run_propose(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - for standard output.")] = "-",
    current: Annotated[Path | None, typer.Option(help="The policy file in force; its settings are kept.")] = None,
    version: Annotated[str, typer.Option(help="Version of the proposal; today's date if left out.")] = "",
    submit: Annotated[
        Path | None, typer.Option(help="Propose this policy file to the collector, instead of writing one.")
    ] = None,
    reason: ReasonOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the policy that carries the recommendations out; or hand a policy file to the collector as a proposal.

    Ends with 4 when none of the recommendations is one that a policy can carry out.
    """
    if submit is not None:
        client = PolicyClient(source_of(store, url, token_file))
        _print_states([client.propose(policy, reason) for policy in _submitted(submit, environment)], as_json=as_json)
        return
    question = question_of(environment=environment, since=since, until=until, week=week)
    document = source_of(store, url, token_file).recommend(question)
    write_text(output, proposed_text(document["recommendations"], _current(current), version))


@app.command("promote")
def run_promote(
    environment: EnvironmentArgument,
    *,
    share: Annotated[
        float | None, typer.Option(help="Try it on this share of the connections first; all of them if left out.")
    ] = None,
    version: Annotated[str, typer.Option(help="Only if this version is the one proposed.")] = "",
    reason: ReasonOption = "",
    url: UrlOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the proposed policy hold: for a share of the connections as a canary, or for all."""
    client = PolicyClient(source_of("", url, token_file))
    _print_states([client.promote(_environment(environment), share, version, reason)], as_json=as_json)


@app.command("rollback")
def run_rollback(
    environment: EnvironmentArgument,
    *,
    reason: ReasonOption = "",
    url: UrlOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back the change that is under way; where none is, bring the policy before it into force again."""
    client = PolicyClient(source_of("", url, token_file))
    _print_states([client.rollback(_environment(environment), reason)], as_json=as_json)


@app.command("show")
def run_show(
    file: Annotated[Path | None, typer.Argument(help="A policy file; the collector is asked if left out.")] = None,
    *,
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a policy file says, its defaults filled in; or what a collector gives to its backends."""
    names = [_environment(environment)] if environment else list(ENVIRONMENTS)
    policies = _in_force(source_of("", url, token_file), names) if file is None else _read(file, names)
    if as_json:
        documents = {name: policy_to_document(policy) for name, policy in policies.items()}
        print_json({"schema_version": 1, "policies": documents})
        return
    rows = [
        (name, part, route, key, _text(getattr(policy, key)))
        for name, whole in policies.items()
        for part, arm in _arms(whole)
        for route, policy in {"": arm, **arm.routes}.items()
        for key in SETTINGS
    ]
    print_table(("environment", "share", "route", "setting", "value"), rows)


def proposed_text(
    rows: Sequence[Mapping[str, Any]], current: Mapping[str, Policy] | None = None, version: str = ""
) -> str:
    """The TOML of the policies that carry recommendations out.

    Raises:
        CommandError: not enough data, when there is none that a policy can carry out; or one breaks a guardrail.
    """
    recommendations = [Recommendation.from_row(row) for row in rows]
    in_force = current or {}
    taken = {policy.version for policy in in_force.values()}
    try:
        policies = propose(recommendations, in_force, version=version or _next_version(taken))
    except PolicyError as error:
        raise CommandError(f"the proposal breaks a guardrail of the policy: {error}") from error
    if all(policy in (in_force.get(name), default_policy(name)) for name, policy in policies.items()):
        raise CommandError(
            "none of the recommendations is one that a policy can carry out; `acceptfirst recommend` says why",
            ExitCode.NOT_ENOUGH_DATA,
        )
    return dump_policy_file({**in_force, **policies})


def _next_version(taken: set[str]) -> str:
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    number = 1
    while f"{day}.{number}" in taken:
        number += 1
    return f"{day}.{number}"


def _current(path: Path | None) -> dict[str, Policy]:
    if path is None:
        return {}
    return {name: policy for name, policy in _read(path).items() if policy != default_policy(name)}


def _read(path: Path, names: Sequence[str] = ENVIRONMENTS) -> dict[str, Policy]:
    try:
        return {name: load_policy_file(path, name) for name in names}
    except PolicyError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def _in_force(source: Source, names: Sequence[str]) -> dict[str, Policy]:
    client = PolicyClient(source)
    asked = {name: client.in_force(name) for name in names}
    return {name: policy for name, policy in asked.items() if policy is not None}


def _submitted(path: Path, environment: str) -> list[Policy]:
    """The policies that a file says anything of; the default of an environment is nothing to propose."""
    names = [_environment(environment)] if environment else ENVIRONMENTS
    found = [policy for name, policy in _read(path, names).items() if policy != default_policy(name)]
    if not found:
        raise CommandError(f"expected a policy of {' or '.join(names)} in {path}, but got none", ExitCode.USAGE)
    return found


def _environment(name: str) -> str:
    try:
        return normalise_environment(name)
    except UnknownEnvironmentError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def _arms(policy: Policy) -> list[tuple[str, Policy]]:
    """What holds, with the share that it holds for; empty where it is all."""
    if policy.canary is None:
        return [("", policy)]
    return [(f"{1 - policy.canary.share:g}", policy), (f"{policy.canary.share:g}", policy.canary.policy)]


def _print_states(states: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"schema_version": 1, "policies": states})
        return
    keys = ("environment", "in_force", "candidate", "stage", "share")
    print_table(keys, [[state[key] for key in keys] for state in states])


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{item:g}" for item in value)
    return "" if value is None else str(value)
