"""What the timetable holds: the jobs that nobody should have to remember."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_analysis.window import BEGINNING, Window, week_before
from acceptfirst_cli.hosts import JobHost
from acceptfirst_cli.kept_reports import ReportShelf
from acceptfirst_cli.mail import MailSettings, send_report
from acceptfirst_cli.question import Question
from acceptfirst_cli.timetable import Duty, Result, Say

LOOK_BACK: Final = timedelta(hours=26)
"""How long after its first span a connection is looked at again each time: most have ended by then."""

FULL_LOOK_SECONDS: Final = 3600.0
LATE_SPANS: Final = timedelta(hours=1)


@dataclasses.dataclass(frozen=True, slots=True)
class DutySettings:
    """How the timetable runs.

    Attributes:
        is_automatic: whether the loop tries its proposals and promotes good canaries without a person.
        share: of the connections that it tries them on.
        mail: where the weekly report is sent; ``None`` for nowhere.
    """

    is_automatic: bool = False
    share: float = 0.1
    mail: MailSettings | None = None


class DoesJobs(Protocol):
    """Whoever does the jobs: ``acceptfirst_cli.jobs.Jobs``."""

    def classify(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Classify what is stored."""
        ...

    def recommend(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Recommend, and keep it."""
        ...

    def report(self, question: Question, *, wait: bool = False) -> dict[str, Any]:
        """Make a report."""
        ...

    def tune(self, options: Mapping[str, Any]) -> list[dict[str, str]]:
        """Do what is next with each policy."""
        ...


def duties_of(jobs: DoesJobs, host: JobHost, settings: DutySettings) -> list[Duty]:
    """The duties of a collector or of a worker beside a store.

    Args:
        jobs: does them.
        host: what they are for.
        settings: how the loop runs.
    """
    return [
        Duty("classify", "* * * * *", _Classify(jobs, host)),
        Duty("tune", "* * * * *", _Tune(jobs, host, settings)),
        Duty("recommend", "20 * * * *", _Recommend(jobs, host)),
        Duty("report", "40 1 * * mon", _Report(jobs, host, settings.mail)),
    ]


class _Classify:
    """Names the races in what came in; where nothing did, there is nothing to do."""

    def __init__(self, jobs: DoesJobs, host: JobHost) -> None:
        self._jobs = jobs
        self._host = host
        self._seen: int | None = None
        self._is_first = True

    def __call__(self, say: Say) -> Result | None:
        stored = self._host.stored_through()
        if stored is not None and stored == self._seen:
            return None
        since = BEGINNING if self._is_first else datetime.now(UTC) - LOOK_BACK
        say("all of it, once" if self._is_first else f"handshakes since {since:%Y-%m-%d %H:%M} UTC")
        found = self._jobs.classify(Question(since=since.isoformat()), wait=True)
        self._seen, self._is_first = stored, False
        message = f"{found['occurrences']} races in {found['connections']} handshakes"
        return {"message": message, "patterns": found["patterns"]}


class _Tune:
    """The closed loop. A worker is started only where a change is under way; else once an hour."""

    def __init__(self, jobs: DoesJobs, host: JobHost, settings: DutySettings) -> None:
        self._jobs = jobs
        self._host = host
        self._options = {"is_automatic": settings.is_automatic, "share": settings.share}
        self._looked_at = -FULL_LOOK_SECONDS

    def __call__(self, say: Say) -> Result | None:
        now = time.monotonic()
        if now - self._looked_at < FULL_LOOK_SECONDS and not self._is_under_way():
            return None
        say("looks at each environment's policy")
        outlooks = self._jobs.tune(self._options)
        self._looked_at = now
        done = [f"{row['environment']}: {row['done']}" for row in outlooks if "done" in row]
        return {"message": ", ".join(done) or "no step to take", "environments": outlooks}

    def _is_under_way(self) -> bool:
        return any(self._host.policies.state(name).candidate is not None for name in ENVIRONMENTS)


class _Recommend:
    """The last complete week binds; until there is one, the current one is recommended from, as provisional."""

    def __init__(self, jobs: DoesJobs, host: JobHost) -> None:
        self._jobs = jobs
        self._host = host
        self._week_done = ""

    def __call__(self, say: Say) -> Result | None:
        now = datetime.now(UTC)
        week = week_before(now - LATE_SPANS, now=now)
        if _holds_handshakes(self._host, week):
            if self._week_done == week.week:
                return None
            question = Question(week=str(week.week))
        elif _holds_handshakes(self._host, Window(week.until, now, provisional=True)):
            question = Question(since=week.until.isoformat())
        else:
            return None
        say(f"week {week.week}" if question.week else "the week that is not over yet")
        rows = self._jobs.recommend(question, wait=True)["recommendations"]
        self._week_done = question.week
        verdicts = sorted(str(row["verdict"]) for row in rows)
        counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
        return {"message": f"{len(rows)} recommendations", "week": question.week, "verdicts": counts}


class _Report:
    """The report of the last complete week, kept and sent; where only the mail failed, only that is done again."""

    def __init__(self, jobs: DoesJobs, host: JobHost, mail: MailSettings | None) -> None:
        self._jobs = jobs
        self._host = host
        self._mail = mail
        self._shelf = ReportShelf(host.reports)
        self._made = ""

    def __call__(self, say: Say) -> Result | None:
        now = datetime.now(UTC)
        window = week_before(now, now=now)
        week = str(window.week)
        if not _holds_handshakes(self._host, window):
            return None
        if self._made != week:
            say(f"week {week}")
            self._jobs.report(Question(week=week), wait=True)
            self._made = week
        message = f"the report of week {week} is kept"
        if self._mail is not None:
            say(f"week {week}: to {self._mail.host}")
            send_report(self._shelf.read(week, "email") or "", self._mail)
            message += f" and sent to {', '.join(self._mail.recipients)}"
        kept = next((report for report in self._shelf.reports() if report.name == week), None)
        return {"message": message, "week": week, "formats": list(kept.formats) if kept else []}


def _holds_handshakes(host: JobHost, week: Window) -> bool:
    return bool(host.database.statement_rows("any_handshake", {"environment": "", **week.parameters}))
