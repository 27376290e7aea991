"""``acceptfirst recommend``: what to change, per environment, service and route."""

from __future__ import annotations

import enum
import itertools
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
import yaml

from acceptfirst_cli.asking.source import (
    ConfidenceOption,
    EnvironmentOption,
    JsonOption,
    LambdaOption,
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
from acceptfirst_cli.verbs.policy import proposed_text

Row = Mapping[str, Any]


class Format(enum.StrEnum):
    """How recommendations are printed."""

    TABLE = "table"
    JSON = "json"
    ENV = "env"
    TOML = "toml"
    YAML = "yaml"


_PLACE = ("environment", "service", "route")
_VALUES = ("verdict", "delay_ms", "timeout_ms", "poll_interval_ms")


def run(
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    form: Annotated[
        Format, typer.Option("--format", help="How to print: toml is a policy file, yaml the same.")
    ] = Format.TABLE,
    slo: SloOption = 0.001,
    confidence: ConfidenceOption = 0.95,
    lambda_ms: LambdaOption = 5000.0,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say per environment, service and route what to change.

    Ends with 4 when there is not enough evidence for anything.
    """
    question = question_of(
        environment=environment,
        since=since,
        until=until,
        week=week,
        slo=slo,
        confidence=confidence,
        lambda_ms=lambda_ms,
    )
    document = source_of(store, url, token_file).recommend(question)
    rows = document["recommendations"]
    if as_json or form is Format.JSON:
        print_json(document)
    elif form is Format.TOML:
        sys.stdout.write(proposed_text(rows))
    elif form is Format.YAML:
        sys.stdout.write(as_yaml(proposed_text(rows)))
    elif form is Format.ENV:
        sys.stdout.writelines(f"{line}\n" for line in environment_lines(rows))
    else:
        _print_rows(rows)
    _require_evidence(rows)


def environment_lines(rows: Sequence[Row]) -> list[str]:
    """Shell assignments, one a value: ``ACCEPTFIRST_PRODUCTION_WS_CHAT_TIMEOUT_MS=1800.0``.

    Where two rows would have one name (two services on one route, ``/ws-chat`` beside ``/ws_chat``) the service stands
    in it, and where that is not enough a number, so that no value takes another's place.
    """
    rows = [row for row in rows if row["verdict"] != "code_fix"]
    short, long = ([_shell_name(row, keys) for row in rows] for keys in (("environment", "route"), _PLACE))
    places = [both[1] if short.count(both[0]) > 1 else both[0] for both in zip(short, long, strict=True)]
    lines = []
    taken: set[str] = set()
    for row, place in zip(rows, places, strict=True):
        name = next(own for own in _numbered(place) if own not in taken)
        taken.add(name)
        values = ((key, row[key]) for key in _VALUES if row[key] is not None)
        lines += [f"ACCEPTFIRST_{name}_{key.upper()}={shlex.quote(str(value))}" for key, value in values]
    return lines


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in itertools.count(2))


def _shell_name(row: Row, keys: Sequence[str]) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", " ".join(row[key] for key in keys).upper()).strip("_")


def as_yaml(policies: str) -> str:
    """A policy file as YAML, for values of a chart or a config map: the same keys, the same nesting.

    Args:
        policies: TOML.
    """
    text: str = yaml.safe_dump(tomllib.loads(policies), sort_keys=False, allow_unicode=True)
    return text


def _print_rows(rows: Sequence[Row]) -> None:
    columns = ("environment", "service", "route", "verdict", "delay", "estimate", "timeout", "n", "missing", "pattern")
    keys = ("environment", "service", "route", "verdict")
    cells = [
        (
            *(row[key] for key in keys),
            _milliseconds(row["delay_ms"]),
            _milliseconds(row["delay_ms_estimate"]),
            _milliseconds(row["timeout_ms"]),
            row["n"],
            row["n_missing"],
            row["pattern"] or "",
        )
        for row in rows
    ]
    print_table(columns, cells)
    for row in rows:
        say(f"{row['environment']} {row['service']} {row['route']}: {row['rationale']}")


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:g} ms"


def _require_evidence(rows: Sequence[Row]) -> None:
    if not rows:
        raise CommandError("no handshakes in this range: nothing to recommend", ExitCode.NOT_ENOUGH_DATA)
    if all(row["verdict"] == "not_enough_evidence" for row in rows):
        raise CommandError(f"not enough evidence yet: {rows[0]['rationale']}", ExitCode.NOT_ENOUGH_DATA)
