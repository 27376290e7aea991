"""The weekly reports that are kept: files in the data directory, one a week, environment and form.

    reports/2026-W47.html              all environments
    reports/2026-W47.production.json   one of them

Files, since people copy them, attach them and look at last year's; the store forgets after its retention.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

EXTENSIONS: Final = {"html": "html", "md": "md", "json": "json", "email": "eml"}
"""Form of a report: ending of its file."""

LISTED_MAX: Final = 520  # ten years of weeks
_FILE: Final = re.compile(r"(\d{4}-W\d{2})(?:\.([a-z]+))?\.(html|md|json|eml)")
_NAME: Final = re.compile(r"\d{4}-W\d{2}(?:\.[a-z]+)?")
_FORMATS: Final = {ending: form for form, ending in EXTENSIONS.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class KeptReport:
    """One report in all its forms.

    Attributes:
        name: of its files, without the ending.
        week: ISO week.
        environment: empty for all.
        generated_at: when it was written, ISO 8601, UTC.
        formats: that it is kept in.
    """

    name: str
    week: str
    environment: str
    generated_at: str
    formats: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the API lists it."""
        return {**dataclasses.asdict(self), "formats": list(self.formats)}


class ReportShelf:
    """The reports of one folder, which the first that is kept makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, week: str, environment: str, documents: Mapping[str, str]) -> KeptReport:
        """Keep a report in each of its forms, in place of the one before.

        Args:
            week: ISO week.
            environment: empty for all.
            documents: form to text.

        Raises:
            OSError: it can't be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{week}.{environment}" if environment else week
        if not _NAME.fullmatch(name):
            raise ValueError(f"expected an ISO week and an environment, but got {name!r}")
        for form, text in documents.items():
            path = self._folder / f"{name}.{EXTENSIONS[form]}"
            temporary = path.with_suffix(path.suffix + ".new")
            temporary.write_text(text, encoding="utf-8", newline="")
            os.replace(temporary, path)  # noqa: PTH105 - whoever reads meanwhile has the old one, whole
        return next(report for report in self.reports() if report.name == name)

    def reports(self) -> list[KeptReport]:
        """What is kept, the newest week first, all environments before one."""
        if not self._folder.is_dir():
            return []
        found: dict[tuple[str, str], dict[str, float]] = {}
        for path in self._folder.iterdir():
            if match := _FILE.fullmatch(path.name):
                week, environment, ending = match.groups(default="")
                found.setdefault((week, environment), {})[_FORMATS[ending]] = path.stat().st_mtime
        rows = [_report(week, environment, written) for (week, environment), written in found.items()]
        rows.sort(key=lambda report: report.environment)
        rows.sort(key=lambda report: report.week, reverse=True)
        return rows[:LISTED_MAX]

    def read(self, name: str, form: str) -> str | None:
        """A report's text, or ``None`` where it is not kept.

        Args:
            name: of a ``KeptReport``; nothing else is looked for, wherever the name comes from.
            form: of ``EXTENSIONS``.
        """
        if not _NAME.fullmatch(name) or form not in EXTENSIONS:
            return None
        try:
            return (self._folder / f"{name}.{EXTENSIONS[form]}").read_text(encoding="utf-8")
        except OSError:
            return None


def _report(week: str, environment: str, written: Mapping[str, float]) -> KeptReport:
    return KeptReport(
        name=f"{week}.{environment}" if environment else week,
        week=week,
        environment=environment,
        generated_at=datetime.fromtimestamp(max(written.values()), UTC).isoformat(timespec="seconds"),
        formats=tuple(form for form in EXTENSIONS if form in written),
    )
