"""A real, migrated chDB for the boards' queries, and what the data source's plugin makes of their macros."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from acceptfirst_store.database import Database, open_database
from acceptfirst_store.migrations import migrate

INTERVAL_S = 60
Expand = Callable[..., str]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Open a store of the module's own: one process can have only one embedded store open at a time."""
    path: Path = tmp_path_factory.mktemp("boards") / "db"
    with open_database(f"chdb://{path}") as opened:
        migrate(opened)
        yield opened


@pytest.fixture(scope="session")
def now() -> dt.datetime:
    """The end of the boards' range: the beginning of a minute, so that whole minutes lie in it."""
    return dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)


@pytest.fixture(scope="session")
def expanded(now: dt.datetime) -> Expand:
    """What the plugin's macros (pkg/macros/macros.go) and Grafana's variables make of a query, for the last hour."""

    def expand(sql: str, variables: Mapping[str, Sequence[str]] | None = None, hours: float = 1) -> str:
        chosen = {"env": ["production", "staging"], **(variables or {})}
        for name, moment in (("$__fromTime", now - dt.timedelta(hours=hours)), ("$__toTime", now)):
            sql = sql.replace(name, f"toDateTime({int(moment.timestamp())})")
        sql = sql.replace("$__interval_s", str(INTERVAL_S)).replace("${older_than_s}", "30")
        return re.sub(r"\$\{(\w+):singlequote\}", lambda found: _quoted(found[1], chosen), sql)

    return expand


def _quoted(name: str, chosen: Mapping[str, Sequence[str]]) -> str:
    """Grafana's format `singlequote`; a variable that is not chosen has its custom value for All, put in as it is."""
    if name not in chosen:
        return "''"
    return ",".join("'" + value.replace("'", "\\'") + "'" for value in chosen[name])


@pytest.fixture(scope="session")
def targets() -> Callable[[Any], list[dict[str, Any]]]:
    """Finds every query in a board or a rule file, wherever it stands."""

    def find(value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict):
            found = [value] if "rawSql" in value else []
            return found + [target for inner in value.values() for target in find(inner)]
        return [target for inner in value for target in find(inner)] if isinstance(value, list) else []

    return find
