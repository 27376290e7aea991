"""What the jobs of this process did last: for `status`, gone when the process ends."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@dataclasses.dataclass(frozen=True)
class JobRun:
    """One run of a job.

    Attributes:
        job: its name.
        started_at: when.
        seconds: how long it took; `None` while it runs.
        error: why it failed; empty if it didn't.
    """

    job: str
    started_at: dt.datetime
    seconds: float | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `status` has it."""
        state = "running" if self.seconds is None else "failed" if self.error else "done"
        return {
            "job": self.job,
            "state": state,
            "started_at": self.started_at.isoformat(),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "error": self.error,
        }


class JobHistory:
    """The last run of each job; safe to use from every thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._runs: dict[str, JobRun] = {}

    @contextmanager
    def running(self, job: str) -> Iterator[None]:
        """Note a run for as long as the block lasts; an exception that leaves it is its error, and passes."""
        run = JobRun(job, dt.datetime.now(dt.UTC))
        self._note(run)
        error = ""
        try:
            yield
        except Exception as failure:
            error = str(failure)
            raise
        finally:
            seconds = (dt.datetime.now(dt.UTC) - run.started_at).total_seconds()
            self._note(dataclasses.replace(run, seconds=seconds, error=error))

    def runs(self) -> list[JobRun]:
        """The last run of each, the latest first."""
        with self._guard:
            return sorted(self._runs.values(), key=lambda run: run.started_at, reverse=True)

    def _note(self, run: JobRun) -> None:
        with self._guard:
            self._runs[run.job] = run
