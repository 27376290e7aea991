"""``acceptfirst alerts silence``, ``silences`` and ``lift``: who is not told of what, until when and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from acceptfirst_analysis.alerts.settings import AlertSettings
from acceptfirst_cli.asking.policy_client import user_name
from acceptfirst_cli.asking.source import JsonOption, StoreOption, TokenOption, UrlOption, source_of
from acceptfirst_cli.terminal.tables import print_json, print_table, say

ByOption = Annotated[str, typer.Option(help="Who; the name of the user here if left out.")]

SCHEMA_VERSION = 1

_COLUMNS = ("id", "silences", "until", "by", "reason", "lifted")
_LABELS = ("rule", "environment", "service", "route", "pattern")


def run_silence(
    *,
    rule: Annotated[str, typer.Option(help="Alerts of this rule, such as AF-04.")] = "",
    environment: Annotated[str, typer.Option(help="Alerts of this environment.")] = "",
    service: Annotated[str, typer.Option(help="Alerts of this service.")] = "",
    route: Annotated[str, typer.Option(help="Alerts of this route.")] = "",
    pattern: Annotated[str, typer.Option(help="Alerts of this pattern.")] = "",
    lasting: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h, 7d; 30 days at most.")] = "",
    until: Annotated[str, typer.Option(help="Until when, instead of --for: ISO 8601.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it stands beside the alert.")] = "",
    by: ByOption = "",
    store: StoreOption = "",
    url: UrlOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell nobody of some alerts for a while. Who, what and why is kept; all labels that are given must fit."""
    labels = {"rule": rule, "environment": environment, "service": service, "route": route, "pattern": pattern}
    values = {**labels, "for": lasting, "until": until, "reason": reason, "by": by or user_name()}
    made = source_of(store, url, token_file).change_silence({name: text for name, text in values.items() if text})
    _tell(made, as_json=as_json)


def run_lift(
    silence: Annotated[str, typer.Argument(help="Its id, as alerts silences lists it.")],
    *,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    by: ByOption = "",
    store: StoreOption = "",
    url: UrlOption = "",
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence before its time."""
    values = {"by": by or user_name(), "reason": reason}
    lifted = source_of(store, url, token_file).change_silence(values, silence)
    _tell(lifted, as_json=as_json)


def list_silences(
    settings: AlertSettings, store: str, url: str, token_file: Path | None, *, with_ended: bool, as_json: bool
) -> None:
    """Print those that were set, and those of the alerts file."""
    document = source_of(store, url, token_file).silences(settings, with_ended=with_ended)
    if as_json:
        print_json(document)
        return
    rows = [_cells(each) for each in document["silences"]]
    rows += [
        ("", _what(each), _minute(each["until"]), "alerts file", each["reason"], "") for each in document["in_file"]
    ]
    print_table(_COLUMNS, rows)
    if not rows:
        say("nothing is silenced")


def _tell(silence: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "silence": dict(silence)})
    else:
        print_table(_COLUMNS, [_cells(silence)])


def _cells(silence: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        silence["id"],
        _what(silence),
        _minute(silence["until"]),
        silence["by"],
        silence["reason"],
        _lifted(silence),
    )


def _what(silence: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={silence[name]}" for name in _LABELS if silence[name])


def _lifted(silence: Mapping[str, Any]) -> str:
    if not silence["lifted_at"]:
        return ""
    return " ".join(filter(None, (_minute(silence["lifted_at"]), silence["lifted_by"], silence["lift_reason"])))


def _minute(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().isoformat(sep=" ", timespec="minutes")
