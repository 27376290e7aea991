"""The demo's own folder: begun afresh each time, and never a folder that somebody else uses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acceptfirst_cli.errors import CommandError, ExitCode

MARK: Final = ".acceptfirst-demo"


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where a demo keeps what it makes.

    Attributes:
        path: the folder itself, absolute.
    """

    path: Path

    @property
    def collector(self) -> Path:
        """The collector's data directory: its log and its store."""
        return self.path / "collector"

    @property
    def chat(self) -> Path:
        """Policies, ledgers and what the processes printed."""
        return self.path / "chat"

    @property
    def summary(self) -> Path:
        """The figures."""
        return self.path / "summary.json"

    @property
    def report_html(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def report_markdown(self) -> Path:
        """The same for a pull request."""
        return self.path / "report.md"

    def begin(self) -> None:
        """Make the folder, without what an earlier demo left in it.

        Raises:
            CommandError: when the folder holds something that no demo put there.
        """
        mark = self.path / MARK
        if self.path.exists() and not mark.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise CommandError(
                f"expected --data-dir to be empty, new, or of an earlier demo, but {self.path} is none of these; "
                "choose another",
                ExitCode.USAGE,
            )
        try:
            self._clear()
            self.chat.mkdir(parents=True)
            mark.touch()
        except OSError as error:
            raise CommandError(f"the demo can't write to {self.path}: {error}") from error

    def _clear(self) -> None:
        for made in (self.collector, self.chat):
            if made.exists():
                shutil.rmtree(made)
        for made in (self.summary, self.report_html, self.report_markdown):
            made.unlink(missing_ok=True)
