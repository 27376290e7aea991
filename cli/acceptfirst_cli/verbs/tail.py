"""``acceptfirst tail``: handshakes as they happen, from a running serve."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import typer

from acceptfirst_cli.asking.collector_client import CollectorClient, NoAnswerError
from acceptfirst_cli.asking.source import EnvironmentOption, TokenOption, UrlOption, question_of, source_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json_line, print_line, say
from acceptfirst_cli.terminal.wording import clock_time, millis

SCHEMA_VERSION: Final = 1
OUTCOMES: Final = ("ready", "rejected", "failed", "abandoned", "timed_out", "open")
GLYPHS: Final = {"ready": "✔", "rejected": "✋", "failed": "✘", "abandoned": "…", "timed_out": "⏱", "open": "○"}
STYLES: Final = {"ready": "green", "rejected": "yellow", "failed": "red", "abandoned": "yellow", "timed_out": "red"}
#: How far back each look goes: spans come late, and a handshake that is open now ends later.
LOOK_BACK: Final = dt.timedelta(minutes=2)
ROWS_MAX: Final = 10_000
PATIENCE_S: Final = 60.0
RETRY_S: Final = 2.0


def run(
    *,
    url: UrlOption = "",
    environment: EnvironmentOption = "",
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    route: Annotated[str, typer.Option(help="Only this route.")] = "",
    outcome: Annotated[list[str] | None, typer.Option(help="Only this outcome; may be given again.")] = None,
    pattern: Annotated[str, typer.Option(help="Only handshakes with this race.")] = "",
    violations: Annotated[bool, typer.Option("--violations", help="Only handshakes with a race.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")] = 1.0,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Show the last two minutes, then end.")] = False,
    token_file: TokenOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show handshakes as they happen: once when one is first seen, again when its outcome or its races change.

    Ends with 130 at Ctrl-C, with 5 when the collector is gone for a minute.
    """
    wrong = sorted(set(outcome or ()) - set(OUTCOMES))
    if wrong:
        raise CommandError(f"expected an outcome of {', '.join(OUTCOMES)}, but got {wrong[0]!r}", ExitCode.USAGE)
    narrow = {"environment": question_of(environment=environment).environment, "service": service, "route": route}
    watch = Watch(outcome or (), pattern, only_violations=violations)
    with CollectorClient(source_of("", url, token_file)) as client:
        for rows in looks(client, narrow, interval, is_followed=not no_follow):
            for row in watch.news(rows):
                _print(row, as_json=as_json)


class Watch:
    """Knows which handshakes were shown, and how they were then.

    Args:
        outcomes: only these; all if empty.
        pattern: only with this race; any if empty.
        only_violations: only with some race.
    """

    def __init__(self, outcomes: Sequence[str], pattern: str, *, only_violations: bool) -> None:
        self._outcomes = frozenset(outcomes)
        self._pattern = pattern
        self._only_violations = only_violations
        self._shown: dict[str, tuple[str, tuple[str, ...]]] = {}

    def news(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows to show, the oldest first; remembers only what may still come again."""
        news = []
        seen = {}
        for row in sorted(rows, key=lambda row: str(row["first_seen"])):
            state = (str(row["outcome"]), tuple(sorted(row["patterns"])))
            known = self._shown.get(row["connection_id"])
            seen[row["connection_id"]] = state
            if known != state and self._is_wanted(row):
                news.append({"event": "opened" if known is None else "changed", **row})
        self._shown = seen
        return news

    def _is_wanted(self, row: dict[str, Any]) -> bool:
        return (
            (not self._outcomes or row["outcome"] in self._outcomes)
            and (not self._pattern or self._pattern in row["patterns"])
            and (not self._only_violations or bool(row["patterns"]))
        )


def looks(
    client: CollectorClient, narrow: dict[str, str], interval_s: float, *, is_followed: bool
) -> Iterator[list[dict[str, Any]]]:
    """What each look at the collector finds; the first one must succeed, later ones are tried again for a while.

    Raises:
        CommandError: unreachable, at first or for a minute.
    """
    yield _look(client, narrow)
    silent_since: float | None = None
    while is_followed:
        time.sleep(interval_s)
        try:
            rows = _look(client, narrow)
        except NoAnswerError as error:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE_S:
                raise
            say(f"{error}; trying again")
            time.sleep(RETRY_S)
            continue
        silent_since = None
        yield rows


def _look(client: CollectorClient, narrow: dict[str, str]) -> list[dict[str, Any]]:
    since = (dt.datetime.now(dt.UTC) - LOOK_BACK).strftime("%Y-%m-%d %H:%M:%S.%f")
    return client.statement("handshakes_recent", {**narrow, "since": since, "limit": ROWS_MAX})


def _print(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json_line({"schema_version": SCHEMA_VERSION, **row})
        return
    outcome = str(row["outcome"])
    cells = (
        clock_time(row["first_seen"]),
        f"{GLYPHS.get(outcome, '?')} {outcome}",
        row["environment"],
        f"{row['service']} {row['route']}".strip(),
        f"ready {millis(row['ready_ns'])}" if row["ready_ns"] else "",
        row["signature"],
        " ".join(row["patterns"]),
        row["connection_id"],
    )
    print_line(cells, (8, 11, 11, 24, 14, 12, 0, 0), STYLES.get(outcome, ""))
