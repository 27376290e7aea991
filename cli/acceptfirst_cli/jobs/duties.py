"""What the timetable holds: the jobs that nobody should have to remember."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from acceptfirst.environment import ENVIRONMENTS
from acceptfirst_analysis.window import BEGINNING, END, Window, week_before
from acceptfirst_cli.asking.question import Question
from acceptfirst_cli.jobs.hosts import JobHost
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.jobs.mail import MailSettings, send_report
from acceptfirst_cli.jobs.timetable import RESUME, Duty, Result, Say

WRITING_SECONDS: Final = 60
"""A row may be seen this long after the time that it says it was written at."""

AWAY_SECONDS: Final = 3600
"""A new process looks this much further back, for a store's clock that was set back meanwhile."""

FOREVER: Final = END.isoformat()
"""A handshake from tomorrow, by its own clock, is not looked at again when tomorrow has come."""

_FAR_AHEAD_S: Final = 2**32 - 1  # nothing was written then: asks for the time alone

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

    @property
    def classifier(self) -> str:
        """Another one where the catalogue or the way in which it is used has changed."""
        ...

    def classify(
        self, question: Question, *, touched_since: datetime | None = None, wait: bool = False
    ) -> dict[str, Any]:
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
    """Names the races of connections that something was stored of since the last run; where nothing was, it does none.

    However old a connection is: a span that comes late has it judged again. Where the last run began, by the store's
    clock, is kept with what came of it, so a new process goes on from there. The first run, and one with another
    catalogue, judges everything. A run over a second is followed by a rest nine times as long, so that no traffic makes
    it more than a tenth of a core.
    """

    def __init__(self, jobs: DoesJobs, host: JobHost) -> None:
        self._jobs = jobs
        self._host = host
        self._seen: int | None = None
        self._mark_s: int | None = None
        self._marked_at = 0.0
        self._is_new = True
        self._rests_until = 0.0

    def __call__(self, say: Say) -> Result | None:
        stored, begun = self._host.stored_through(), time.monotonic()
        if begun < self._rests_until or (stored is not None and stored == self._seen):
            return None
        since_s = self._since_s(begun)
        touched = self._touched(since_s or 0)
        found = self._judged(since_s, touched, say)
        now = time.monotonic()
        self._seen, self._mark_s, self._marked_at = stored, int(touched["now_s"]), begun
        self._is_new = False
        self._rests_until = now + RESTS_PER_WORK * (now - begun) if now - begun > SHORT_SECONDS else 0.0
        if found is None:
            return None
        message = f"{found['occurrences']} races in {found['connections']} handshakes"
        resume = {"mark_s": self._mark_s, "classifier": self._jobs.classifier}
        return {"message": message, "patterns": found["patterns"], RESUME: resume}

    def _judged(self, since_s: int | None, touched: Mapping[str, Any], say: Say) -> Mapping[str, Any] | None:
        if since_s is None:
            say("all handshakes")
            return self._jobs.classify(Question(since=BEGINNING.isoformat(), until=FOREVER), wait=True)
        if not int(touched["n"]):
            return None
        since = datetime.fromtimestamp(since_s, UTC)
        say(f"handshakes of which something was stored since {since:%Y-%m-%d %H:%M} UTC")
        began: datetime = touched["began"]
        return self._jobs.classify(
            Question(since=began.astimezone(UTC).isoformat(), until=FOREVER), touched_since=since, wait=True
        )

    def _since_s(self, begun: float) -> int | None:
        """From when on, by the store's clock; ``None`` for everything."""
        if self._is_new:
            return self._resumed_s()
        if self._mark_s is None:
            return None
        # Where the store's clock was set back, what was stored since lies before the mark, but within what has passed.
        passed_s = math.ceil(begun - self._marked_at)
        return max(0, min(self._mark_s, self._now_s() - passed_s) - WRITING_SECONDS)

    def _resumed_s(self) -> int | None:
        rows = self._host.database.statement_rows("job_states")
        kept = next((_resume_of(row["result"]) for row in rows if row["job"] == "classify"), {})
        if kept.get("classifier") != self._jobs.classifier or not isinstance(kept.get("mark_s"), int):
            return None
        mark_s: int = kept["mark_s"]
        # Nobody knows how long it was away, so a clock that shows less than the mark says nothing.
        return None if self._now_s() < mark_s else max(0, mark_s - AWAY_SECONDS)

    def _now_s(self) -> int:
        return int(self._touched(_FAR_AHEAD_S)["now_s"])

    def _touched(self, since_s: int) -> Mapping[str, Any]:
        return self._host.database.statement_rows("touched_connections", {"touched": since_s})[0]


def _resume_of(result: str) -> Mapping[str, Any]:
    try:
        found = json.loads(result)
    except ValueError:
        return {}
    kept = found.get(RESUME) if isinstance(found, dict) else None
    return kept if isinstance(kept, dict) else {}


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
