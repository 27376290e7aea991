"""The reading API: named statements as JSON. Every answer has `schema_version`; nothing here writes."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Self

from fastapi import APIRouter, Body, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from acceptfirst.environment import normalise_environment
from acceptfirst_collector.errors_http import SCHEMA_VERSION
from acceptfirst_collector.otlp.refusal import RefusedError
from acceptfirst_collector.paging import page_of
from acceptfirst_collector.services import Services
from acceptfirst_store.database import Database
from acceptfirst_store.results import StatementResult, to_json

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
END = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
_AGE = re.compile(r"(\d{1,12})([smhdw])")
_AGE_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CONNECTION_ID = re.compile(r"[0-9a-fA-F]{32}")

Parameters = Annotated[dict[str, Any], Body(embed=True)]


def _from_age(value: Any) -> Any:
    """Turn an age into the time that it means; anything else is left to whoever reads times."""
    found = _AGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return value
    try:
        return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=int(found[1]) * _AGE_SECONDS[found[2]])
    except OverflowError as error:
        raise ValueError("expected an age that the calendar can hold") from error


def _in_reach(instant: dt.datetime) -> dt.datetime:
    """Refuse what no handshake can be stored under, and not every statement can be asked."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
    if not BEGINNING <= aware <= END:
        raise ValueError(f"expected a time from {BEGINNING:%Y} to {END:%Y}, but got {instant.isoformat()}")
    return aware


def _full_name(environment: str) -> str:
    return normalise_environment(environment) if environment else ""


Instant = Annotated[dt.datetime, BeforeValidator(_from_age), AfterValidator(_in_reach)]
Environment = Annotated[str, AfterValidator(_full_name)]


class Filters(BaseModel):
    """What most reads can be narrowed by; `until` is excluded.

    Times are ISO 8601, UTC if no zone is given, or ages: `90s`, `30m`, `24h`, `7d`, `2w`. An environment is testing,
    development, staging, production, or an alias of one (prod, stage, test, ci, dev) in any case.
    """

    environment: Environment = Field("", max_length=256)
    service: str = Field("", max_length=256)
    route: str = Field("", max_length=256)
    since: Instant = BEGINNING
    until: Instant = END

    @model_validator(mode="after")
    def _require_a_range(self) -> Self:
        if self.since >= self.until:
            raise ValueError(
                f"expected since to lie before until, but got {self.since.isoformat()} and {self.until.isoformat()}"
            )
        return self

    def parameters(self) -> dict[str, Any]:
        """Return them as the named statements take them."""
        names = ("environment", "service", "route")
        return {
            **{name: getattr(self, name) for name in names},
            "since": _in_utc(self.since),
            "until": _in_utc(self.until),
        }


class Page(Filters):
    """Filters, and which page: `cursor` is the `next_cursor` of the page before."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    cursor: str = Field("", pattern=r"^([0-9a-fA-F]{32})?$")


class ListPage(Filters):
    """Filters, and which page of a list that is not of connections."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
    cursor: str = Field("", max_length=4096)


def reading_routes(services: Services) -> APIRouter:
    """Make the routes; they are plain functions, so the framework runs them in threads and the loop stays free."""
    router = APIRouter(prefix="/api/v1")
    _add_handshakes(router, services.database)

    @router.get("/patterns")
    def patterns(page: Annotated[ListPage, Query()]) -> dict[str, Any]:
        """Count the classified patterns by what they are and where they occur, the most frequent first."""
        rows = _json_rows(services.database.statement_result("patterns_summary", page.parameters()))
        shown, next_cursor = page_of(rows, _pattern_key, page.limit, page.cursor)
        return {"schema_version": SCHEMA_VERSION, "patterns": shown, "next_cursor": next_cursor}

    @router.post("/statements/{name}")
    def statement(name: str, parameters: Parameters) -> dict[str, Any]:
        """Run a named statement for whoever works beside this process; `types` says what the columns are."""
        result = services.database.statement_result(name, parameters)
        return {"schema_version": SCHEMA_VERSION, "types": result.types, "rows": _json_rows(result)}

    return router


def _add_handshakes(router: APIRouter, database: Database) -> None:
    @router.get("/handshakes")
    def handshakes(page: Annotated[Page, Query()]) -> dict[str, Any]:
        """List handshakes, the newest first."""
        rows = _json_rows(
            database.statement_result(
                "handshakes_page", {**page.parameters(), "limit": page.limit, "cursor": page.cursor}
            )
        )
        next_cursor = rows[-1]["connection_id"] if len(rows) == page.limit else None
        return {"schema_version": SCHEMA_VERSION, "handshakes": rows, "next_cursor": next_cursor}

    @router.get("/handshakes/{connection_id}")
    def handshake(connection_id: str) -> dict[str, Any]:
        """Return one connection with its transitions."""
        if not _CONNECTION_ID.fullmatch(connection_id):
            raise RefusedError(400, f"expected a connection's id of 32 hex digits; got {connection_id[:64]!r}")
        parameters = {"connection_id": connection_id}
        rows = _json_rows(database.statement_result("handshake_by_id", parameters))
        if not rows:
            raise RefusedError(404, f"no connection {connection_id} is stored")
        transitions = _json_rows(database.statement_result("transitions_by_id", parameters))
        return {"schema_version": SCHEMA_VERSION, "handshake": rows[0], "transitions": transitions}


def _pattern_key(row: dict[str, Any]) -> list[Any]:
    return [-row["occurrences"], *(row[key] for key in ("pattern_type", "environment", "service", "route"))]


def _json_rows(result: StatementResult) -> list[dict[str, Any]]:
    return [{key: to_json(value) for key, value in row.items()} for row in result.rows]


def _in_utc(instant: dt.datetime) -> str:
    """Write a time as the store reads a bound DateTime64."""
    return instant.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
