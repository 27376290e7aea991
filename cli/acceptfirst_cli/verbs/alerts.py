"""``acceptfirst alerts``: what is wrong now, whether a pipeline should stop, and whether messages arrive."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from acceptfirst_analysis.alerts.episode import Episode
from acceptfirst_analysis.alerts.labels import fingerprint_of
from acceptfirst_analysis.alerts.notify.plan import Delivery
from acceptfirst_analysis.alerts.notify.send import Outcome, send_all
from acceptfirst_analysis.alerts.rules import Condition, Rule
from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, load_alert_settings
from acceptfirst_cli.asking.alert_rules import with_rules_of
from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.asking.source import (
    DATA_DIR,
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
from acceptfirst_cli.configuration import file_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table, say
from acceptfirst_cli.verbs.silences import list_silences, run_lift, run_silence

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

FileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="ACCEPTFIRST_ALERTS_FILE", help="Receivers and silences; .acceptfirst/alerts.toml where it is there."
    ),
]

SCHEMA_VERSION: Final = 1

_PLACE: Final = ("rule", "severity", "environment", "service", "route", "pattern")
_COLUMNS: Final = ("state", *_PLACE, "since", "summary", "silenced")


class State(enum.StrEnum):
    """Which alerts are listed."""

    ACTIVE = "active"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    ALL = "all"


@app.command("list")
def run_list(
    context: typer.Context,
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    state: Annotated[State, typer.Option(help="Which; active is pending or firing.")] = State.ACTIVE,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the latest first.")] = 100,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules instead; needs no store.")] = False,
    alerts_file: FileOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the alerts: since when, where, and what to read."""
    if rules:
        _print_rules(_settings(alerts_file, context), as_json=as_json)
        return
    question = question_of(environment=environment, since=since, until=until)
    filters: dict[str, Any] = {"environment": question.environment, "limit": limit, **_range(question)}
    filters |= {"state": state.value} if state is not State.ALL else {}
    settings = _settings(alerts_file, context)
    document = source_of(store, url, token_file).alerts(filters, settings)
    if as_json:
        print_json(document)
        return
    print_table(_COLUMNS, [_cells(alert) for alert in document["alerts"]])
    if not document["alerts"]:
        say("nothing: no rule holds, or none has been evaluated yet (serve evaluates them every minute)")


def _settings(path: Path | None, context: typer.Context) -> AlertSettings:
    """The settings in a file, in the one of the data directory, or those without one."""
    usual = DATA_DIR / "alerts.toml"
    chosen = path or (usual if usual.exists() else None)
    try:
        settings = AlertSettings() if chosen is None else load_alert_settings(chosen)
        return with_rules_of(settings, file_of(context))
    except AlertSettingsError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def _range(question: Question) -> dict[str, str]:
    try:
        window = question.window(datetime.now(UTC))
    except QuestionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    given = {"since": window.since if question.since else None, "until": window.until if question.until else None}
    return {name: f"{instant:%Y-%m-%d %H:%M:%S.%f}" for name, instant in given.items() if instant}


