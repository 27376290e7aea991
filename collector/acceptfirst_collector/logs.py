"""The collector's own log: lines for people, or one JSON object a line for whoever collects logs."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import Any

TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

#: What must never be written, whoever wrote it: the password of an address, and a bearer token.
_SECRETS = (
    (re.compile(r"(://[^:/@\s]*):[^@\s/]*@"), r"\1:********@"),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]+"), r"\1********"),
)


def start_logging(level: str, form: str) -> None:
    """Send everything to standard error; called again, it changes level and form.

    Args:
        level: one of `LEVELS`.
        form: one of `FORMATS`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines(TEXT_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def without_secrets(text: str) -> str:
    """The text with passwords and tokens masked."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


class Lines(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several with a traceback."""
        return without_secrets(super().format(record))


class JsonLines(logging.Formatter):
    """For programs: `time`, `level`, `logger`, `message`, and `audit` and `exception` where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line."""
        entry: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if audit := getattr(record, "audit", None):
            entry["audit"] = audit
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({key: _masked(value) for key, value in entry.items()}, ensure_ascii=False, default=str)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return without_secrets(value) if isinstance(value, str) else value
