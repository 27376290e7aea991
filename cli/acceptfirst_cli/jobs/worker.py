"""Answers questions that need the statistics: in a process of its own for ``serve``, in this one for a store.

``python -m acceptfirst_cli.jobs.worker recommend`` reads ``{"url", "token", "question"}`` (or ``{"dsn",
"question"}``) from standard input, reads the store through the collector at that URL (or opens the store), and prints
one JSON object: the answer, or ``{"error", "exit_code"}``. So what the statistics need (well over 100 MB) is gone
again when the answer is there.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_analysis.loop.canary import CanarySettings
from acceptfirst_analysis.loop.drift import drifts
from acceptfirst_analysis.loop.drift import to_document as drift_document
from acceptfirst_analysis.loop.look import LoopSettings, look
from acceptfirst_analysis.loop.verification import to_document as verification_document
from acceptfirst_analysis.loop.verification import verify
from acceptfirst_analysis.report.gather import gather
from acceptfirst_analysis.report.mail import render_mail
from acceptfirst_analysis.report.render import render_html, render_json, render_markdown
from acceptfirst_analysis.tuning.recommend import EnvironmentUnseenError, StatementReader, recommend, to_document
from acceptfirst_analysis.value import business_value
from acceptfirst_cli.asking.catalogues import usable_catalogue
from acceptfirst_cli.asking.question import Question, QuestionError
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_store.database import open_database
from acceptfirst_store.errors import StoreError
from acceptfirst_store.remote import RemoteStore
from acceptfirst_store.results import to_json

RENDERERS: Final = {"html": render_html, "md": render_markdown, "json": render_json, "email": render_mail}


def answer_recommend(reader: StatementReader, question: Question) -> dict[str, Any]:
    """The document of ``recommend --json``."""
    window = question.window(datetime.now(UTC))
    rows = recommend(reader, usable_catalogue(), window, environment=question.environment, settings=question.settings)
    return to_document(rows, window, question.settings)


def answer_report(reader: StatementReader, question: Question) -> dict[str, Any]:
    """The report as ``{"schema_version", "format", "text"}``; of a complete week in all its forms, to be kept."""
    now = datetime.now(UTC)
    window = question.window(now)
    report = gather(
        reader,
        usable_catalogue(),
        window,
        now=now,
        environment=question.environment,
        settings=question.settings,
    )
    answer: dict[str, Any] = {"schema_version": 1, "format": question.format, "week": window.week}
    if window.provisional:
        return {**answer, "text": RENDERERS[question.format](report)}
    documents = {form: render(report) for form, render in RENDERERS.items()}
    return {**answer, "text": documents[question.format], "documents": documents}


def answer_verify(reader: StatementReader, question: Question) -> dict[str, Any]:
    """The document of ``verify --json``."""
    window = question.window(datetime.now(UTC))
    found = verify(reader, window, environment=question.environment, settings=question.settings)
    latest = reader.statement_rows("policy_decisions", {"environment": question.environment})
    decisions = [{key: to_json(value) for key, value in row.items()} for row in latest]
    return verification_document(found, window, question.settings, decisions)


def answer_drift(reader: StatementReader, question: Question) -> dict[str, Any]:
    """What drifts from week to week, and what the latest deploys did."""
    window = question.window(datetime.now(UTC))
    return drift_document(*drifts(reader, window, environment=question.environment), window)


def answer_value(reader: StatementReader, question: Question) -> dict[str, Any]:
    """What the handshakes of a range meant for users."""
    window = question.window(datetime.now(UTC))
    found = business_value(reader, window, environment=question.environment, settings=question.settings)
    return found.to_document()


def answer_tune(reader: StatementReader, question: Question, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be done next with each environment's policy: see ``acceptfirst_analysis.loop.look``."""
    settings = LoopSettings(
        is_automatic=bool(options.get("is_automatic", False)),
        share=float(options.get("share", LoopSettings().share)),
        canary=CanarySettings(slo=question.slo),
        recommendation=question.settings,
    )
    outlooks = look(reader, usable_catalogue(), now=datetime.now(UTC), settings=settings)
    return {"schema_version": 1, "outlooks": [dataclasses.asdict(outlook) for outlook in outlooks]}


ANSWERS: Final[dict[str, Callable[[StatementReader, Question], dict[str, Any]]]] = {
    "recommend": answer_recommend,
    "report": answer_report,
    "verify": answer_verify,
    "drift": answer_drift,
    "value": answer_value,
}


def answer(
    job: str, reader: StatementReader, question: Question, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Answer one question.

    Args:
        job: one of ``ANSWERS``, or ``tune``.
        reader: an open ``Database`` or a ``RemoteStore``.
        question: which handshakes.
        options: of ``tune``: ``is_automatic`` and ``share``.

    Raises:
        CommandError: with its exit code, for whatever the person who asked can do something about.
        StoreError: when the store can't be read.
    """
    try:
        if job == "tune":
            return answer_tune(reader, question, options or {})
        return ANSWERS[job](reader, question)
    except QuestionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except EnvironmentUnseenError as error:
        known = question.environment in ENVIRONMENTS
        raise CommandError(str(error.args[0]), ExitCode.NOT_ENOUGH_DATA if known else ExitCode.USAGE) from error


def main(arguments: list[str], request: str) -> dict[str, Any]:
    """Answer what came on standard input; an error is an answer too."""
    try:
        asked = json.loads(request)
        with _reader(asked) as reader:
            return answer(arguments[0], reader, Question.read(asked["question"]), asked.get("options"))
    except QuestionError as error:
        return {"error": str(error), "exit_code": ExitCode.USAGE}
    except CommandError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except StoreError as error:
        return {"error": str(error), "exit_code": ExitCode.UNREACHABLE}


@contextmanager
def _reader(asked: Mapping[str, Any]) -> Iterator[StatementReader]:
    if "dsn" not in asked:
        yield RemoteStore(asked["url"], asked["token"] or None, asked.get("certificate", ""))
        return
    with open_database(asked["dsn"]) as database:
        yield database


if __name__ == "__main__":
    json.dump(main(sys.argv[1:], sys.stdin.read()), sys.stdout)
