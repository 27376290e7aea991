"""Says on stderr what the demo is doing: a moving line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Narrator:
    """Tells one step after another.

    Args:
        stream: where to; one that is no terminal gets nothing, as from every verb.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._started_s = time.monotonic()
        self._progress = _progress(self._stream) if self._stream.isatty() else None
        self._task: TaskID | None = None

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._started_s

    def step(self, text: str, total: int | None = None) -> None:
        """The next step began; ``total`` is how many things it consists of, where that is known."""
        if self._progress is None:
            return
        self._finish_task()
        self._task = self._progress.add_task(text, total=total)

    def advance(self) -> None:
        """One of the step's things is done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)

    def stop(self) -> None:
        """The last step is done: leave the terminal to others."""
        self._finish_task()
        self._task = None
        if self._progress is not None:
            self._progress.stop()

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()  # without finishing the step: it was not, or ``stop`` has done so already

    def _finish_task(self) -> None:
        if self._progress is not None and self._task is not None:
            task = self._progress.tasks[self._task]
            total = task.total if task.total is not None else 1
            self._progress.update(self._task, total=total, completed=total)


def _progress(stream: TextIO) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=stream),
    )
