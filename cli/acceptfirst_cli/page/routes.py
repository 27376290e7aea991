"""The page's paths. Each answer is HTML, also where something is wrong: whoever reads it is a person."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import unquote

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from acceptfirst.environment import UnknownEnvironmentError, normalise_environment
from acceptfirst_analysis.page import reading, render, single
from acceptfirst_analysis.page.board import Board
from acceptfirst_cli.jobs.kept_reports import ReportShelf
from acceptfirst_cli.page.documents import HEADERS, asset, document, report_file
from acceptfirst_store.errors import StoreError

EVENT_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 15.0
VIEWERS_MAX: Final = 100
ENVIRONMENT_LENGTH_MAX: Final = 256
NOT_FOUND: Final = 404
UNAVAILABLE: Final = 503
READ_HERE: Final = {"html": "text/html", "md": "text/plain", "json": "application/json"}
"""Forms of a kept report that a browser can show."""


class Viewers:
    """How many look at the page now; each costs a task, so there is a limit."""

    def __init__(self) -> None:
        self.count = 0


def page_routes(board: Board, shelf: ReportShelf, address: Callable[[], str]) -> APIRouter:
    """Make the routes.

    Args:
        board: makes the live page's parts.
        shelf: the weekly reports that are kept.
        address: gives the collector's URL, which is known once it listens.
    """
    router = APIRouter(include_in_schema=False)
    viewers = Viewers()

    async def home(request: Request) -> Response:
        return await _drawn(functools.partial(_home, address=address()), board, request)

    async def events(request: Request) -> Response:
        if viewers.count >= VIEWERS_MAX:
            return Response("too many look at this page", UNAVAILABLE, {"Retry-After": "30"}, "text/plain")
        stream = _events(board, viewers, request)
        return StreamingResponse(
            stream, headers={**HEADERS, "Cache-Control": "no-store"}, media_type="text/event-stream"
        )

    async def connection(request: Request) -> Response:
        return await _drawn(_connection, board, request)

    async def patterns(request: Request) -> Response:
        return await _drawn(_patterns, board, request)

    async def pattern(request: Request) -> Response:
        return await _drawn(_pattern, board, request)

    async def kept(request: Request) -> Response:
        rows = [report.to_json() for report in await run_in_threadpool(shelf.reports)]
        return document(render.reports(rows, has_session=_has_session(request)))

    async def report(request: Request) -> Response:
        return await run_in_threadpool(_report, shelf, request)

    for path, endpoint in {
        "/": home,
        "/events": events,
        "/connections/{connection_id}": connection,
        "/patterns": patterns,
        "/patterns/{name}": pattern,
        "/reports": kept,
        "/reports/{file}": report,
        "/assets/{name}": _asset,
    }.items():
        router.add_route(path, endpoint, methods=["GET"], include_in_schema=False)
    return router


async def _drawn(draw: Callable[[Board, Request], Response], board: Board, request: Request) -> Response:
    """Draw in a thread, since it reads the store; where that can't be read, say so on a page of its own."""
    try:
        return await run_in_threadpool(draw, board, request)
    except StoreError as error:
        text = f"The store can’t be read now: {error}"  # noqa: RUF001 - an apostrophe
        return document(
            render.message("No answer from the store", text, has_session=_has_session(request)), UNAVAILABLE
        )


def _home(board: Board, request: Request, *, address: str) -> Response:
    environment = _environment(request)
    racing_only = _racing_only(request)
    html = render.home(
        board.parts(environment, racing_only=racing_only),
        board.environments(),
        environment,
        address=address,
        is_paused=request.query_params.get("paused") == "1",
        has_session=_has_session(request),
        racing_only=racing_only,
    )
    return document(html)


def _connection(board: Board, request: Request) -> Response:
    asked = str(request.path_params["connection_id"]).lower()
    found = single.connection(board.reader, board.catalogue, asked) if single.CONNECTION_ID.fullmatch(asked) else None
    if found is None:
        text = f"No connection {asked} is stored. An id has 32 hexadecimal digits; a note in a traceback names one."
        return document(render.message("No such connection", text, has_session=_has_session(request)), NOT_FOUND)
    return document(render.connection(found, has_session=_has_session(request)))


def _patterns(board: Board, request: Request) -> Response:
    counts = {race.name: race.total for race in reading.races(board.reader, board.catalogue, "", board.clock())}
    return document(render.patterns(board.catalogue, counts, has_session=_has_session(request)))


def _pattern(board: Board, request: Request) -> Response:
    name = unquote(str(request.path_params["name"]))
    known = reading.known_pattern(board.catalogue, name)
    if known is None:
        text = f"The catalogue here has no pattern {name}. A process may have a file of its own (ACCEPTFIRST_PATTERNS)."
        return document(render.message("No such race", text, has_session=_has_session(request)), NOT_FOUND)
    environment = _environment(request)
    seen = single.pattern_seen(board.reader, known, environment, board.clock())
    return document(render.pattern(seen, environment, has_session=_has_session(request)))


def _report(shelf: ReportShelf, request: Request) -> Response:
    name, _, form = str(request.path_params["file"]).rpartition(".")
    text = shelf.read(name, form) if form in READ_HERE else None
    if text is None:
        html = render.message("No such report", "None of that week is kept.", has_session=_has_session(request))
        return document(html, NOT_FOUND)
    return report_file(text, READ_HERE[form])


async def _asset(request: Request) -> Response:
    return asset(str(request.path_params["name"]))


async def _events(board: Board, viewers: Viewers, request: Request) -> AsyncIterator[str]:
    """What has changed since the last second, as server-sent events; a comment now and then keeps the line open."""
    viewers.count += 1
    asked = functools.partial(board.parts, _environment(request), racing_only=_racing_only(request))
    sent: dict[str, str] = {}
    silent_s = 0.0
    try:
        yield "retry: 3000\n\n"
        at_first = await run_in_threadpool(board.environments)
        while not await request.is_disconnected():
            seen = at_first or await run_in_threadpool(board.environments)
            if seen and not at_first:
                yield "event: reload\ndata: the first handshake is there\n\n"
                return
            parts = await run_in_threadpool(asked)
            changed = {name: part for name, part in parts.items() if sent.get(name) != part.digest}
            if changed:
                sent |= {name: part.digest for name, part in changed.items()}
                rows = [{"name": n, "digest": p.digest, "html": str(p.html)} for n, p in changed.items()]
                yield f"event: parts\ndata: {json.dumps(rows)}\n\n"
                silent_s = 0.0
            elif silent_s >= BEAT_SECONDS:
                yield ": still here\n\n"
                silent_s = 0.0
            await asyncio.sleep(EVENT_SECONDS)
            silent_s += EVENT_SECONDS
    finally:
        viewers.count -= 1


def _environment(request: Request) -> str:
    """By its full name; one that is none of ours is looked up as it is, since the page offers what is stored."""
    given = request.query_params.get("environment", "")[:ENVIRONMENT_LENGTH_MAX]
    try:
        return normalise_environment(given) if given else ""
    except UnknownEnvironmentError:
        return given


def _racing_only(request: Request) -> bool:
    return request.query_params.get("racing") == "1"


def _has_session(request: Request) -> bool:
    return bool(getattr(request.state, "has_session", False))
