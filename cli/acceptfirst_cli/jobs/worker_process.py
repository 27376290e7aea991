"""Starts the worker for one job, and ends it: when it takes too long, and when whoever asked goes away."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final

WORKER_SECONDS_MAX: Final = 120.0


class WorkerFailedError(Exception):
    """No answer came; says why."""


class WorkerProcess:
    """One worker at a time; see ``acceptfirst_cli.jobs.worker``."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._is_closed = False

    def ask(self, job: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Start a worker, hand it the request and wait for its answer.

        Args:
            job: its name.
            request: as JSON can hold it. It goes through a pipe, with the token or the password that it holds:
                arguments and variables can be read by others on the machine.

        Raises:
            WorkerFailedError: it failed, or gave no answer in ``WORKER_SECONDS_MAX``, or was closed.
        """
        child = self._start(job)
        try:
            out, errors = child.communicate(json.dumps(request), timeout=WORKER_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise WorkerFailedError(f"the job {job} gave no answer in {WORKER_SECONDS_MAX:g} s") from error
        finally:
            _end(child)
            self._child = None
        if child.returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise WorkerFailedError(f"the job {job} failed: {last}")
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError as error:
            raise WorkerFailedError(f"the job {job} gave no answer: {error}") from error
        return answer

    def close(self) -> None:
        """End the worker that may be running, and start none after it."""
        with self._guard:
            self._is_closed = True
            child = self._child
        if child is not None:
            child.kill()

    def _start(self, job: str) -> subprocess.Popen[str]:
        with self._guard:
            if self._is_closed:
                raise WorkerFailedError(f"the job {job} was not begun: this process is ending")
            try:
                self._child = subprocess.Popen(  # noqa: S603 - our own module, nothing from the request in its arguments
                    [sys.executable, "-m", "acceptfirst_cli.jobs.worker", job],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            except OSError as error:
                raise WorkerFailedError(f"the job {job} can't be begun: {error}") from error
            return self._child


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.kill()
        child.communicate()
