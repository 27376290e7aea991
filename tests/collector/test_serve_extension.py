"""What the composition adds to a collector: its routes get the collector's errors, its services and its token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

#: The real server with two routes more, as the composition adds its jobs.
EXTENDED = """
import pathlib, sys
import chdb
from acceptfirst_collector.server import run
from acceptfirst_collector.settings import CollectorSettings
def extend(app, services):
    @app.get("/api/v1/extra")
    def extra():
        with services.database.sibling() as database:
            return {"url": services.url, "answer": database.rows("SELECT 42 AS answer")[0]["answer"]}
    @app.get("/api/v1/broken")
    def broken():
        raise ZeroDivisionError("secret detail")
run(CollectorSettings(data_dir=pathlib.Path(sys.argv[4]), port=0, token="t"), extend=extend)
"""


@pytest.fixture
def extended(start_serve: Any) -> Any:
    """Start a serve process with the routes above."""
    return start_serve(code=EXTENDED)


def test_serve_gives_added_routes_its_services_and_its_token(extended: Any) -> None:
    """A route of the composition reads through a client of its own, behind the same token."""
    url = f"{extended.url}/api/v1/extra"
    assert httpx.get(url).status_code == 401
    answer = httpx.get(url, headers={"Authorization": "Bearer t"})
    assert answer.json() == {"url": extended.url, "answer": 42}


def test_serve_shows_no_traceback_when_an_added_route_fails(extended: Any) -> None:
    """The client hears that it failed; why stands in the log only."""
    answer = httpx.get(f"{extended.url}/api/v1/broken", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 503
    assert "secret detail" not in answer.text
    assert "secret detail" in extended.stop()
