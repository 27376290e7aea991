"""Answers questions that need the statistics: in a process of its own for ``serve``, in this one for a store.

``python -m acceptfirst_cli.worker recommend`` reads ``{"url", "token", "question"}`` from standard input, reads the
store through the collector at that URL, and prints one JSON object: the answer, or ``{"error", "exit_code"}``. So what
the statistics need (well over 100 MB) is gone again when the answer is there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_analysis.recommend import EnvironmentUnseenError, StatementReader, recommend, to_document
from acceptfirst_analysis.report.gather import gather
from acceptfirst_analysis.report.mail import render_mail
from acceptfirst_analysis.report.render import render_html, render_json, render_markdown
from acceptfirst_cli.catalogues import usable_catalogue
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.question import Question, QuestionError
from acceptfirst_store.errors import StoreError
from acceptfirst_store.remote import RemoteStore

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


ANSWERS: Final[dict[str, Callable[[StatementReader, Question], dict[str, Any]]]] = {
    "recommend": answer_recommend,
    "report": answer_report,
}


def answer(job: str, reader: StatementReader, question: Question) -> dict[str, Any]:
    """Answer one question.

    Raises:
        CommandError: with its exit code, for whatever the person who asked can do something about.
        StoreError: when the store can't be read.
    """
    try:
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
        reader = RemoteStore(asked["url"], asked["token"] or None)
        return answer(arguments[0], reader, Question.read(asked["question"]))
    except QuestionError as error:
        return {"error": str(error), "exit_code": ExitCode.USAGE}
    except CommandError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    except StoreError as error:
        return {"error": str(error), "exit_code": ExitCode.UNREACHABLE}


if __name__ == "__main__":
    json.dump(main(sys.argv[1:], sys.stdin.read()), sys.stdout)
