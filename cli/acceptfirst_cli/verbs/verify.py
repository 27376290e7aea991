"""``acceptfirst verify``: whether the last change of a setting worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acceptfirst_cli.asking.source import (
    ConfidenceOption,
    EnvironmentOption,
    JsonOption,
    SinceOption,
    SloOption,
    StoreOption,
    TokenOption,
    UntilOption,
    UrlOption,
    WeekOption,
    question_of,
    source_of,
)
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table, say

Row = Mapping[str, Any]

_TABLE = ("environment", "service", "route", "effect", "before", "late before", "after", "late after", "p")


def run(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    slo: SloOption = 0.001,
    confidence: ConfidenceOption = 0.95,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the last change of each route's setting worked: after against before, with what it is worth.

    Ends with 3 when something became worse or a canary that did harm was rolled back, with 4 when nothing is shown.
    """
    question = question_of(environment=environment, since=since, until=until, week=week, slo=slo, confidence=confidence)
    document = source_of(store, url, token_file).verify(question)
    changes, decisions = document["changes"], document["decisions"]
    if as_json:
        print_json(document)
    else:
        print_table(_TABLE, [_cells(row) for row in changes])
        for row in changes:
            say(f"{row['environment']} {row['service']} {row['route']}: {row['rationale']}")
        for row in decisions:
            say(f"{row['environment']}: {row['actor']} said {row['action']} of {row['version']}: {row['reason']}")
    _require_success(changes, decisions)


def _cells(row: Row) -> tuple[Any, ...]:
    before, after = row["before"], row["after"]
    p_value = "" if row["p_value"] is None else f"{row['p_value']:.2g}"
    sides = (_setting(before), _share(row["rate_before"]), _setting(after), _share(row["rate_after"]))
    return (row["environment"], row["service"], row["route"], row["effect"], *sides, p_value)


def _setting(side: Row) -> str:
    return f"{side['policy_version'] or 'unknown'} ({side['setting']})"


def _share(rate: Row | None) -> str:
    return "unknown" if rate is None else f"{rate['events']} of {rate['n']}"


def _require_success(changes: Sequence[Row], decisions: Sequence[Row]) -> None:
    """End as a script wants it: nothing is done where all is shown to be well."""
    worse = [row for row in changes if row["effect"] == "worse"]
    if worse:
        places = ", ".join(f"{row['environment']} {row['route']}" for row in worse)
        raise CommandError(f"the last change made it worse: {places}: {worse[0]['rationale']}", ExitCode.FINDINGS)
    harmful = [row for row in decisions if row["action"] == "rollback" and row["actor"] == "acceptfirst"]
    if harmful:
        row = harmful[0]
        raise CommandError(
            f"the last change of {row['environment']}, {row['version']}, was rolled back: {row['reason']}",
            ExitCode.FINDINGS,
        )
    if not changes:
        raise CommandError("no setting changed in this range: nothing to verify", ExitCode.NOT_ENOUGH_DATA)
    if all(row["effect"] == "no_evidence" for row in changes):
        raise CommandError(f"not enough evidence yet: {changes[0]['rationale']}", ExitCode.NOT_ENOUGH_DATA)
