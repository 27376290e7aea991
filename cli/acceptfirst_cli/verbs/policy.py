"""``acceptfirst policy``: show a policy, or propose one from recommendations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst.policy import Policy, PolicyError, default_policy, dump_policy_file, load_policy_file
from acceptfirst_analysis.proposal import propose
from acceptfirst_analysis.recommendation import Recommendation
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.source import (
    EnvironmentOption,
    JsonOption,
    SinceOption,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    WeekOption,
    question_of,
    source_of,
)
from acceptfirst_cli.tables import print_json, print_table
from acceptfirst_cli.verbs.report import write_text

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_SHOWN = (
    "version", "readiness_mode", "gate", "delay_ladder_ms", "handshake_timeout_ms", "poll_interval_ms", "sample_rate",
    "gate_buffer", "gate_timeout_action",
)  # fmt: skip


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
    token_file: TokenOption = None,
) -> None:
    """Write the policy that carries the recommendations out.

    Ends with 4 when none of them is one that a policy can carry out.
    """
    question = question_of(environment=environment, since=since, until=until, week=week)
    document = source_of(store, url, token_file).recommend(question)
    write_text(output, proposed_text(document["recommendations"], _current(current), version))


@app.command("show")
def run_show(
    file: Annotated[Path, typer.Argument(help="A policy file.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what a policy file says, its defaults filled in."""
    policies = _read(file)
    if as_json:
        print_json({"schema_version": 1, "policies": {name: asdict(policy) for name, policy in policies.items()}})
        return
    rows = [
        (name, route, key, _text(getattr(policy, key)))
        for name, whole in policies.items()
        for route, policy in {"": whole, **whole.routes}.items()
        for key in _SHOWN
    ]
    print_table(("environment", "route", "setting", "value"), rows)


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


def _read(path: Path) -> dict[str, Policy]:
    try:
        return {name: load_policy_file(path, name) for name in ENVIRONMENTS}
    except PolicyError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{item:g}" for item in value)
    return "" if value is None else str(value)