@app.command("check")
def run_check(
    context: typer.Context,
    *,
    store: StoreOption = "",
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    week: WeekOption = "",
    alerts_file: FileOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which rules hold at --until, or held at any time since --since; nobody is told.

    Ends with 3 when one does, and with 4 when there are too few handshakes to tell.
    """
    question = question_of(environment=environment, since=since, until=until, week=week)
    settings = _settings(alerts_file, context)
    document = source_of(store, url, token_file).check_alerts(question, settings)
    if as_json:
        print_json(document)
    else:
        columns = (*_PLACE, "first", "last", "summary")
        print_table(columns, [_finding_cells(finding) for finding in document["findings"]])
    _end(document)


app.command("silence")(run_silence)
app.command("lift")(run_lift)


@app.command("silences")
def run_silences(
    context: typer.Context,
    *,
    ended: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    store: StoreOption = "",
    url: UrlOption = "",
    alerts_file: FileOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is not told of what, until when and why."""
    settings = _settings(alerts_file, context)
    list_silences(settings, store, url, token_file, with_ended=ended, as_json=as_json)


@app.command("test-send")
def run_test_send(
    context: typer.Context,
    *,
    receiver: Annotated[str, typer.Option(help="Only this receiver; all of them if left out.")] = "",
    alerts_file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a test alert to the receivers in the alerts file, and say who took it.

    Ends with 1 when one did not.
    """
    settings = _settings(alerts_file, context)
    chosen = [each for each in settings.receivers if receiver in ("", each.name)]
    if not chosen:
        known = ", ".join(each.name for each in settings.receivers) or "none: give --alerts-file"
        raise CommandError(f"expected a receiver; those in the alerts file are {known}", ExitCode.USAGE)
    now = datetime.now(UTC)
    planned = [Delivery(each, (("alertname", "Test"),), (_test_alert(now),)) for each in chosen]
    outcomes = send_all(planned, settings, now)
    _print_outcomes(outcomes, as_json=as_json)
    if failed := [outcome for outcome in outcomes if not outcome.is_taken]:
        raise CommandError(f"{len(failed)} of {len(outcomes)} receivers did not take it", ExitCode.FAILURE)


def _print_outcomes(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    told = [(outcome.delivery.receiver, outcome.error or None) for outcome in outcomes]
    rows = [{"receiver": receiver.name, "kind": receiver.kind, "error": error} for receiver, error in told]
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION, "deliveries": rows})
    else:
        print_table(("receiver", "kind", "result"), [(r["receiver"], r["kind"], r["error"] or "taken") for r in rows])


def _test_alert(now: datetime) -> Episode:
    labels = {"alertname": "Test", "rule": "AF-00", "severity": "info", "environment": "testing"}
    return Episode(
        fingerprint=fingerprint_of(labels),
        labels=labels,
        state="firing",
        value=1.0,
        threshold=0.0,
        n=1,
        summary="A test: if you can read this, alerts arrive.",
        description="Sent by acceptfirst alerts test-send. Nothing is wrong.",
        active_since=now,
        last_active_at=now,
        fired_at=now,
        updated_at=now,
    )


def _print_rules(settings: AlertSettings, *, as_json: bool) -> None:
    asked = {rule.id for rule in settings.rules}
    rules = [dataclasses.replace(rule, is_enabled=rule.id in asked) for rule in settings.base]
    if as_json:
        rows = [dataclasses.asdict(rule) for rule in rules]
        print_json({"schema_version": SCHEMA_VERSION, "rules": rows})
        return
    cells = [_rule_cells(rule, condition) for rule in rules for condition in rule.conditions]
    print_table(("rule", "name", "severity", "window", "fires when", "for", "runbook"), cells)


def _rule_cells(rule: Rule, condition: Condition) -> tuple[str, ...]:
    when, lasting = (f"> {condition.threshold:g}" if rule.is_enabled else "off"), f"{condition.for_s} s"
    return (rule.id, rule.name, rule.severity, condition.window, when, lasting, f"docs/runbooks/{rule.runbook}")


def _end(document: Mapping[str, Any]) -> None:
    if document["errors"]:
        asked = "; ".join(f"{rule}: {error}" for rule, error in document["errors"].items())
        raise CommandError(f"not every rule could be asked: {asked}", ExitCode.UNREACHABLE)
    # A window that is longer than the range may rest on handshakes before it; a rule for silence rests on none.
    rests_on_some = document["handshakes"] or any(finding["n"] for finding in document["findings"])
    if not rests_on_some:
        raise CommandError("no handshakes in this range: nothing to judge", ExitCode.NOT_ENOUGH_DATA)
    if document["findings"]:
        raise CommandError(f"{len(document['findings'])} alert rules hold", ExitCode.FINDINGS)
    if not document["enough_data"]:
        raise CommandError("too few handshakes in this range to tell", ExitCode.NOT_ENOUGH_DATA)


def _cells(alert: Mapping[str, Any]) -> tuple[Any, ...]:
    place = (alert[key] for key in ("state", *_PLACE))
    return (*place, _minute(alert["fired_at"] or alert["active_since"]), alert["summary"], alert["silenced"])


def _finding_cells(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    place = (finding[key] for key in _PLACE)
    return (*place, _minute(finding["first_at"]), _minute(finding["last_at"]), finding["summary"])


def _minute(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().isoformat(sep=" ", timespec="minutes")
