"""Puts the page into a collector."""

from __future__ import annotations

from fastapi import FastAPI

from acceptfirst_analysis.page.board import AlertReader, Board
from acceptfirst_cli.asking.catalogues import usable_catalogue
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.page.routes import page_routes
from acceptfirst_cli.page.session import PageSession
from acceptfirst_collector.services import Services


def mount_page(app: FastAPI, services: Services, shelf: ReportShelf, alerts: AlertReader | None = None) -> None:
    """Add the page's routes, and the sessions around all that the collector answers.

    Args:
        app: of the collector, not started yet.
        services: the collector's.
        shelf: the weekly reports that are kept.
        alerts: reads those that are pending or firing; ``None`` where nothing evaluates any.
    """
    board = Board(services.database, usable_catalogue(), alerts=alerts)
    app.include_router(page_routes(board, shelf, lambda: services.url))
    app.add_middleware(PageSession, asks_token=services.tokens.are_required)
