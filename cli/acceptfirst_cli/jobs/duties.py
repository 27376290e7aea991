"""What the timetable holds: the jobs that nobody should have to remember."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_analysis.window import BEGINNING, Window, week_before
from acceptfirst_cli.asking.question import Question
from acceptfirst_cli.jobs.hosts import JobHost
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.jobs.mail import MailSettings, send_report
from acceptfirst_cli.jobs.timetable import Duty, Result, Say

LOOK_BACK: Final = timedelta(hours=1)
LONG_LOOK_BACK: Final = timedelta(hours=26)
"""How long after its first span a connection is still looked at, each minute and each hour."""

LONG_LOOK_SECONDS: Final = 3600.0
RESTS_PER_WORK: Final = 9
SHORT_SECONDS: Final = 1.0

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
    """Whoever does the jobs: ``acceptfirst_cli.jobs.routes.Jobs``."""

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
    """Names the races in what came in; where nothing did, there is nothing to do.

    Each minute the latest hour, since most connections end within it; each hour the latest day, for those that did not.
    A run over a second is followed by a rest nine times as long, so that no traffic makes it more than a tenth of a
    core.
    """

    def __init__(self, jobs: DoesJobs, host: JobHost) -> None:
        self._jobs = jobs
        self._host = host
        self._seen: int | None = None
        self._long_look_at = 0.0
        self._rests_until = 0.0

    def __call__(self, say: Say) -> Result | None:
        stored, begun = self._host.stored_through(), time.monotonic()
        if begun < self._rests_until or (stored is not None and stored == self._seen):
            return None
        is_long = begun >= self._long_look_at
        since = self._since() if is_long else datetime.now(UTC) - LOOK_BACK
        say(f"handshakes since {since:%Y-%m-%d %H:%M} UTC")
        found = self._jobs.classify(Question(since=since.isoformat()), wait=True)
        now = time.monotonic()
        if is_long:
            self._long_look_at = begun + LONG_LOOK_SECONDS
        self._seen = stored
        self._rests_until = now + RESTS_PER_WORK * (now - begun) if now - begun > SHORT_SECONDS else 0.0
        message = f"{found['occurrences']} races in {found['connections']} handshakes"
        return {"message": message, "patterns": found["patterns"]}

    def _since(self) -> datetime:
        """A day before the last success; all of it where there was none."""
        rows = self._host.database.statement_rows("job_states")
        succeeded = [row["succeeded_at"] for row in rows if row["job"] == "classify" and row["outcome"] == "ok"]
        return max(BEGINNING, succeeded[0] - LONG_LOOK_BACK) if succeeded else BEGINNING


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
