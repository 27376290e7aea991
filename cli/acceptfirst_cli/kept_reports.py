"""The weekly reports that the timetable wrote: listed for the live page, and given out as files."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from acceptfirst_cli.question import FORMATS
from acceptfirst_collector.otlp.refusal import RefusedError

MEDIA_TYPES: Final = {"html": "text/html", "md": "text/markdown", "json": "application/json"}

_NAME: Final = re.compile(r"(\d{4}-W\d{2})\.(html|md|json)")


def write_report(folder: Path, week: str, form: str, text: str) -> str:
    """Put a report in its place as a whole: a reader never sees half of it. Gives its name.

    Args:
        folder: made where there is none.
        week: an ISO week.
        form: ``html``, ``md`` or ``json``.
        text: the report.
    """
    name = f"{week}.{form}"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.new"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / name)
    return name


def kept_reports(folder: Path) -> list[dict[str, Any]]:
    """What is kept, the newest week first.

    Args:
        folder: where they are; empty or missing for none.

    Returns:
        ``week``, ``environment`` (empty for all), ``generated_at``, ``formats``, ``name`` (the file's, without format).
    """
    found: dict[str, list[Path]] = {}
    for path in folder.glob("*-W*.*"):
        if matched := _NAME.fullmatch(path.name):
            found.setdefault(matched[1], []).append(path)
    return [_kept(week, found[week]) for week in sorted(found, reverse=True)]


def _kept(week: str, paths: list[Path]) -> dict[str, Any]:
    made_at = max(datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in paths)
    forms = [form for form in FORMATS if any(path.suffix == f".{form}" for path in paths)]
    generated_at = made_at.isoformat(timespec="seconds")
    return {"week": week, "environment": "", "generated_at": generated_at, "formats": forms, "name": week}


def kept_report_routes(folder: Path) -> APIRouter:
    """``GET /reports/2026-W47.html``: a kept report as it was written.

    Args:
        folder: where they are.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/reports/{name}")
    def report(name: str) -> Response:
        """The file; only names that a report can have are looked for."""
        matched = _NAME.fullmatch(name)
        if matched is None or not (folder / name).is_file():
            raise RefusedError(404, f"no report {name[:64]!r} is kept")
        return FileResponse(folder / name, media_type=MEDIA_TYPES[matched[2]])

    return router
