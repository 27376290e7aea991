"""The pages of docs/reference/ that say what the code says; `docs/generate.py` writes them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from acceptfirst_cli.jobs.routes import Extension
from acceptfirst_collector.app import create_app
from acceptfirst_collector.openapi import document
from acceptfirst_collector.services import Services
from acceptfirst_collector.settings import CollectorSettings
from reference_pages.command_line import command_line_page, settings_page
from reference_pages.http_api import http_api_page
from reference_pages.python_api import python_api_page
from reference_pages.store_and_metrics import metrics_page, tables_page


def reference_pages() -> dict[str, str]:
    """Every page of the reference: its path below docs/, and its text. Opens an embedded store while it runs."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "reference/command-line.md": command_line_page(),
            "reference/settings.md": settings_page(),
            "reference/python.md": python_api_page(),
            **_of_a_collector(Path(folder)),
        }


def _of_a_collector(folder: Path) -> dict[str, str]:
    """What only an open collector knows: its routes, its metrics, and the tables in its store."""
    services = Services(CollectorSettings(data_dir=folder, port=0))
    try:
        app = create_app(services, extend=Extension(None))
        return {
            "reference/http-api.md": http_api_page(document(app)),
            "reference/tables.md": tables_page(services.database),
            "reference/collector-metrics.md": metrics_page(app),
        }
    finally:
        services.close()
