"""``simulate --policy``: recorded handshakes under another policy, and what can't be known about it."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acceptfirst.policy import Policy, PolicyError
from acceptfirst.policy.file import load_policy_file
from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.asking.source import source_of
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.terminal.tables import print_json, print_table, say

_COLUMNS = ("environment", "service", "route", "gate", "n", "violations", "would have been", "waited p95", "timed out")


def replay(policy: Path, store: str, url: str, token_file: Path | None, question: Question, *, as_json: bool) -> None:
    """Print what would have been under a policy file.

    Raises:
        CommandError: when the file or the range makes no sense, or nothing is recorded in it.
    """
    replaying = importlib.import_module("acceptfirst_analysis.replay")

    def policy_of(environment: str) -> Policy:
        try:
            return load_policy_file(policy, environment)
        except PolicyError as error:
            raise CommandError(str(error), ExitCode.USAGE) from error

    policy_of(question.environment or "production")  # a mistake is told before a store is opened
    try:
        window = question.window(datetime.now(UTC))
    except QuestionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    with source_of(store, url, token_file).reader() as reader:
        replays = replaying.replay(reader, policy_of, window, question.environment)
    if not replays:
        raise CommandError("no accepted handshakes in this range: nothing to replay", ExitCode.NOT_ENOUGH_DATA)
    if as_json:
        print_json(replaying.to_document(replays, window))
        return
    print_table(_COLUMNS, [_cells(row) for row in replays])
    for row in replays:
        for text in row.unknowable:
            say(f"{row.environment} {row.service} {row.route}: {text}")
    for text in replaying.LIMITS:
        say(text)


def _cells(row: Any) -> tuple[Any, ...]:
    return (
        row.environment,
        row.service,
        row.route,
        f"{row.readiness_mode} {row.gate}",
        row.n,
        row.recorded_violations,
        _between(row.violations_least, row.violations_most),
        "" if row.wait_ms_p95 is None else f"{row.wait_ms_p95:g} ms",
        _between(row.timed_out_least, row.timed_out_most),
    )


def _between(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"
