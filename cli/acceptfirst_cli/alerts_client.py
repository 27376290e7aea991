"""Alerts for the command line: from a store that it opens, or from a running collector."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from acceptfirst_analysis.alerts.settings import AlertSettings, AlertSettingsError, load_alert_settings
from acceptfirst_cli.alert_answers import alerts_document, check_document
from acceptfirst_cli.errors import CommandError, ExitCode
from acceptfirst_cli.question import Question, QuestionError
from acceptfirst_cli.source import Source

PATIENCE_S: Final = 150.0
_CODES: Final = {400: ExitCode.USAGE, 401: ExitCode.USAGE, 403: ExitCode.USAGE, 404: ExitCode.FAILURE}


def settings_from(path: Path | None) -> AlertSettings:
    """The settings in a file, or those without one.

    Raises:
        CommandError: it can't be used.
    """
    if path is None:
        return AlertSettings()
    try:
        return load_alert_settings(path)
    except AlertSettingsError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error


def listed(source: Source, filters: Mapping[str, Any], settings: AlertSettings) -> dict[str, Any]:
    """The document of ``alerts list --json``.

    Args:
        source: a store, or a collector.
        filters: query parameters of ``GET /api/v1/alerts``.
        settings: for a store; a collector has its own.

    Raises:
        CommandError: nothing answers, or the filters can't be used.
        StoreError: the store can't be read.
    """
    given = {name: value for name, value in filters.items() if value not in ("", None)}
    if source.url:
        return _asked(source, "GET", "alerts", params=given)
    with source.database() as database:
        return alerts_document(database, given, settings)


def checked(source: Source, question: Question, settings: AlertSettings) -> dict[str, Any]:
    """The document of ``alerts check --json``; arguments and errors as in ``listed``."""
    if source.url:
        wanted = {name: getattr(question, name) for name in ("environment", "since", "until", "week")}
        return _asked(source, "POST", "jobs/alerts", json={"check": True, **wanted})
    with source.database() as database:
        importlib.import_module("acceptfirst_store.rollup").refresh_rollup(database)
        try:
            return check_document(database, question, settings)
        except QuestionError as error:
            raise CommandError(str(error), ExitCode.USAGE) from error


def default_alerts_file(data_dir: Path) -> Path | None:
    """``alerts.toml`` in the data directory, where it is."""
    path = data_dir / "alerts.toml"
    return path if os.path.lexists(path) else None


def _asked(source: Source, method: str, path: str, **body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {source.token}"} if source.token else {}
    try:
        # A collector is a neighbour: a proxy that the environment names for the web would not find it.
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            response = client.request(method, f"{source.url}/api/v1/{path}", headers=headers, **body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandError(f"nothing answers at {source.url}: {error}", ExitCode.UNREACHABLE) from error
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.is_success and isinstance(document, dict):
        return document
    message = document.get("message", response.reason_phrase) if isinstance(document, dict) else response.reason_phrase
    code = _CODES.get(response.status_code, ExitCode.UNREACHABLE)
    raise CommandError(f"{source.url} answered {response.status_code}: {message}", code)
